"""The keys of an audit, each with its type, default and help; the flags are made from them.

A new key is one field here (`docs/contributing/flag.md`). This module imports neither torch nor
anything that does: `--help` needs it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clonecost.audit.defaults import UNIFORM, Keep
from clonecost.config.default_attack import ON_IMAGES, default_attack
from clonecost.config.key import Key, Scalar, Several, keys
from clonecost.config.panels import DEFAULT, LEVELS
from clonecost.persistence.intervals import EVERY
from clonecost.result import Authorisation
from clonecost.result.panel import Level
from clonecost.types import Access, Compiled, Feature, InputPrecision
from clonecost.victims.answer_form import Outputs
from clonecost.victims.endpoints.settings import FREE as FREE_OF_ENDPOINT
from clonecost.victims.endpoints.settings import RATE, EndpointSettings
from clonecost.victims.input_form import Channels, Layout, Pixels

# The groups of `--help` and of the key table.
ATTACKER, API, RUN = "The attacker", "The API", "The run"
OWN_VICTIM, ENDPOINT = "Your own victim", "An endpoint"

BUDGET = 10_000  # rows
HOURS = 12.0

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Column(BaseModel):
    """One of `[[features]]`: a table's column as the API's documentation describes it."""

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
        """The column as the threat model has it.

        Raises:
            ValueError: the column is neither a number with its range nor a category.
        """
        if self.categories:
            if self.low is not None or self.high is not None:
                raise ValueError(f"{self.name} has categories, so low and high must be left out")
            return Feature(name=self.name, categories=self.categories)
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name} needs low and high, or categories")
        return Feature(name=self.name, low=self.low, high=self.high)


class Spec(BaseModel):
    """One audit or several: every attack with every seed.

    Example:
        >>> Spec(victim="digits-lenet", attack="knockoff", seed=[0, 1]).attack
        ['knockoff']
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _names_an_attack(cls, written: Any) -> Any:
        if isinstance(written, dict) and written.get("panel") in LEVELS:
            level = LEVELS[written["panel"]]
            return {"budget": level.budget, "minutes": level.minutes, **written}
        if isinstance(written, dict) and "attack" not in written:
            chosen = default_attack(written)
            return written if chosen == ON_IMAGES else {**written, "attack": chosen}
        return written

    victim: Annotated[str, Key(
        "The model under audit: a name in `clonecost list victims`, `package.module:name`, "
        "`file.py:name`, `weights.safetensors` (with `network`), `model.onnx`, `program.pt2` "
        "(with `trust`), `model.skops`, `model.txt`, `model.ubj` or `model.cbm` (a table), "
        "`http://127.0.0.1:8000/v2/models/NAME`, or "
        "a TOML file with these keys.",
        metavar="VICTIM|SPEC.toml", choices="victims",
    )]  # fmt: skip

    attack: Annotated[Several[str], Field(min_length=1), Key(
        "An attack (`clonecost list attacks`); several may be given, each as a run of its own.",
        metavar="NAME[:PROFILE]", panel=ATTACKER, choices="attacks",
        default="the attacks of `panel`",
    )] = [ON_IMAGES]  # fmt: skip
    panel: Annotated[Level | None, Key(
        "Attacks that suit the model, cheapest first, each on its own account, when no `attack` is "
        "named, see panel.md.",
        default=f"{DEFAULT} without `attack`", panel=ATTACKER,
    )] = None  # fmt: skip
    budget: Annotated[NotNegative, Key(
        "Query budget: the number of rows that an attack may send, or all attacks of a panel "
        "together.",
        metavar="ROWS", panel=ATTACKER, free=True,
        default=f"{BUDGET}, of a panel its own; 0 with `access` white-box",
    )] = BUDGET  # fmt: skip
    proxy: Annotated[str | None, Key(
        "The attacker's own unlabelled data: a name in `clonecost list datasets`, a .npz or "
        ".safetensors file, or a folder, TAR or Parquet file of images, which stay on disk.",
        metavar="DATASET[:CLASSES]", default="photos", panel=ATTACKER, choices="datasets",
    )] = None  # fmt: skip
    student: Annotated[str | None, Key(
        "The clone's network: a name in `clonecost list networks`, your own `file.py:name`, "
        "`timm:NAME`, `torchvision:NAME`, or a pretrained `backbone:NAME` (see students.md).",
        metavar="NET[,KEY=VALUE,...]", default="the zoo victim's own student, else resnet8",
        panel=ATTACKER, choices="networks",
    )] = None  # fmt: skip
    counter: Annotated[str | None, Key(
        "What the attacker does about the defences, which they know except for their keys "
        "(`clonecost list countermeasures`); every repeat of a row is counted.",
        metavar="NAME[:KEY=VALUE,...]", default="none: the answers are taken as they are served",
        panel=ATTACKER, choices="countermeasures",
    )] = None  # fmt: skip
    access: Annotated[Access, Key(
        "black-box: the attack sees answers only. white-box: a reference reads the network itself.",
        panel=ATTACKER,
    )] = "black-box"  # fmt: skip
    set: Annotated[dict[str, dict[str, Scalar | list[float]]], Key(
        "Change a setting of an attack; several may be given.",
        metavar="ATTACK.FIELD=VALUE", panel=ATTACKER,
    )] = {}  # fmt: skip

    answers: Annotated[str, Key(
        "What the API returns: probabilities of all classes, of the K most probable ones, or the "
        "predicted class only.",
        metavar="probs|top_k:K|label", panel=API,
    )] = "probs"  # fmt: skip
    input_precision: Annotated[InputPrecision, Key(
        "Precision of the inputs; an image API takes uint8, an estimator of a table float64.",
        panel=API,
    )] = "float32"  # fmt: skip
    defence: Annotated[Several[str], Key(
        "A defence that changes the answers (`clonecost list defences`); several may be given, and "
        "the first is closest to the victim.",
        metavar="NAME[:KEY=VALUE,...]", panel=API, choices="defences",
    )] = []  # fmt: skip
    price: Annotated[Amount | None, Key(
        "Price per 1,000 queries.", metavar="USD", panel=API, free=True,
    )] = None  # fmt: skip
    price_characters: Annotated[Amount | None, Key(
        "For texts: price per 1,000 characters, beside `price`.",
        metavar="USD", panel=API, free=True,
    )] = None  # fmt: skip

    minutes: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Key(
        "Time limit of a panel: an attack that cannot end in time is not begun, one that runs ends "
        "at its next milestone.",
        default=", ".join(f"{level.minutes:g} for {name}" for name, level in LEVELS.items()
                          if level.minutes),
        panel=RUN, free=True,
    )] = None  # fmt: skip
    max_usd: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Key(
        "Limit of money of a panel, evaluation included; needs `price`.",
        metavar="USD", panel=RUN, free=True,
    )] = None  # fmt: skip

    seed: Annotated[Several[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1), Key(
        "Seed of all random numbers. Several may be given, each as a run of its own; confidence "
        "intervals over three or more include the variation of training.",
        panel=RUN,
    )] = [0]  # fmt: skip
    milestones: Annotated[list[Count] | None, Key(
        "Score the clone after these numbers of queries, and at the end.",
        metavar="N,N,...", default="2, 5, 10, 20 and 50 % of the budget", panel=RUN, free=True,
    )] = None  # fmt: skip
    controls: Annotated[bool, Key(
        "Also train the clone without the victim's knowledge, for comparison; sends no query.",
        panel=RUN, free=True,
    )] = False  # fmt: skip
    retrain: Annotated[bool, Key(
        "When the attack has ended, also train a fresh clone by the shared recipe on every row "
        "that it bought; sends no query.",
        panel=RUN, free=True,
    )] = False  # fmt: skip
    retrain_epochs: Annotated[Count | None, Key(
        "Epochs of that training.",
        default="those of the recipe", panel=RUN, free=True,
    )] = None  # fmt: skip
    max_hours: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)], Key(
        "An audit in which a run would take longer than this, by the speed of this machine, stops "
        "before its first query.",
        metavar="HOURS", panel=RUN, free=True,
    )] = HOURS  # fmt: skip
    device: Annotated[str, Key(
        "The device that trains the clone.", metavar="auto|cpu|cuda|cuda:N|mps", panel=RUN,
    )] = "auto"  # fmt: skip
    threads: Annotated[Literal["auto"] | Count, Key(
        "Threads that a new run computes with. auto: OMP_NUM_THREADS if it is set, one for a small "
        "network, else as many as cores are free; a resumed run keeps its number.",
        metavar="N|auto", panel=RUN, free=True,
    )] = "auto"  # fmt: skip
    cpus: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)], Key(
        "Cores that a run takes of a machine, where it is one of several on Ray or SLURM.",
        metavar="N", panel=RUN, free=True,
    )] = 1.0  # fmt: skip
    gpus: Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)], Key(
        "GPUs that such a run takes, 0.25 for four runs on one; without any it computes on the "
        "CPU.", metavar="N", panel=RUN, free=True,
    )] = 0.0  # fmt: skip
    compile: Annotated[Compiled, Key(
        "Use torch.compile for the attack's generators, or for its students too (all).", panel=RUN,
    )] = "no"  # fmt: skip
    data: Annotated[Path | None, Key(
        "Folder of the data sets.",
        metavar="FOLDER", default="the environment variable CLONECOST_DATA",
        panel=RUN, free=True,
    )] = None  # fmt: skip
    keep: Annotated[Keep, Key(
        "Keep the inputs of the queries, for `clonecost replay`; auto keeps up to 256 MiB.",
        panel=RUN, free=True,
    )] = "auto"  # fmt: skip
    snapshot_every: Annotated[Amount, Key(
        "Checkpoint interval in seconds.", metavar="SECONDS", panel=RUN, free=True,
    )] = EVERY  # fmt: skip
    spot_check: Annotated[NotNegative | None, Key(
        "Number of paid rows that are sent again when a run resumes and when it ends, to detect a "
        "changed model.",
        metavar="ROWS", default="20; for a model in this process only when a run resumes",
        panel=RUN, free=True,
    )] = None  # fmt: skip

    test: Annotated[str | None, Key(
        "Test rows of your own victim: a data set, or a file with inputs and labels.",
        metavar="DATASET", panel=OWN_VICTIM,
    )] = None  # fmt: skip
    network: Annotated[str | None, Key(
        "Network of the weights file (`clonecost list networks`).",
        metavar="NET", panel=OWN_VICTIM, choices="networks", describes="own victim",
    )] = None  # fmt: skip
    outputs: Annotated[Outputs | None, Key(
        "What your model returns, where a few answers do not show it.",
        default="as a few answers show", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    output: Annotated[str | None, Key(
        "Name of the output of your ONNX file, or of the field of what your model in Python "
        "returns, that holds the class scores, where several could.",
        metavar="NAME", default="by its name and its number of columns", panel=OWN_VICTIM,
        describes="own victim",
    )] = None  # fmt: skip
    shape: Annotated[list[int] | None, Key(
        "Input shape of your model.",
        metavar="C,H,W", default="that of the test rows", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    classes: Annotated[int | None, Key(
        "Number of classes of your model.",
        default="that of the test rows", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    class_names: Annotated[Path | None, Key(
        "File with the names of your model's classes in its own order: one a line, a JSON list, "
        "or a JSON object from class numbers to names. The test rows' classes are matched by name.",
        metavar="FILE", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    text_column: Annotated[str | None, Key(
        "The model takes texts: the column that holds them, in test rows and proxy data that are a "
        "CSV, JSON Lines or Parquet file. A .txt file has a text in each line.",
        metavar="COLUMN", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    label_column: Annotated[str | None, Key(
        "For texts: the column of the classes.",
        metavar="COLUMN", default="`label`, else the only other column", panel=OWN_VICTIM,
        describes="own victim",
    )] = None  # fmt: skip
    longest: Annotated[Count | None, Key(
        "For texts: bytes of UTF-8 that the longest one may have. Longer proxy texts are cut, "
        "longer test texts are refused.",
        metavar="BYTES", default="those of the longest test text", panel=OWN_VICTIM,
    )] = None  # fmt: skip
    background: Annotated[Literal["white", "black"] | None, Key(
        "Colour behind the transparent pixels of images in a folder.",
        default="none: such an image is refused", panel=OWN_VICTIM,
    )] = None  # fmt: skip
    trust: Annotated[bool, Key(
        "Load the .pt2 file, which can run any code: only for a file that you trust.",
        panel=OWN_VICTIM, describes="own victim",
    )] = False  # fmt: skip
    allow: Annotated[Several[str], Key(
        "A type in the .skops file that you trust; several may be given.",
        metavar="TYPE", panel=OWN_VICTIM, describes="own victim",
    )] = []  # fmt: skip
    layout: Annotated[Layout | None, Key(
        "Axis order of the images that your ONNX file or endpoint takes.",
        default="by its own shape", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    pixels: Annotated[Pixels | None, Key(
        "Pixel range that your ONNX file or endpoint takes.",
        default="0..1", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    channels: Annotated[Channels | None, Key(
        "Channel order that your ONNX file or endpoint takes, also of `mean` and `std`.",
        default="rgb", panel=OWN_VICTIM, describes="own victim",
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
        default="those of the test rows", panel=OWN_VICTIM, describes="own victim",
    )] = None  # fmt: skip
    uniform: Annotated[NotNegative, Key(
        "For a table: number of evaluation rows drawn uniformly from its ranges, counted apart.",
        metavar="ROWS", panel=OWN_VICTIM,
    )] = UNIFORM  # fmt: skip
    incomplete: Annotated[bool, Key(
        "For a table: the API answers rows with missing values (NaN).", panel=OWN_VICTIM,
    )] = False  # fmt: skip

    endpoint: Annotated[EndpointSettings | None, Key(
        "Requests to the endpoint, see endpoints.md.", panel=ENDPOINT, describes="endpoint",
    )] = None  # fmt: skip
    authorisation: Annotated[Authorisation | None, Key(
        "Permission to audit another machine's model, see endpoints.md.",
        panel=ENDPOINT, free=True, describes="endpoint",
    )] = None  # fmt: skip
    rate: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Key(
        "The most rows per second that an endpoint gets.",
        metavar="ROWS", default=f"{RATE:g}", panel=ENDPOINT, free=True, describes="endpoint",
    )] = None  # fmt: skip
    max_lost: Annotated[Count | None, Key(
        "The audit stops when this many rows were paid without an answer.",
        metavar="ROWS", default="a tenth of the budget and at least 100 for an endpoint, else none",
        panel=ENDPOINT, free=True,
    )] = None  # fmt: skip

    def fixed(self) -> dict[str, Any]:
        """The keys that keep their values when a run resumes."""
        free = [name for name, key in keys(type(self)).items() if key.free]
        # pydantic's stubs do not know that one key may go whole and another in part
        left_out: Any = {**dict.fromkeys(free, True), "endpoint": FREE_OF_ENDPOINT}
        return self.model_dump(mode="json", exclude=left_out)

    def chosen(self) -> dict[str, Any]:
        """The keys of `fixed` that are not at their default, and the victim."""
        defaults = Spec(victim="").fixed()
        return {key: value for key, value in self.fixed().items() if value != defaults[key]}
