"""Red flags: reasons for which an audit's own numbers may mislead.

docs/flags.md lists each code with its condition and its remedy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clonecost.evaluation.chance import corrected, few_others
from clonecost.result import (
    Control,
    Flag,
    Rate,
    Score,
    SpotCheck,
    ThreatCard,
    Traffic,
    percent,
)

# below this, rounding cost agreement (LOG.md, 2026-11-25)
MIN_ROWS_PER_UNKNOWN = 5.0

AT_CHANCE = 0.05  # a victim whose chance-corrected accuracy is at most this is no classifier
ONE_SIDED = 0.9  # share of the answers that predict one class


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Declarations of an attack and of the audit's defences on which a flag depends.

    Attributes:
        finite_differences: the attack uses differences between answers to nearby inputs.
        rows_per_unknown: queries for each unknown, if the attack solves equations.
        published_wiring: the generator's tanh is used as the victim's normalised input.
        coarse_defence: a defence rounds or truncates answers.
        random_answers: the largest change of a probability when the victim is asked rows again.
        batch_answers: the same when it is asked rows alone or in another order.
    """

    finite_differences: bool = False
    rows_per_unknown: float | None = None
    published_wiring: bool = False
    coarse_defence: bool = False
    random_answers: float = 0.0
    batch_answers: float = 0.0


def flags(
    *,
    threat: ThreatCard,
    attack: str,
    traits: Traits,
    curve: Sequence[Score],
    victim_accuracy: Rate | None,
    majority_accuracy: float | None,
    majority: float,
    test_rows: int,
    overlap: int,
    traffic: Traffic,
    lost: int,
    resumed: int,
    refused: int = 0,
    refusal: str = "",
    spot: SpotCheck | None = None,
    releases: Sequence[str] = (),
    controls: Sequence[Control] = (),
    remark: str = "",
) -> list[Flag]:
    """The flags of one audit, warnings first.

    Args:
        attack: the attack's name, for the messages.
        curve: a score for each milestone, the last clone's at the end; at least one.
        victim_accuracy: of the undefended victim on the test rows; None without labels.
        majority_accuracy: the majority-class baseline of accuracy, in (0, 1]; None without labels.
        majority: the majority-class baseline of agreement, in [0, 1].
        test_rows: rows of the test set.
        overlap: test rows that are also in the proxy data.
        lost: rows of the attack paid without a usable answer.
        refused: rows of the attack and the test set that the victim refused for good.
        refusal: its words for the first of them.
        resumed: how often the audit was resumed.
        spot: the result of the spot checks, if any was made.
        controls: the controls, if any was trained.
        remark: the attack's own sentence, without its full stop, if its clone falls short.
    """
    found = [
        *_data(test_rows, overlap, majority),
        *_victim(victim_accuracy, majority_accuracy),
        *_attack(threat, attack, traits),
        *_outcome(threat, curve, majority, traffic),
        *_remark(attack, remark),
        *_controls(curve[-1], controls),
        *_run(lost, refused, refusal, resumed, spot, releases),
    ]
    return sorted(found, key=lambda flag: flag.severity != "warning")


def _data(test_rows: int, overlap: int, majority: float) -> Iterable[Flag]:
    if overlap:
        yield _warning(
            "proxy-overlaps-test",
            f"{overlap:,} of {test_rows:,} test inputs are also in the proxy data. The clone is "
            "trained on inputs that it is tested on, so agreement is too high.",
        )
    if few_others(test_rows, majority):
        others = test_rows - round(majority * test_rows)
        yield _warning(
            "too-few-other-classes",
            f"The victim puts {others:,} of {test_rows:,} test inputs outside its most frequent "
            "class, too few to tell a good clone from one that always predicts this class. Use a "
            "test set with more inputs of the other classes.",
        )
    if test_rows < 1000:
        yield _info(
            "small-test-set",
            f"The test set has only {test_rows:,} inputs. The confidence intervals are wide, and "
            "small differences are not significant.",
        )


def _victim(accuracy: Rate | None, majority: float | None) -> Iterable[Flag]:
    if accuracy is None or majority is None:
        yield _info(
            "no-labels",
            "The test set has no labels, so no accuracy is known. Agreement needs no labels.",
        )
        return
    found = corrected(accuracy, majority)
    if found.value <= AT_CHANCE or not found.above_chance:
        yield _warning(
            "victim-at-chance",
            f"The victim's accuracy is {percent(accuracy.value)}. A model that always predicts the "
            f"most frequent label has {percent(majority)}. Check the value range, the class order "
            "and the test set.",
        )


