"""ModelGuard-S: the first earlier answer within a distance, so that many rows share one answer."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim

AT_ONCE = 256  # centroids that are compared with all rows at once: the memory is this times rows


@dataclass(frozen=True, kw_only=True)
class ModelguardS:
    """Serve an ordered codebook that grows with the queries.

    For each top class, in order of creation: the first centroid within L1 distance epsilon of y is
    served; if there is none, y itself is served and becomes the last centroid. So the first answer
    of every class is the victim's own, and the top class stays the top class. Answers depend on the
    order of all earlier queries, whoever sent them: the codebook is shared by all clients.

    A centroid is an answer that was served, so the answers of a run rebuild its codebook.

    Source: Tang et al., USENIX Security 2024, "ModelGuard", §4.3, the quantiser without the search
    for a better centroid.

    Example:
        >>> defended = ModelguardS(epsilon=0.5)(lambda rows: rows)
        >>> defended(torch.tensor([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1]]))
        tensor([[0.9000, 0.0500, 0.0500],
                [0.9000, 0.0500, 0.0500]])

    Raises:
        SpecError: `epsilon` is not between 0 and 2.
    """

    epsilon: float = (
        1.0  # the largest L1 distance from the true answer; 0: answers stay as they are
    )

    declares: ClassVar = Declaration(stateful=True, recalls=True)

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 2:
            raise SpecError("The distance of ModelGuard-S is out of range",
                            got=f"epsilon={self.epsilon:g}", want="0 to 2")  # fmt: skip

    def __call__(self, victim: Victim) -> "Codebook":
        return Codebook(victim, self.epsilon)


class Codebook:
    """A victim behind a codebook: one list of centroids for each top class."""

    def __init__(self, victim: Victim, epsilon: float) -> None:
        self._victim, self._epsilon = victim, epsilon
        self._centroids: dict[int, Tensor] = {}  # (m, K) float32 of each class, oldest first

    def __call__(self, inputs: Tensor, /) -> Tensor:
        clean = self._victim(inputs)
        return self._quantised(clean).to(clean) if self._epsilon else clean

    def recall(self, answers: Tensor) -> None:
        """Rebuild the codebook from (n, K) answers that it served, in their order.

        An answer that was served is its own first centroid: when it was made, no earlier one was
        within the distance.
        """
        if self._epsilon:
            self._quantised(answers)

    @property
    def sizes(self) -> dict[int, int]:
        """The number of centroids of each class that has any."""
        return {top: len(found) for top, found in self._centroids.items()}

    def _quantised(self, clean: Tensor) -> Tensor:
        # float32, as a record keeps answers: a centroid that is read back is the same to the bit
        answers = clean.detach().cpu().float()
        served, top = answers.clone(), answers.argmax(1)
        for one in top.unique().tolist():
            rows = (top == one).nonzero()[:, 0]
            served[rows] = self._of_class(one, answers[rows])
        return served

    def _of_class(self, top: int, answers: Tensor) -> Tensor:
        """(n, K) answers with this top class -> their centroids; new ones are added.

        The rows that no centroid serves are taken in order: the first becomes a centroid, and
        those of the rest that it serves are done. No later row can serve an earlier one.
        """
        known = self._centroids.get(top, answers[:0])
        place = self._first_within(answers, known)
        fresh, left = [known], (place < 0).nonzero()[:, 0]
        count = len(known)
        while len(left):
            fresh.append(answers[left[:1]])
            near = _distances(answers[left], fresh[-1])[:, 0] <= self._epsilon
            near[0] = True
            place[left[near]] = count
            left, count = left[~near], count + 1
        self._centroids[top] = torch.cat(fresh)
        return self._centroids[top][place]

    def _first_within(self, answers: Tensor, centroids: Tensor) -> Tensor:
        """(n,) the index of the first centroid within the distance, or -1."""
        place = torch.full((len(answers),), -1)
        for start in range(0, len(centroids), AT_ONCE):
            left = (place < 0).nonzero()[:, 0]
            near = _distances(answers[left], centroids[start : start + AT_ONCE]) <= self._epsilon
            found = near.any(1)
            place[left[found]] = start + near[found].byte().argmax(1)
        return place


def _distances(answers: Tensor, centroids: Tensor) -> Tensor:
    """(n, K) and (m, K) -> (n, m) L1 distances; each is the same in any batch."""
    return torch.cdist(answers.double(), centroids.double(), p=1)
