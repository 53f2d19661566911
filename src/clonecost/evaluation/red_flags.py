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
            f"{overlap:,} of {test_rows:,} test inputs are also in the proxy data. The clone is "
            "trained on inputs that it is tested on, so agreement is too high.",
        )
    if accuracy.value <= majority + 0.05:
        yield _warning(
            "victim-at-chance",
            f"The victim's accuracy is {accuracy.value:.1%}, close to the majority-class baseline "
            f"({majority:.1%}). Check the value range, the class order and the test set.",
        )
    if test_rows < 1000:
        yield _info(
            "small-test-set",
            f"The test set has only {test_rows:,} inputs. The confidence intervals are wide, and "
            "small differences are not significant.",
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
            f"The clone's agreement ({last.value:.1%}) is not above the majority-class baseline "
            f"({majority:.1%}). The attack failed and says little about the victim.",
        )
    if best.agreement.low > last.high:
        yield _warning(
            "clone-got-worse",
            f"An earlier clone had a higher agreement ({best.agreement.value:.1%} after "
            f"{best.queries:,} queries). Training was unstable; the last clone is the result.",
        )
    commonest = max(traffic.class_histogram, default=0) / max(1, traffic.rows)
    # equations are solved on probabilities: of a table they teach all classes, whichever wins
    solved = threat.features is not None and threat.answers == "probs"
    if commonest > 0.9 and not solved:
        yield _warning(
            "one-sided-questions",
            f"{commonest:.0%} of the answers give the same class. The clone saw few answers of the "
            "other classes.",
        )


def _run(lost: int, resumed: int, spot: SpotCheck | None) -> Iterable[Flag]:
    if spot and spot.changed:
        yield _warning(
            "victim-changed",
            f"{spot.changed} of {spot.asked} repeated queries got a different answer (largest "
            f"change of a probability: {spot.largest:.2g}). The victim changed, answers at random "
            "or mixes up rows; the clone was trained on all answers.",
        )
    if spot and spot.asked < spot.rows:
        yield _info(
            "spot-check-failed",
            f"{spot.rows - spot.asked} of {spot.rows} repeated queries got no usable answer. A "
            "change of the victim is harder to detect.",
        )
    if lost:
        yield _info(
            "lost-rows",
            f"{lost:,} queries got no usable answer. The price includes them.",
        )
    if resumed:
        yield _info("resumed", f"The audit was interrupted and resumed {resumed} time(s).")


def _warning(code: str, message: str) -> Flag:
    return Flag(code=code, severity="warning", message=message)


def _info(code: str, message: str) -> Flag:
    return Flag(code=code, severity="info", message=message)
