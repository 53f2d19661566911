"""`OUT/fingerprint.json`: what a few hundred answers show of a victim of pictures."""

from typing import Literal

from pydantic import Field

from clonecost.result.rates import Model

Sign = Literal["recognised", "likely", "no sign"]


class BackboneSign(Model):
    """How well the features of one backbone explain the answers."""

    name: str
    normalisation: str = Field(description="of its pixels: own, imagenet, half or none")
    size: int | None = Field(
        default=None, description="side to which pictures are resized for it; null: its own"
    )  # fmt: skip
    features: int
    explained: float = Field(
        description="share of the variation of the centred log-probabilities on rows left out, at "
        "most 1; of labels: share of left-out rows whose class was right, above the majority's"
    )
    sign: Sign
    frozen: bool | None = Field(
        default=None, description="whether the victim has it as it is public; null: so few rows, "
        "or such answers, do not show it"
    )  # fmt: skip


class OtherSize(Model):
    """A picture of another height or width than the victim's own."""

    height: int
    width: int
    taken: bool = Field(description="whether the victim answered it")
    why_not: str = Field(default="", description="the victim's refusal; empty: it answered")


class Applies(Model):
    """One attack, whether it applies, and what it costs."""

    attack: str
    applies: bool
    why: str
    queries: int | None = Field(description="null: not known from these answers")


class Fingerprint(Model):
    """What a few hundred answers show. No row of it is a test row."""

    schema_: Literal["clonecost/fingerprint/1"] = Field(
        default="clonecost/fingerprint/1", alias="schema"
    )
    victim: str
    input_shape: tuple[int, ...]
    classes: int
    asked: int = Field(
        description="rows that were paid for, those asked twice and of other sizes included"
    )
    pool: str = Field(description="the public pictures that were asked")
    answers: Literal["label", "top_k", "probs"]
    changed: float = Field(description="the largest change of a probability of a row asked twice")
    step: float = Field(description="to which probabilities are rounded; 0: they are not")
    zeros: float = Field(description="share of the probabilities that are 0")
    confidence: list[float] = Field(
        description="of the likeliest class: its 10, 50 and 90 % quantiles over the rows"
    )
    width: int | None = Field(
        description="features of the last layer by the rank of the answers, or a lower bound; "
        "null: the answers cannot show it"
    )
    width_seen: bool = Field(description="whether `width` is more than a lower bound")
    colours: float = Field(
        description="what 8 x 8 mean colours explain: a backbone must explain far more"
    )
    backbones: list[BackboneSign] = Field(description="the best first")
    sizes: list[OtherSize] = Field(
        default=[], description="a picture of each of some other sizes, which was asked"
    )
    attacks: list[Applies]

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @property
    def best(self) -> BackboneSign | None:
        """The backbone that is recognised or likely; None: there is no sign of any."""
        found = self.closest
        return found if found and found.sign != "no sign" else None

    @property
    def closest(self) -> BackboneSign | None:
        """The backbone that explains most, sign or none; None: none was compared."""
        return self.backbones[0] if self.backbones else None
