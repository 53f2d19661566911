"""Ensemble: a key decides for each row which of several networks answers it."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.defences._keyed_rows import row_keys, secret
from clonecost.defences._networks import Beside, Source
from clonecost.defences.base import Declaration
from clonecost.errors import Advice, RunWorkflow, SetKey, SpecError
from clonecost.query_synthesis import counter_rng
from clonecost.types import PredictionApi, Victim

ROUTE = 0x45444D  # separates this use of a row's key from all others


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Serve the answer of the victim or of one of its siblings, as a keyed hash of the row says.

    A clone must fit a function that jumps between networks. In the paper they are trained to
    disagree on outliers; siblings that differ by their seed only agree there for the most part, so
    this is a lower bound of the paper's defence. The victim is asked for every row and counts as
    one more member. The same row always gets the same answer.

    Source: Kariyappa, Prakash, Qureshi, ICLR 2021, "Protecting DNNs from Theft using an Ensemble of
    Diverse Models".

    Example:
        >>> defended = Ensemble(members="digits-lenet-seed1+digits-lenet-seed2")(victim)

    Raises:
        SpecError: there is no such file of weights, or `step` is not above 0.
    """

    # files of weights, or trained victims of the cache such as digits-lenet-seed1, joined by +
    members: str = ""
    network: str = ""  # the network of the files, where they do not say it
    key: str = "audit"  # a word, or env:NAME for a secret that no report shows
    step: float = 1 / 255  # rows that are equal in multiples of it get the same answer
    digest: str = ""  # SHA-256 of each file, joined by +; filled in, and checked if it is given

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise SpecError("The step of an ensemble is out of range", got=self.step,
                            want="above 0")  # fmt: skip
        if self.members:
            sources = self._sources
            stated = self.digest.split("+") if self.digest else [""] * len(sources)
            if len(stated) != len(sources):
                raise SpecError("An ensemble has another number of digests than of members",
                                got=len(stated), want=len(sources))  # fmt: skip
            found = [one.digest(digest) for one, digest in zip(sources, stated, strict=True)]
            object.__setattr__(self, "digest", "+".join(found))

    @property
    def _sources(self) -> list[Source]:
        if not self.members:
            raise SpecError(
                "The ensemble has no members beside the victim",
                Advice("train the victim with another seed, and add members=FILE+FILE"),
                RunWorkflow("train victim", "VICTIM", SetKey("seed", 1)),
            )
        return [
            Source(f"ensemble's member {place}", one.strip(), self.network, place)
            for place, one in enumerate(self.members.split("+"), start=1)
        ]

    def check(self, api: PredictionApi) -> None:
        """Refuse an API that a member does not fit.

        Raises:
            SpecError: there is no member, one has other inputs or classes, or the key has no value.
        """
        secret(self.key)
        for source in self._sources:
            source.check(api)

    def __call__(self, victim: Victim) -> Victim:
        key = secret(self.key)
        members = [Beside(source) for source in self._sources]

        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            keys = counter_rng.splitmix64(row_keys(inputs, key, self.step) ^ ROUTE)
            route = counter_rng.below(keys, len(members) + 1).to(inputs.device)
            served = clean.clone()
            for place, member in enumerate(members, start=1):
                rows = (route == place).nonzero()[:, 0]
                if len(rows):
                    served[rows] = member.answers(inputs[rows], clean.shape[1]).to(clean)
            return served

        return defended
