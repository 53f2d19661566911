"""The keys of an audit: the one place that names a key, its type, default, help and flag.

A new key is one field here; `docs/contributing/flag.md` shows how. This module imports neither
torch nor anything that does: `--help` needs it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clonecost.audit.defaults import UNIFORM, Keep
from clonecost.config.key import Key, Scalar, Several, keys
from clonecost.persistence.intervals import EVERY
from clonecost.result import Authorisation
from clonecost.types import Access, Compiled, Feature, InputPrecision
from clonecost.victims.endpoints.settings import FREE as FREE_OF_ENDPOINT
from clonecost.victims.endpoints.settings import RATE, EndpointSettings
from clonecost.victims.input_form import Layout, Pixels

# The groups of `--help` and of the key table.
ATTACKER, API, RUN = "The attacker", "The API", "The run"
OWN_VICTIM, ENDPOINT = "Your own victim", "An endpoint"

BUDGET = 10_000  # rows

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Column(BaseModel):
    """One of `[[features]]`: what the API's documentation says of a table's column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self.feature()
        return self

    def feature(self) -> Feature:
        """Raises ValueError when it is neither a number with its range nor a category."""
        if self.categories:
            if self.low is not None or self.high is not None:
                raise ValueError(f"{self.name} has categories, and so neither low nor high")
            return Feature(name=self.name, categories=self.categories)
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name} needs low and high, or categories")
        return Feature(name=self.name, low=self.low, high=self.high)


