"""The keys of an audit, as they are written down."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clonecost.audit import UNIFORM, Keep
from clonecost.persistence.snapshots import EVERY
from clonecost.result import Authorisation
from clonecost.types import Access, Compiled, Feature, InputPrecision
from clonecost.victims.endpoints import FREE as FREE_OF_ENDPOINT
from clonecost.victims.endpoints import EndpointSettings
from clonecost.victims.input_form import Layout, Pixels

Scalar = bool | int | float | str

# What may change when a run goes on: nothing that would change its questions.
FREE = {
    "budget", "price", "milestones", "controls", "data", "keep", "rate", "max_lost",
    "authorisation", "snapshot_every", "spot_check",
}  # fmt: skip

FORM = ("layout", "pixels", "mean", "std")
REMOTE = ("endpoint", "rate", "authorisation")  # what only an endpoint needs
# what only a user's own victim needs
OWN = ("network", "outputs", "shape", "classes", "trust", "allow", "features", *FORM, *REMOTE)


def _not_negative(value: int) -> int:
    return value if value == 0 else _positive(value)  # 0 is for white boxes: see _check_access


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError(f"{value} is not a number of queries")
    return value


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
    """One audit or several: every attack with every seed. The keys are the command's flags."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    victim: str
    attack: list[str] = Field(default=["knockoff:shared"], min_length=1)
    budget: Annotated[int, AfterValidator(_not_negative)] = 10_000
    proxy: str | None = None
    student: str | None = None
    answers: str = "probs"
    input_precision: InputPrecision = "float32"
    access: Access = "black-box"
    set: dict[str, dict[str, Scalar | list[float]]] = {}
    defence: list[str] = []
    price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    milestones: list[Annotated[int, AfterValidator(_positive)]] | None = None
    seed: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default=[0], min_length=1)
    device: str = "auto"
    keep: Keep = "auto"
    controls: bool = False
    compile: Compiled = "no"
    snapshot_every: Annotated[float, Field(ge=0, allow_inf_nan=False)] = EVERY
    spot_check: Annotated[int, Field(ge=0)] | None = None
    data: Path | None = None
    uniform: Annotated[int, Field(ge=0)] = UNIFORM  # evaluation rows of a table
    incomplete: bool = False  # a table's rows may have missing values
    features: Annotated[list[Column], Field(min_length=1)] | None = None  # None: as the test rows
    # of a victim that is not in the zoo:
    test: str | None = None
    network: str | None = None
    outputs: Literal["logits", "probs"] | None = None
    shape: list[int] | None = None
    classes: int | None = None
    trust: bool = False
    allow: list[str] = []
    layout: Layout | None = None
    pixels: Pixels | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    # of an endpoint:
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_lost: Annotated[int, Field(ge=1)] | None = None
    endpoint: EndpointSettings | None = None
    authorisation: Authorisation | None = None

    def fixed(self) -> dict[str, Any]:
        """The keys that stay what they are when a run goes on."""
        # pydantic's stubs do not know that one key may go whole and another in part
        left_out: Any = {**dict.fromkeys(FREE, True), "endpoint": FREE_OF_ENDPOINT}
        return self.model_dump(mode="json", exclude=left_out)
