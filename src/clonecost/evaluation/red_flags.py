"""Red flags about the audit itself: what a reader must know before believing its numbers.

Each flag is documented in docs/flags.md with what raises it and what to do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clonecost.result import Flag, Rate, Score, SpotCheck, ThreatCard, Traffic

SLACK = 5.0  # rows for each unknown, below which rounding cost agreement (LOG.md, 2026-11-25)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What an attack and the defences of one audit declare that a flag depends on."""

    finite_differences: bool = False  # differences between answers to inputs close together
    rows_per_unknown: float | None = None  # asked by an attack that solves equations
    published_wiring: bool = False  # the generator makes the victim's normalised inputs
    coarse_defence: bool = False  # a defence cuts or rounds answers


def flags(
    *,
    threat: ThreatCard,
    attack: str,
    traits: Traits,
    curve: Sequence[Score],
    victim_accuracy: Rate,
    majority: float,
    test_rows: int,
    overlap: int,
    traffic: Traffic,
    lost: int,
    resumed: int,
    spot: SpotCheck | None = None,
) -> list[Flag]:
    """Everything that is doubtful about one audit, worst first."""
    found = [
        *_data(test_rows, overlap, victim_accuracy, majority),
        *_attack(threat, attack, traits),
        *_outcome(threat, curve, majority, traffic),
        *_run(lost, resumed, spot),
    ]
    return sorted(found, key=lambda flag: flag.severity != "warning")


def _data(test_rows: int, overlap: int, accuracy: Rate, majority: float) -> Iterable[Flag]:
    if overlap:
        yield _warning(
            "proxy-overlaps-test",
            f"{overlap:,} of {test_rows:,} test rows also stand in the proxy data: the attacker "
            "is trained on what the clone is examined on",
        )
    if accuracy.value <= majority + 0.05:
        yield _warning(
            "victim-at-chance",
            f"the victim's own accuracy is {accuracy.value:.1%}, hardly more than always naming "
            "its commonest class: wrong value range, class order or test set?",
        )
    if test_rows < 1000:
        yield _info(
            "small-test-set",
            f"only {test_rows:,} test rows: intervals are wide, small differences mean nothing",
        )


def _attack(threat: ThreatCard, attack: str, traits: Traits) -> Iterable[Flag]:
    if threat.access == "white-box":
        yield _info(
            "white-box-reference",
            f"{attack} read the victim's own network: a reference to hold attacks against, and no "
            "finding about the API",
        )
    coarse = threat.answers != "probs" or traits.coarse_defence
    rows = traits.rows_per_unknown
    one_equation = threat.num_classes == 2  # a row gives; of K classes it gives K - 1
    if coarse and one_equation and rows is not None and rows < SLACK:
        yield _warning(
            "equations-of-coarse-answers",
            f"{attack} solves {rows:g} equation(s) for each unknown, of answers that are cut or "
            "rounded: little evens out what rounding took away, a few times as many may",
        )
    if traits.finite_differences and threat.input_precision == "uint8":
        yield _warning(
            "differences-in-8-bit",
            f"{attack} takes differences between answers to inputs that lie close together; 8-bit "
            "inputs round the distance away: its generator learns from noise",
        )
    if traits.finite_differences and coarse:
        yield _warning(
            "differences-of-coarse-answers",
            f"{attack} takes differences of answers that are cut or rounded: most of its "
            "generator's gradients are noise",
        )
    if traits.published_wiring:
        yield _warning(
            "published-wiring",
            "the generator's tanh is taken for the victim's normalised input, as in the released "
            "scripts: an attacker who only sends pixels does not have this",
        )


def _outcome(
    threat: ThreatCard, curve: Sequence[Score], majority: float, traffic: Traffic
) -> Iterable[Flag]:
    last = curve[-1].agreement
    best = max(curve, key=lambda score: score.agreement.value)
    if last.low <= majority:
        yield _warning(
            "clone-learned-nothing",
            f"the clone's agreement ({last.value:.1%}) is not above that of always naming the "
            f"commonest class ({majority:.1%}): a failed attack says little about the victim",
        )
    if best.agreement.low > last.high:
        yield _warning(
            "clone-got-worse",
            f"an earlier clone agreed more ({best.agreement.value:.1%} at {best.queries:,} "
            "queries): training was unstable, the last clone is the result all the same",
        )
    commonest = max(traffic.class_histogram, default=0) / max(1, traffic.rows)
    # equations are solved on probabilities: of a table they teach all classes, whichever wins
    solved = threat.features is not None and threat.answers == "probs"
    if commonest > 0.9 and not solved:
        yield _warning(
            "one-sided-questions",
            f"{commonest:.0%} of the answers name one class: what was asked hardly taught others",
        )


def _run(lost: int, resumed: int, spot: SpotCheck | None) -> Iterable[Flag]:
    if spot and spot.changed:
        yield _warning(
            "victim-changed",
            f"{spot.changed} of {spot.asked} rows that were asked again got other answers, by up "
            f"to {spot.largest:.2g}: another model, answers drawn at random, or rows mixed up; "
            "the clone learnt from all of them",
        )
    if spot and spot.asked < spot.rows:
        yield _info(
            "spot-check-failed",
            f"{spot.rows - spot.asked} of {spot.rows} rows of the spot checks were paid and not "
            "compared: whether the victim changed is less sure",
        )
    if lost:
        yield _info(
            "lost-rows",
            f"{lost:,} rows were sent whose answer never arrived or was unusable; they are in "
            "the price",
        )
    if resumed:
        yield _info("resumed", f"the audit was interrupted and went on {resumed} time(s)")


def _warning(code: str, message: str) -> Flag:
    return Flag(code=code, severity="warning", message=message)


def _info(code: str, message: str) -> Flag:
    return Flag(code=code, severity="info", message=message)