class Spec(BaseModel):
    """One audit or several: every attack with every seed."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    victim: Annotated[str, Key(
        "A zoo name (`clonecost list victims`), `package.module:name`, `weights.safetensors` (with "
        "`network`), `model.onnx`, `program.pt2` (with `trust`), `model.skops` (a table), "
        "`http://127.0.0.1:8000/v2/models/NAME`, or a TOML file with these keys.",
        metavar="VICTIM|SPEC.toml", choices="victims",
    )]  # fmt: skip

    attack: Annotated[Several[str], Field(min_length=1), Key(
        "An attack (`clonecost list attacks`); several may be given, and each is its own run.",
        metavar="NAME[:PROFILE]", panel=ATTACKER, choices="attacks",
    )] = ["knockoff:shared"]  # fmt: skip
    budget: Annotated[NotNegative, Key(
        "Rows that an attack may send.",
        metavar="ROWS", panel=ATTACKER, free=True,
        default=f"{BUDGET}; 0 with `access` white-box",
    )] = BUDGET  # fmt: skip
    proxy: Annotated[str | None, Key(
        "The attacker's own unlabelled data: a name, .npz, .safetensors or image folder.",
        metavar="DATASET[:CLASSES]", default="photos", panel=ATTACKER, choices="datasets",
    )] = None  # fmt: skip
    student: Annotated[str | None, Key(
        "The clone's network.",
        metavar="NET", default="the zoo victim's own student, else resnet20", panel=ATTACKER,
        choices="networks",
    )] = None  # fmt: skip
    access: Annotated[Access, Key(
        "white-box: for references that read the network itself (`clonecost list attacks`).",
        panel=ATTACKER,
    )] = "black-box"  # fmt: skip
    set: Annotated[dict[str, dict[str, Scalar | list[float]]], Key(
        "Change a setting of an attack; several may be given.",
        metavar="ATTACK.FIELD=VALUE", panel=ATTACKER,
    )] = {}  # fmt: skip

    answers: Annotated[str, Key(
        "What the API answers.", metavar="probs|top_k:K|label", panel=API,
    )] = "probs"  # fmt: skip
    input_precision: Annotated[InputPrecision, Key(
        "What the API takes; an image API takes 8 bits.", panel=API,
    )] = "float32"  # fmt: skip
    defence: Annotated[Several[str], Key(
        "A defence in front of the victim; several may be given, and the first is closest to it.",
        metavar="NAME[:KEY=VALUE,...]", panel=API, choices="defences",
    )] = []  # fmt: skip
    price: Annotated[Amount | None, Key(
        "Price of 1,000 queries.", metavar="USD", panel=API, free=True,
    )] = None  # fmt: skip

    seed: Annotated[Several[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1), Key(
        "Several may be given, and each is its own run; confidence intervals then cover the "
        "variation of training, too.",
        panel=RUN,
    )] = [0]  # fmt: skip
    milestones: Annotated[list[Count] | None, Key(
        "Score the clone after this many queries, too.",
        metavar="N,N,...", default="2, 5, 10, 20 and 50 % of the budget", panel=RUN, free=True,
    )] = None  # fmt: skip
    controls: Annotated[bool, Key(
        "Also train the students that show what the queries bought (no further queries).",
        panel=RUN, free=True,
    )] = False  # fmt: skip
    device: Annotated[str, Key(
        "The device that trains the clone.", metavar="auto|cpu|cuda|cuda:N|mps", panel=RUN,
    )] = "auto"  # fmt: skip
    compile: Annotated[Compiled, Key(
        "Run the attack's generators, or its students too, through torch.compile.", panel=RUN,
    )] = "no"  # fmt: skip
    data: Annotated[Path | None, Key(
        "Folder of the data sets.",
        metavar="FOLDER", default="the environment variable CLONECOST_DATA",
        panel=RUN, free=True,
    )] = None  # fmt: skip
    keep: Annotated[Keep, Key(
        "Keep what was sent, for `clonecost replay`; auto keeps up to 256 MiB.",
        panel=RUN, free=True,
    )] = "auto"  # fmt: skip
    snapshot_every: Annotated[Amount, Key(
        "Checkpoint interval in seconds.", metavar="SECONDS", panel=RUN, free=True,
    )] = EVERY  # fmt: skip
    spot_check: Annotated[NotNegative | None, Key(
        "Paid rows that are sent again when a run resumes and when it ends, to detect that the "
        "model changed.",
        metavar="ROWS", default="20 for an endpoint, else 0", panel=RUN, free=True,
    )] = None  # fmt: skip

    test: Annotated[str | None, Key(
        "Test rows of your own victim: a data set, or a file with inputs and labels.",
        metavar="DATASET", panel=OWN_VICTIM,
    )] = None  # fmt: skip
    network: Annotated[str | None, Key(
        "Architecture of the weights file.",
        metavar="NET", panel=OWN_VICTIM, choices="networks", describes="own victim",
    )] = None  # fmt: skip
    outputs: Annotated[Literal["logits", "probs"] | None, Key(
        "What your model returns.",
        default="logits for a torch module, probs for any other callable", panel=OWN_VICTIM,
        describes="own victim",
    )] = None  # fmt: skip
    shape: Annotated[list[int] | None, Key(
        "Input shape of your model.",
        metavar="C,H,W", default="as the test rows", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    classes: Annotated[int | None, Key(
        "Number of classes of your model.",
        default="as the test rows", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    trust: Annotated[bool, Key(
        "The .pt2 file is mine: loading one can run any code.",
        panel=OWN_VICTIM, describes="own victim",
    )] = False  # fmt: skip
    allow: Annotated[Several[str], Key(
        "A type in the .skops file that is mine or that I know; several may be given.",
        metavar="TYPE", panel=OWN_VICTIM, describes="own victim",
    )] = []  # fmt: skip
    layout: Annotated[Layout | None, Key(
        "Where your ONNX file or endpoint has the channels.",
        default="as its own shape says", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    pixels: Annotated[Pixels | None, Key(
        "Pixel range that your ONNX file or endpoint takes.",
        default="0..1", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    mean: Annotated[list[float] | None, Key(
        "Mean that is subtracted from the pixels, by channel.",
        metavar="M,M,M", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    std: Annotated[list[float] | None, Key(
        "Standard deviation that the difference is divided by, by channel.",
        metavar="S,S,S", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    features: Annotated[list[Column] | None, Field(min_length=1), Key(
        "Columns of a table: `name`, and `low` with `high`, or `categories`.",
        default="as the test rows", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    uniform: Annotated[NotNegative, Key(
        "For a table: evaluation rows drawn uniformly from its ranges, counted apart.",
        metavar="ROWS", panel=OWN_VICTIM,
    )] = UNIFORM  # fmt: skip
    incomplete: Annotated[bool, Key(
        "For a table: the API answers rows with missing values (NaN).", panel=OWN_VICTIM,
    )] = False  # fmt: skip

    endpoint: Annotated[EndpointSettings | None, Key(
        "How the endpoint is asked, see endpoints.md.", panel=ENDPOINT, describes="endpoint",
    )] = None  # fmt: skip
    authorisation: Annotated[Authorisation | None, Key(
        "Who allowed the audit of another machine, see endpoints.md.",
        panel=ENDPOINT, free=True, describes="endpoint",
    )] = None  # fmt: skip
    rate: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Key(
        "Rows per second that an endpoint gets at most.",
        metavar="ROWS", default=f"{RATE:g}", panel=ENDPOINT, free=True, describes="endpoint",
    )] = None  # fmt: skip
    max_lost: Annotated[Count | None, Key(
        "Rows that may be paid without an answer before the audit stops.",
        metavar="ROWS", default="a tenth of the budget and at least 100 for an endpoint, else none",
        panel=ENDPOINT, free=True,
    )] = None  # fmt: skip

    def fixed(self) -> dict[str, Any]:
        """The keys that keep their values when a run resumes."""
        free = [name for name, key in keys(type(self)).items() if key.free]
        # pydantic's stubs do not know that one key may go whole and another in part
        left_out: Any = {**dict.fromkeys(free, True), "endpoint": FREE_OF_ENDPOINT}
        return self.model_dump(mode="json", exclude=left_out)
