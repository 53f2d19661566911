"""Words and number formats that every form of the report, and the command line, share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from clonecost.report.aggregate import Group, answer_words, defence_words, group_runs
from clonecost.report.load_runs import Run
from clonecost.result import Result

# OWASP AI Testing Guide, AITG-APP-09: fidelity above 90 % is vulnerable, 75 to 90 % a warning.
VULNERABLE, WARNING = 0.90, 0.75

VERDICT_RULE = (
    "OWASP AITG-APP-09 calls a model vulnerable when a clone agrees with it on more than 90 % of "
    "unseen inputs, and warns from 75 %. Here the upper bound of the 95 % interval decides: what "
    "the measurement cannot rule out counts. More seeds or test rows make the interval narrower."
)
MAPPING = (
    "MITRE ATLAS AML.T0024.002 (Extract AI Model) · OWASP AI Testing Guide AITG-APP-09 "
    "(model extraction) · OWASP AISVS C11.5 (model extraction defence, draft)"
)
LIMITS = (
    "Only the attacks named here were run, each with the settings, student and data shown. Another "
    "attack, better settings, better data or more patience may do better: read agreement as a "
    "floor, and prices as a ceiling. "
    "“Not reached within N queries” is not “safe”: the next query was simply not sent. Agreement "
    "is measured on one test set and says nothing about inputs unlike it."
)


@dataclass(frozen=True)
class Verdict:
    band: Literal["vulnerable", "warning", "below", "reference"]
    title: str
    reason: str


def headline(of: Group | Run | Result) -> str:
    """What a clone costs and how good it is, in one sentence for people who read only one."""
    if isinstance(of, Result):
        of = Run(Path(), of)
    group = of if isinstance(of, Group) else group_runs([of])[0]
    final = group.final.agreement
    if group.white_box:
        start = "Reading the model itself (a white-box reference, not an attack through the API),"
    else:
        price = "" if group.usd is None else f" {about_usd(group.usd)},"
        start = f"At {count(group.spent, 'query')},{price}"
    seeds = f"mean of {len(group.runs)} seeds, " if len(group.runs) > 1 else ""
    return (
        f"{start} a clone agrees with your model on {percent(final.value)} of inputs it has not "
        f"seen ({seeds}95 % interval {percent_range(final.low, final.high)}; a clone that always "
        f"names the commonest class would reach {percent(group.majority)})."
    )


def verdict(group: Group) -> Verdict:
    """The band of OWASP AITG-APP-09 that the upper bound of the final agreement falls into."""
    if group.white_box:
        return Verdict("reference", "Reference", "White box: no verdict on the API.")
    final = group.final.agreement
    upper = f"the interval's upper bound, {percent(final.high, 1)},"
    estimate = f"the estimate itself is {percent(final.value, 1)}"
    if final.high > VULNERABLE:
        reason = f"{upper} is above 90 %; {estimate}."
        return Verdict("vulnerable", "Vulnerable", _sentence(reason))
    if final.high >= WARNING:
        reason = f"{upper} lies between 75 and 90 %; {estimate}."
        return Verdict("warning", "Warning", _sentence(reason))
    title = f"Below the warning band within {count(group.spent, 'query')}"
    return Verdict("below", title, _sentence(f"{upper} is below 75 %; {estimate}."))


def reached(group: Group, level: float) -> str:
    """The first scored milestone at which agreement was at least `level`: "≤ 20,000".

    A dash for a white-box reference, which has no price in queries.
    """
    if group.white_box:
        return "–"
    queries = group.reached(level)
    return f"not within {group.spent:,}" if queries is None else f"≤ {queries:,}"


def reached_usd(group: Group, level: float) -> str:
    """What those queries cost: "≤ $20"; a dash without a price or when never reached."""
    queries = group.reached(level)
    cost = None if queries is None or group.white_box else group.cost_of(queries)
    return "–" if cost is None else f"≤ {usd(cost)}"


def interval_words(group: Group) -> str:
    """What the intervals of this group cover."""
    if len(group.runs) == 1:
        return "1 seed: the interval covers the test rows, not the luck of training"
    return f"{len(group.runs)} seeds: mean, and Student's t-interval over the seeds"


def threat_words(result: Result) -> str:
    """The threat model in plain sentences, for one attack."""
    threat, attack = result.threat, result.attack
    seen = {
        "label": "only the winning class",
        "top_k": f"the {threat.top_k} likeliest classes with their probabilities",
        "probs": f"the probabilities of all {threat.num_classes} classes",
    }[threat.answers]
    pixels = {"uint8": "8-bit pixels, as a real image API takes them", "float32": "float32 pixels"}
    size = " × ".join(map(str, threat.input_shape))
    holds = f"holds the data set {attack.proxy}" if attack.proxy else "brings no data of its own"
    access = (
        "A white-box reference: it reads the model itself, as no client of the API can."
        if threat.access == "white-box"
        else "The attacker sees the model only through its API."
    )
    if threat.features is not None:
        columns = count(len(threat.features), "feature")
        left_out = " and each of which it may leave out" if threat.incomplete else ""
        return (
            f"{access} It may send {count(threat.query_budget, 'row')} of a table of {columns}, "
            f"whose ranges and categories it knows{left_out}, and reads {seen} of each answer. "
            f"It {holds}."
        )
    asks = (
        f"It may send {count(threat.query_budget, 'input')} of shape {size} in "
        f"{pixels[threat.input_precision]}, and reads {seen} of each answer."
        if threat.query_budget
        else f"It asks the API nothing; inputs have the shape {size}."
    )
    return f"{access} {asks} It {holds} and trains the student {attack.student}."


def threats(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """(labels, words) for every threat model among the groups, each told once."""
    told: dict[str, list[str]] = {}
    for group in groups:
        told.setdefault(threat_words(group.first), []).append(group.label)
    return [("; ".join(labels), words) for words, labels in told.items()]


def threat_facts(group: Group) -> dict[str, str]:
    """The same as rows of a table."""
    threat, attack = group.first.threat, group.first.attack
    return {
        "Access": threat.access,
        "Answers": answer_words(group.first),
        "Input": input_words(group.first),
        "Query budget": f"{threat.query_budget:,}",
        "Attacker's data": attack.proxy or "none",
        "Student": attack.student,
        "Defences": defence_words(group.first.defences),
    }


def input_words(result: Result) -> str:
    """What one query is made of: "1 × 32 × 32, float32", "a row of 30 features"."""
    threat = result.threat
    if threat.features is not None:
        left_out = ", any of them missing" if threat.incomplete else ""
        return f"a row of {count(len(threat.features), 'feature')}{left_out}"
    return " × ".join(map(str, threat.input_shape)) + f", {threat.input_precision}"


def table_errors(group: Group) -> str | None:
    """Tramèr et al.'s errors of the last clones, averaged over seeds; None for images."""
    found = [run.result.curve[-1].table for run in group.runs]
    errors = [error for error in found if error is not None]
    if not errors:
        return None
    wrong = fmean(error.r_test.value for error in errors)
    off = fmean(error.tv_test for error in errors)
    words = (
        f"On the test rows the clone names another class in {percent(wrong, 2)} (R_test), and its "
        f"probabilities are off by {off:.1e} in total variation"
    )
    even = [(e.r_unif.value, e.tv_unif, e.uniform_rows) for e in errors if e.r_unif is not None]
    if not even:
        return f"{words}."
    wrong, off = fmean(one[0] for one in even), fmean(one[1] or 0.0 for one in even)
    return (
        f"{words}; on {even[0][2]:,} rows drawn evenly from the features' ranges, bought for the "
        f"evaluation, in {percent(wrong, 2)} (R_unif) and by {off:.1e}."
    )


