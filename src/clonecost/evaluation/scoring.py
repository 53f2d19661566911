"""Scores of a clone: pure functions of the clone and of answers that were paid for beforehand."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clonecost.evaluation.chance import balanced, corrected, learnt
from clonecost.evaluation.label_scores import (
    balanced_labels,
    label_agreement,
    label_majority,
    per_label,
)
from clonecost.networks.per_label import present
from clonecost.oracle import Oracle
from clonecost.result import ClassAgreement, Rate, Score, TableScore
from clonecost.tabular.features import uniform_rows
from clonecost.training.losses import kl, l1
from clonecost.types import LabelledInputs, answered

BATCH = 512
UNIFORM_SEED = 1_609_02943  # draws the rows of R_unif: the same for all audits of a table


def rate(hits: Tensor) -> Rate:
    """The share of true entries in (n,), n > 0, with its 95 % Wilson interval.

    Example:
        >>> rate(torch.tensor([True] * 8 + [False] * 2))
        Rate(value=0.8, low=0.49..., high=0.94...)
    """
    return Rate.of(int(hits.sum()), len(hits))


@dataclass(frozen=True)
class Reference:
    """The test set with the *undefended* victim's answers, bought before the attack starts.

    Attributes:
        test: the test rows, on the scoring device.
        answers: (n, K) probabilities.
        uniform: for a table, rows drawn uniformly from the ranges of its features, (u, d), and
            their answers, (u, K).
        multi_label: the answers are those of a multi-label model.
    """

    test: LabelledInputs
    answers: Tensor
    uniform: tuple[Tensor, Tensor] | None = None
    multi_label: bool = False

    @classmethod
    def buy(
        cls, oracle: Oracle, test: LabelledInputs, device: torch.device, *, uniform: int = 0
    ) -> "Reference":
        """Query every test row once, through the evaluation account.

        The cost is `len(test)` queries, and `uniform` more for a table. Rows that the victim
        refuses for good are left out.

        Args:
            oracle: with the account "evaluation", and no defence in front of the victim; it skips
                refused rows.
            uniform: number of uniform rows that a table's victim is queried with.

        Raises:
            CloneCostError: as the oracle.
        """
        index = torch.arange(len(test))
        answers = torch.cat([oracle(test.rows(rows, device)) for rows in index.split(BATCH)])
        told = answered(answers)
        if not told.all():
            test, answers = test.take(told.to(test.inputs.device)), answers[told]
        features = oracle.threat.features
        test = replace(test, features=features)
        if features is None or not uniform:
            return cls(test.to(device), answers, multi_label=oracle.threat.multi_label)
        rng = torch.Generator().manual_seed(UNIFORM_SEED)
        rows = uniform_rows(features, uniform, rng).to(device)
        uniform_answers = torch.cat([oracle(part) for part in rows.split(BATCH)])
        told = answered(uniform_answers)
        return cls(test.to(device), answers, (rows[told], uniform_answers[told]))

    @property
    def predictions(self) -> Tensor:
        """(n,) the classes that the victim predicts."""
        return self.answers.argmax(1)

    def accuracy_of(self, predicted: Tensor) -> Rate | None:
        """The share of test rows whose true class is `predicted` (n,); None without labels."""
        return rate(predicted == self.test.labels) if self.test.labelled else None

    def victim_accuracy(self) -> Rate | None:
        """The share of test rows that the victim classifies correctly; None without labels."""
        return self.accuracy_of(self.predictions)

    def majority(self) -> float:
        """The majority-class baseline of agreement, in (0, 1]; of labels, the mean over them."""
        if self.multi_label:
            return label_majority(present(self.answers))
        return _largest_share(self.predictions)

    def majority_accuracy(self) -> float | None:
        """The majority-class baseline of accuracy, in (0, 1]; None without labels."""
        return _largest_share(self.test.labels) if self.test.labelled else None


def _largest_share(classes: Tensor) -> float:
    return int(classes.bincount().max()) / len(classes)


@torch.no_grad()
def _logits(clone: nn.Module, reference: Reference) -> Tensor:
    """(n, K), from a copy in eval mode: scoring must not change an attack in progress."""
    frozen = copy.deepcopy(clone).eval()
    device = reference.test.inputs.device
    index = torch.arange(len(reference.test), device=device)
    return torch.cat([frozen(reference.test.rows(rows, device)) for rows in index.split(BATCH)])


def predictions(clone: nn.Module, reference: Reference) -> Tensor:
    """(n,) the classes that the clone predicts on the test rows. The clone is left as it was."""
    return _logits(clone, reference).argmax(1)


def score(clone: nn.Module, reference: Reference, *, queries: int) -> Score:
    """Accuracy, agreement and KL of a clone on the whole test set.

    KL(victim || clone) is in nats, the mean over the test rows. Agreement needs no labels; without
    them, accuracy and relative accuracy are None. The clone is left as it was.

    Args:
        clone: (n, *input_shape) -> (n, K) logits, on the device of the reference.
        queries: rows that the attack had paid for when it yielded this clone.

    Example:
        >>> score(clone, reference, queries=10_000).agreement.value  # doctest: +SKIP
        0.913
    """
    logits = _logits(clone, reference)
    if reference.multi_label:
        return _on_labels(logits, reference, queries)
    predicted = logits.argmax(1)
    accuracy, victim_accuracy = reference.accuracy_of(predicted), reference.victim_accuracy()
    relative = None
    if accuracy and victim_accuracy:
        relative = accuracy.value / victim_accuracy.value if victim_accuracy.value else 0.0
    agreement = rate(predicted == reference.predictions)
    scale = corrected(agreement, reference.majority())
    by_class = [one.agreement for one in _by_class(predicted, reference) if one.agreement]
    mean = balanced(by_class)
    return Score(
        queries=queries,
        accuracy=accuracy,
        agreement=agreement,
        corrected_agreement=scale,
        balanced_agreement=mean,
        learnt=learnt(scale, mean, len(by_class)),
        relative_accuracy=relative,
        kl=float(kl(logits, reference.answers).mean().clamp_min(0)),  # -1e-17 is rounding
        table=_on_table(clone, logits, reference),
    )


def _on_labels(logits: Tensor, reference: Reference, queries: int) -> Score:
    """The score of a clone of a multi-label model, whose rows have no one true class."""
    victim = present(reference.answers)
    agrees = present(logits) == victim
    agreement = label_agreement(agrees)
    scale = corrected(agreement, reference.majority())
    mean = balanced_labels(agrees, victim)
    return Score(
        queries=queries,
        accuracy=None,
        agreement=agreement,
        corrected_agreement=scale,
        balanced_agreement=mean or agreement,
        learnt=mean is not None and learnt(scale, mean, 2),
        relative_accuracy=None,
        kl=float(kl(logits, reference.answers).mean().clamp_min(0)),
    )


@torch.no_grad()
def _on_table(clone: nn.Module, logits: Tensor, reference: Reference) -> TableScore | None:
    """R_test, R_unif and their TV forms (Tramèr et al., USENIX Security 2016, §4.1).

    None for images.
    """
    if reference.test.features is None:
        return None
    on_test = TableScore(
        r_test=rate(logits.argmax(1) != reference.predictions),
        tv_test=_total_variation(logits, reference.answers),
    )
    if reference.uniform is None:
        return on_test
    rows, answers = reference.uniform
    frozen = copy.deepcopy(clone).eval()
    logits = torch.cat([frozen(part) for part in rows.split(BATCH)])
    return on_test.model_copy(update={
        "uniform_rows": len(rows),
        "r_unif": rate(logits.argmax(1) != answers.argmax(1)),
        "tv_unif": _total_variation(logits, answers),
    })  # fmt: skip


def _total_variation(logits: Tensor, answers: Tensor) -> float:
    """The mean over the rows of 1/2 sum_k |p_k - q_k|, in [0, 1]."""
    return float(l1(logits, answers).mean() / 2)


def per_class(clone: nn.Module, reference: Reference) -> list[ClassAgreement]:
    """Agreement on the rows of each class that the victim predicts, in the order of the classes.

    The agreement is None for a class that the victim never predicts. Of a multi-label model each
    label's agreement is over all rows.
    """
    if reference.multi_label:
        victim, names = present(reference.answers), dict(enumerate(reference.test.classes))
        return per_label(present(_logits(clone, reference)) == victim, victim, names)
    return _by_class(_logits(clone, reference).argmax(1), reference)


def _by_class(predicted: Tensor, reference: Reference) -> list[ClassAgreement]:
    """As `per_class`, of the classes (n,) that a clone predicts."""
    victims, num_classes = reference.predictions, reference.answers.shape[1]
    rows = victims.bincount(minlength=num_classes).tolist()
    agreed = victims[predicted == victims].bincount(minlength=num_classes).tolist()
    names = dict(enumerate(reference.test.classes))
    return [
        ClassAgreement(
            name=names.get(k, str(k)), rows=count,
            agreement=Rate.of(hits, count) if count else None,
        )
        for k, (hits, count) in enumerate(zip(agreed, rows, strict=True))
    ]  # fmt: skip