def _attack(threat: ThreatCard, attack: str, traits: Traits) -> Iterable[Flag]:
    if threat.access == "white-box":
        yield _info(
            "white-box-reference",
            f"{attack} read the victim's own network. It is a reference for attacks through the "
            "API and says nothing about the API.",
        )
    coarse = threat.answers != "probs" or traits.coarse_defence
    rows = traits.rows_per_unknown
    one_equation = threat.num_classes == 2  # an answer of K classes gives K - 1 equations
    if coarse and one_equation and rows is not None and rows < MIN_ROWS_PER_UNKNOWN:
        yield _warning(
            "equations-of-coarse-answers",
            f"{attack} has {rows:g} equation(s) for each unknown, from rounded or truncated "
            f"answers. With fewer than {MIN_ROWS_PER_UNKNOWN:g}, rounding errors do not average "
            "out.",
        )
    if traits.finite_differences and threat.input_precision == "uint8":
        yield _warning(
            "differences-in-8-bit",
            f"{attack} uses finite differences between answers to nearby inputs. 8-bit inputs "
            "round these differences away, so its generator is trained on noise.",
        )
    if traits.finite_differences and coarse:
        yield _warning(
            "differences-of-coarse-answers",
            f"{attack} uses finite differences of rounded or truncated answers. Most of its "
            "generator's gradients are noise.",
        )
    if traits.random_answers:
        yield _warning(
            "random-victim",
            "The victim answers at random: when the same rows were asked again, a probability "
            f"changed by up to {traits.random_answers:.2g}. Check that the model is in eval mode "
            "(dropout off). No clone can agree with it more than it agrees with itself.",
        )
    if traits.batch_answers:
        yield _warning(
            "batch-dependent-victim",
            "The victim's answers depend a little on the other rows of a batch: a probability "
            f"changed by up to {traits.batch_answers:.2g} when rows were asked alone or in "
            "another order, as of a model that is quantised anew for each batch.",
        )
    if traits.published_wiring:
        yield _warning(
            "published-wiring",
            "The generator's tanh is used as the victim's normalised input, as in the released "
            "scripts. An attacker who only sends pixels cannot do this.",
        )


def _outcome(
    threat: ThreatCard, curve: Sequence[Score], majority: float, traffic: Traffic
) -> Iterable[Flag]:
    last = curve[-1].agreement
    best = max(curve, key=lambda score: score.agreement.value)
    if not curve[-1].learnt:
        yield _warning(
            "clone-learned-nothing",
            f"The clone's agreement, {last}, could be chance: the majority-class baseline is "
            f"{percent(majority)}. The attack failed and says little about the victim.",
        )
    if best.agreement.low > last.high:
        yield _warning(
            "clone-got-worse",
            f"An earlier clone had a higher agreement ({percent(best.agreement.value)} after "
            f"{best.queries:,} queries). Training was unstable; the last clone is the result.",
        )
    largest_share = max(traffic.class_histogram, default=0) / max(1, traffic.rows)
    # a victim that gives one class for most test inputs gives it for most queries, too
    one_sided = largest_share > ONE_SIDED and 1 - largest_share < (1 - majority) / 2
    # an attack on a table solves equations for all classes, whichever is the predicted one
    solved = threat.features is not None and threat.answers == "probs"
    if one_sided and not solved and not threat.multi_label:
        yield _warning(
            "one-sided-questions",
            f"{percent(largest_share)} of the answers predict the same class. The clone was "
            "trained on few answers of the other classes.",
        )


def _remark(attack: str, remark: str) -> Iterable[Flag]:
    if remark:
        yield _warning(
            "attack-fell-short",
            f"{attack} did not find what it promises. {remark.rstrip('.')}. The clone says what "
            "this attack can do, not how safe the victim is.",
        )


def _controls(last: Score, controls: Iterable[Control]) -> Iterable[Flag]:
    clone = last.corrected_agreement
    blind = [control for control in controls if control.name != "true_labels"]
    best = max((control.corrected_agreement.value for control in blind), default=None)
    if best is not None and last.learnt and clone.low <= best:
        yield _warning(
            "clone-no-better-than-control",
            f"The clone's chance-corrected agreement ({percent(clone.value)}) is not above that of "
            f"a control without the victim's answers ({percent(best)}). The answers added nothing.",
        )


def _run(
    lost: int,
    refused: int,
    refusal: str,
    resumed: int,
    spot: SpotCheck | None,
    releases: Sequence[str],
) -> Iterable[Flag]:
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
    if refused:
        yield _info(
            "refused-rows",
            f"{refused:,} queries were refused by the victim for good ({refusal}). They are paid, "
            "no answer of them is used, and refused test rows are left out of every score.",
        )
    if len(releases) > 1:
        yield _warning(
            "resumed-under-another-version",
            f"The run began under {releases[0]} and was resumed under "
            f"{', then '.join(releases[1:])}. Every paid answer was used, but a clone of one "
            "version alone can differ.",
        )
    if resumed:
        yield _info("resumed", f"The audit was interrupted and resumed {resumed} time(s).")


def _warning(code: str, message: str) -> Flag:
    return Flag(code=code, severity="warning", message=message)


def _info(code: str, message: str) -> Flag:
    return Flag(code=code, severity="info", message=message)