def endpoint_words(groups: Sequence[Group]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Of every remote victim: one sentence on its traffic, and the facts of the permission."""
    told: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for group in groups:
        found = [run.result for run in group.runs if run.result.endpoint]
        if not found or found[0].endpoint is None:
            continue
        card = found[0].endpoint
        took = ""
        if card.latency is not None:
            took = f"; one took {card.latency:.2g} s (median of {card.requests:,})"
        words = (
            f"Asked over the network at {card.url} ({card.protocol}), at most {card.rate:g} rows "
            f"a second, {card.rows_per_request} rows a request{took}."
        )
        permit = card.authorisation
        facts = (
            [("Authorisation", "none needed: the endpoint is on the machine of the audit")]
            if permit is None
            else [("Owner", permit.owner), ("Authorised by", permit.granted_by),
                  ("On", permit.date), ("Scope", permit.scope)]
        )  # fmt: skip
        told.setdefault(f"{card.url} {facts}", (words, facts))
    return list(told.values())


def reached_hours(group: Group, level: float) -> str:
    """What sending those queries takes at the endpoint's rate cap: "≥ 2.8 h"; "" elsewhere."""
    queries, card = group.reached(level), group.first.endpoint
    if queries is None or card is None or group.white_box:
        return ""
    return f"≥ {duration(3600 * card.hours(queries))}"


def percent(value: float, decimals: int = 0) -> str:
    """A share as "91 %"; more decimals where rounding would say 0, 75, 90 or 100 and be wrong."""
    return f"{_percent(value, decimals)} %" if math.isfinite(value) else "–"


def percent_range(low: float, high: float, decimals: int = 0) -> str:
    """ "90 to 92 %"."""
    return f"{_percent(low, decimals)} to {_percent(high, decimals)} %"


def count(number: int, noun: str) -> str:
    """ "20,000 queries", "1 query"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def usd(amount: float) -> str:
    """US dollars as exactly as anybody needs them: "$0.35", "$20", "$1,234"."""
    if 0 < amount < 0.005:
        return "< $0.01"
    whole = amount >= 10 or amount == round(amount)
    return f"${amount:,.0f}" if whole else f"${amount:,.2f}"


def about_usd(amount: float) -> str:
    return "less than $0.01" if 0 < amount < 0.005 else f"about {usd(amount)}"


def nats(value: float) -> str:
    """A divergence or entropy in nats: three decimals, "∞" when infinite."""
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if math.isfinite(value) else "∞"


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


_TELLING = (0.0, 75.0, 90.0, 100.0)  # figures that must not be the work of rounding


def _percent(value: float, decimals: int) -> str:
    for places in range(decimals, 5):
        shown = f"{100 * value:.{places}f}"
        if float(shown) not in _TELLING or abs(100 * value - float(shown)) < 1e-9:
            break
    return shown


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
