"""Classes, answers, controls, adversarial transfer and flags, each over the seeds of a group."""

from collections.abc import Sequence
from dataclasses import dataclass

from clonecost.report.aggregate import Estimate, Group, estimate, estimate_known
from clonecost.result import Flag

CONTROL_NAMES = {
    "shuffled_answers": "Shuffled answers",
    "untrained_student": "Untrained student",
    "true_labels": "Trained on true labels",
}


@dataclass(frozen=True)
class ClassRow:
    """One class of the victim: the clone's agreement in it, and its share of the answers."""

    name: str
    rows: int
    agreement: Estimate | None  # None: the victim puts no test input into this class
    share: float | None  # of the answers to the attack; None without answers
    # of a multi-label model's label: agreement of a clone that always decides the same on it
    majority: float | None = None


@dataclass(frozen=True)
class AnswerSummary:
    """The answers to the attack, over all seeds."""

    rows: int
    mean_entropy: float  # nats
    confident: float  # share of answers with a top probability above 0.9


@dataclass(frozen=True)
class ControlSummary:
    name: str
    agreement: Estimate
    corrected: Estimate
    accuracy: Estimate | None  # None: the test set has no labels


@dataclass(frozen=True)
class RaisedFlag:
    flag: Flag
    labels: tuple[str, ...]  # of the groups it was raised in


def class_rows(group: Group) -> list[ClassRow]:
    """Per class: agreement over the group's seeds, share of the answers. In the victim's order."""
    results = [run.result for run in group.runs]
    answers = sum(result.traffic.rows for result in results)
    rows = []
    for index, card in enumerate(group.first.per_class):
        rates = [r.per_class[index].agreement for r in results if index < len(r.per_class)]
        known = [rate for rate in rates if rate is not None]
        named = sum(sum(r.traffic.class_histogram[index : index + 1]) for r in results)
        agreement = estimate(known) if known else None
        share = named / answers if answers else None
        rows.append(ClassRow(card.name, card.rows, agreement, share, card.majority))
    return rows


def lowest_first(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """By agreement; classes without a test input come last."""
    return sorted(rows, key=lambda row: row.agreement.value if row.agreement else 2)


def answers(group: Group) -> AnswerSummary | None:
    """The answers over all seeds, means weighted by rows; None when no query was sent."""
    all_traffic = [run.result.traffic for run in group.runs]
    rows = sum(one.rows for one in all_traffic)
    if not rows:
        return None
    weights = [one.rows / rows for one in all_traffic]
    return AnswerSummary(
        rows=rows,
        mean_entropy=sum(w * t.mean_entropy for w, t in zip(weights, all_traffic, strict=True)),
        confident=sum(w * t.confident for w, t in zip(weights, all_traffic, strict=True)),
    )


def controls(group: Group) -> list[ControlSummary]:
    """Each control's scores over the seeds that ran it."""
    found = [control for run in group.runs for control in run.result.controls]
    views = []
    for name in dict.fromkeys(control.name for control in found):
        same = [control for control in found if control.name == name]
        views.append(
            ControlSummary(
                CONTROL_NAMES[name],
                estimate([control.agreement for control in same]),
                estimate([control.corrected_agreement for control in same]),
                estimate_known([control.accuracy for control in same]),
            )
        )
    return views


@dataclass(frozen=True)
class TransferSummary:
    """Adversarial examples of one kind and size, over the seeds that tried them."""

    method: str
    epsilon: float
    fooled: Estimate
    fooled_clone: Estimate


def transfers(group: Group) -> list[TransferSummary]:
    """The adversarial examples made with the clones of a group, by size and method."""
    found = [strength for run in group.runs if run.transfer for strength in run.transfer.found]
    kinds = dict.fromkeys((strength.epsilon, strength.method) for strength in found)
    views = []
    for epsilon, method in kinds:
        same = [s for s in found if (s.epsilon, s.method) == (epsilon, method)]
        views.append(
            TransferSummary(
                method, epsilon,
                estimate([strength.fooled for strength in same]),
                estimate([strength.fooled_clone for strength in same]),
            )
        )  # fmt: skip
    return views


def flags(groups: Sequence[Group]) -> list[RaisedFlag]:
    """Every flag once, with the groups it was raised in; warnings first."""
    raised: dict[tuple[str, str, str], dict[str, Flag]] = {}
    for group in groups:
        for run in group.runs:
            for flag in run.result.flags:
                found = raised.setdefault((flag.severity, flag.code, flag.message), {})
                found[group.label] = flag
    views = [RaisedFlag(next(iter(found.values())), tuple(found)) for found in raised.values()]
    return sorted(views, key=lambda view: view.flag.severity != "warning")
