"""A victim and an oracle that remember what they were asked.

`RecordingVictim` stands behind the audit's own oracle. `RecordingOracle` is for a test that runs an
attack without an audit: the real oracle, with its checks, its budget and a ledger, which also
remembers each question.
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tests.support.toys import CLASSES, SHAPE
from torch import Tensor

from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import Access, AnswerKind, Purpose, ThreatModel, Victim


class RecordingVictim:
    """Records every row that reaches the victim, then answers it.

    Args:
        victim: answers the rows; any function of inputs.
        fail_at: the call that would go beyond this number of rows fails, and each one after it.
    """

    def __init__(self, victim: Victim, *, fail_at: int | None = None) -> None:
        self.victim, self.fail_at = victim, fail_at
        self.batches: list[Tensor] = []

    @property
    def seen(self) -> int:
        """Rows that reached the victim."""
        return sum(map(len, self.batches))

    @property
    def rows(self) -> list[bytes]:
        """The rows that reached the victim, in order."""
        return list(_rows(self.batches))

    def __call__(self, inputs: Tensor, /) -> Tensor:
        if self.fail_at is not None and self.seen + len(inputs) > self.fail_at:
            raise ConnectionError("the API went away")
        self.batches.append(inputs.clone())
        return self.victim(inputs)


def linear_answers(inputs: Tensor, /) -> Tensor:
    """Toy images (n, 1, 8, 8) -> (n, K): the softmax of a fixed linear map."""
    return (inputs.flatten(1) @ torch.linspace(-1, 1, 64 * CLASSES).view(64, -1)).softmax(1)


def sure_answers(inputs: Tensor, /) -> Tensor:
    """Toy images -> one-hot answers by brightness: exact zeros and ones."""
    return torch.eye(CLASSES)[(3 * inputs.mean((1, 2, 3))).long().clamp(0, CLASSES - 1)]


@dataclass(frozen=True)
class Question:
    """One call of the oracle: inputs as they were sent, answers as the attack got them."""

    inputs: Tensor
    answers: Tensor
    purpose: Purpose


class RecordingOracle(Oracle):
    """The real oracle over a toy victim; `questions` are all calls, in order.

    Its ledger is in a temporary folder that goes with it. A question that carries a gradient is an
    error of the attack, so it fails the test.

    Args:
        budget: rows.
        victim: answers toy images.
        answers, access: as in the threat model.
        before: is called before each question is answered.
    """

    def __init__(
        self, budget: int, victim: Victim = linear_answers, *, answers: AnswerKind = "probs",
        access: Access = "black-box", before: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        folder = Path(tempfile.mkdtemp())
        ledger = Ledger(
            folder / "ledger.sqlite", audit="toy", input_shape=SHAPE, num_classes=CLASSES
        )
        weakref.finalize(self, _discard, ledger, folder)
        threat = ThreatModel(
            input_shape=SHAPE,
            num_classes=CLASSES,
            query_budget=budget,
            answers=answers,
            access=access,
        )
        super().__init__(victim, threat, ledger)
        self.before = before
        self.questions: list[Question] = []

    @property
    def asked(self) -> list[Tensor]:
        return [question.inputs for question in self.questions]

    @property
    def answered(self) -> list[Tensor]:
        return [question.answers for question in self.questions]

    @property
    def purposes(self) -> list[Purpose]:
        return [question.purpose for question in self.questions]

    def __call__(
        self, inputs: Tensor, *, index: Tensor | None = None, purpose: Purpose = "training"
    ) -> Tensor:
        assert not inputs.requires_grad
        self.before()
        answers = super().__call__(inputs, index=index, purpose=purpose)
        self.questions.append(Question(inputs.clone(), answers.clone(), purpose))
        return answers


def _rows(batches: list[Tensor]) -> Iterator[bytes]:
    for batch in batches:
        for row in batch:
            yield row.numpy().tobytes()


def _discard(ledger: Ledger, folder: Path) -> None:
    ledger.close()
    shutil.rmtree(folder)
