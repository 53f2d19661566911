"""DAWN: a wrong label for a few rows that a key chooses, which later identify a clone."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.defences._keyed_rows import row_keys, secret
from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.query_synthesis import counter_rng
from clonecost.types import PredictionApi, Victim


@dataclass(frozen=True, kw_only=True)
class Dawn:
    """Swap the top class with another one in a share of the rows, both chosen by a keyed hash.

    The same row always gets the same answer. Rows with a wrong label are the evidence: a clone
    that was trained on them repeats the wrong labels far more often than an independent model.

    Source: Szyller, Atli, Marchal, Asokan, ACM MM 2021, "DAWN: Dynamic Adversarial Watermarking of
    Neural Networks", §4. The hash here covers the whole row.

    Example:
        >>> served = Dawn(rate=0.01)(victim)(rows)
        >>> evidence = served.argmax(1) != victim(rows).argmax(1)

    Raises:
        SpecError: a setting is out of range.
    """

    rate: float = 0.005  # r, the share of rows with a wrong label, which is also what users lose
    key: str = "audit"  # a word, or env:NAME for a secret that no report shows
    step: float = 1 / 255  # rows that are equal in multiples of it get the same answer

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.rate <= 0.5 and self.step > 0):
            raise SpecError("A setting of DAWN is out of range", got=f"rate={self.rate:g}, "
                            f"step={self.step:g}", want="rate 0 to 0.5, step above 0")  # fmt: skip

    def check(self, api: PredictionApi) -> None:
        """Refuse a key without a value; every API fits.

        Raises:
            SpecError: the environment variable of the key is not set.
        """
        secret(self.key)

    def __call__(self, victim: Victim) -> Victim:
        key = secret(self.key)

        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            classes, keys = clean.shape[1], row_keys(inputs, key, self.step)
            chosen = counter_rng.symmetric(keys, 1) < 2 * self.rate - 1  # U(-1, 1)
            other = counter_rng.below(counter_rng.splitmix64(~keys), classes - 1)
            top = clean.argmax(1, keepdim=True)
            wrong = (top + 1 + other[:, None].to(top.device)) % classes
            swapped = clean.scatter(1, top, clean.gather(1, wrong))
            swapped = swapped.scatter(1, wrong, clean.gather(1, top))
            return swapped.where(chosen.to(clean.device), clean)

        return defended
