"""What stands beside the verdict: classes, traffic, controls and flags, over a group's seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from clonecost.report.aggregate import Estimate, Group, estimate
from clonecost.result import Flag


@dataclass(frozen=True)
class ClassRow:
    """One class of the victim: how well the clone knows it, and how often it was answered."""

    name: str
    rows: int
    agreement: Estimate | None
    share: float  # of the answers the attack bought


@dataclass(frozen=True)
class TrafficSummary:
    rows: int  # over all seeds
    mean_entropy: float  # nats
    confident: float  # share of answers with a top probability above 0.9


@dataclass(frozen=True)
class ControlSummary:
    name: str
    accuracy: Estimate
    agreement: Estimate


@dataclass(frozen=True)
class RaisedFlag:
    flag: Flag
    labels: tuple[str, ...]  # of the groups it was raised in


def class_rows(group: Group) -> list[ClassRow]:
    """Per class: agreement over the group's seeds, share of the answers. In the victim's order."""
    results = [run.result for run in group.runs]
    bought = max(1, sum(result.traffic.rows for result in results))
    rows = []
    for index, card in enumerate(group.first.per_class):
        rates = [r.per_class[index].agreement for r in results if index < len(r.per_class)]
        known = [rate for rate in rates if rate is not None]
        answered = sum(sum(r.traffic.class_histogram[index : index + 1]) for r in results)
        agreement = estimate(known) if known else None
        rows.append(ClassRow(card.name, card.rows, agreement, answered / bought))
    return rows


def lowest_first(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """By agreement; classes that the victim never names come last."""
    return sorted(rows, key=lambda row: row.agreement.value if row.agreement else 2)


def traffic(group: Group) -> TrafficSummary:
    """What was asked and answered over all seeds; means are weighted by rows."""
    all_traffic = [run.result.traffic for run in group.runs]
    rows = sum(one.rows for one in all_traffic)
    weights = [one.rows / rows if rows else 0.0 for one in all_traffic]
    return TrafficSummary(
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
                name.replace("_", " "),
                estimate([control.accuracy for control in same]),
                estimate([control.agreement for control in same]),
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
    """What the clones of a group could be used for, as far as it was tried."""
    found = [strength for run in group.runs if run.transfer for strength in run.transfer.found]
    kinds = dict.fromkeys((strength.epsilon, strength.method) for strength in found)
    views = []
    for epsilon, method in kinds:
        same = [s for s in found if (s.epsilon, s.method) == (epsilon, method)]
        views.append(
            TransferSummary(
                TRANSFER_METHODS.get(method, method), epsilon,
                estimate([strength.fooled for strength in same]),
                estimate([strength.fooled_clone for strength in same]),
            )
        )  # fmt: skip
    return views


def transfer_rows(groups: Sequence[Group]) -> str:
    """What it cost: "2,492 rows were asked for it"."""
    tried = [run.transfer for group in groups for run in group.runs if run.transfer]
    lost = sum(one.lost for one in tried)
    more = f", and {lost:,} more were lost" if lost else ""
    return f"{sum(one.queries for one in tried):,} rows were asked for it{more}."


TRANSFER_METHODS = {
    "noise": "noise (control)", "fgsm": "FGSM", "pgd": "PGD", "mim": "momentum FGSM",
}  # fmt: skip
TRANSFER_RULE = (
    "Of the test rows that the API named rightly: the share that it named wrongly once they were "
    "changed, no pixel by more than epsilon, so that the clone would err. Noise of the same size "
    "needs no clone. These rows were asked after the audit, are counted apart, and are in no price "
    "above."
)


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
