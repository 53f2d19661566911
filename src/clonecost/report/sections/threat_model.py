"""What the attacker knows, sees and may spend, and the defences of the victim."""

from collections.abc import Sequence

from clonecost.report.aggregate import (
    Group,
    answer_words,
    counter_words,
    defence_words,
    setting_words,
)
from clonecost.report.model import (
    Block,
    Code,
    Details,
    Facts,
    Grid,
    GridRow,
    Section,
    Strong,
    Words,
    text,
)
from clonecost.report.number_format import count
from clonecost.result import Result

TITLE = "Threat model"


def threat_model(groups: Sequence[Group]) -> Section:
    told: dict[str, list[str]] = {}
    for group in groups:
        told.setdefault(threat_words(group.first), []).append(group.label)
    blocks: list[Block] = [
        text(Strong(f"{'; '.join(labels)}."), f" {said}") if len(groups) > 1 else text(said)
        for said, labels in told.items()
    ]
    names = tuple(_facts(groups[0].first))
    rows = tuple(
        GridRow((Words(group.label), *map(Words, _facts(group.first).values()))) for group in groups
    )
    blocks.append(Grid(TITLE, ("Attack", *names), rows, wordy=True))
    blocks += [_settings(group) for group in groups if group.first.attack.settings]
    return Section(TITLE, tuple(blocks))


def threat_words(result: Result) -> str:
    """The threat model of one attack in plain sentences."""
    threat, attack = result.threat, result.attack
    access = (
        "The white-box reference reads the victim's weights; an attacker behind the API cannot."
        if threat.access == "white-box"
        else "The attacker sees the victim only through its API."
    )
    proxy = (
        f"The attacker owns the data set {attack.proxy} (proxy data)"
        if attack.proxy
        else "The attacker owns no data"
    )
    student = f"{proxy} and trains the student {attack.student}."
    counter = _counter(result)
    if threat.features is not None:
        return f"{access} {_tabular_words(result)} {_answers(result)} {proxy}.{counter}"
    if threat.text:
        return (
            f"{access} The attacker may send {count(threat.query_budget, 'text')} of at most "
            f"{threat.input_shape[0]:,} bytes. {_answers(result)} {proxy}.{counter}"
        )
    size = " × ".join(map(str, threat.input_shape))
    if not threat.query_budget:
        return f"{access} The attack sends no query; inputs have the shape {size}. {student}"
    pixels = {
        "uint8": "8-bit pixels (as an image API accepts them)",
        "float32": "float32 pixels",
        "float64": "float64 values",
    }[threat.input_precision]
    return (
        f"{access} The attacker may send {count(threat.query_budget, 'input')} of shape {size} "
        f"with {pixels}. {_answers(result)} {student}{counter}"
    )


def _tabular_words(result: Result) -> str:
    threat = result.threat
    features = count(len(threat.features or []), "feature")
    missing = " Any feature may be missing." if threat.incomplete else ""
    return (
        f"The attacker may send {count(threat.query_budget, 'row')} of tabular data with "
        f"{features}, and knows the range and the categories of each feature.{missing}"
    )


def _answers(result: Result) -> str:
    threat = result.threat
    if threat.multi_label:
        labels = threat.num_classes // 2
        probs = f"the probability of each of {labels} labels"
        said = probs if threat.answers == "probs" else f"which of {labels} labels are present"
        return f"An answer gives {said}."
    said = {
        "label": "the top class only (hard label)",
        "top_k": f"the {threat.top_k} most likely classes with their probabilities",
        "probs": f"the probabilities of all {threat.num_classes} classes (soft label)",
    }[threat.answers]
    return f"An answer gives {said}."


def _counter(result: Result) -> str:
    """What the attacker does about the defences, as sentences with a leading space."""
    counter = result.attack.counter
    if counter is None:
        return ""
    known = (
        f" The attacker knows the defences except for their keys, and answers them with "
        f"{counter_words(result.attack)}."
    )
    if counter.repeats > 1:
        known += f" Each row costs {counter.repeats} queries."
    if counter.bound:
        known += (
            " It uses the victim's clean answers, which no attacker has: this is a bound, not an "
            "attack."
        )
    return known


def _facts(result: Result) -> dict[str, str]:
    threat, attack = result.threat, result.attack
    return {
        "Access": threat.access,
        "Answers": answer_words(result),
        "Input": _input_words(result),
        "Query budget": f"{threat.query_budget:,}",
        "Proxy data": attack.proxy or "none",
        "Student": attack.student,
        "Defences": defence_words(result.defences),
        "Countermeasure": counter_words(attack),
    }


def _input_words(result: Result) -> str:
    """ "1 × 32 × 32, float32", "a row of 30 features"."""
    threat = result.threat
    if threat.features is not None:
        missing = ", missing values allowed" if threat.incomplete else ""
        return f"a row of {count(len(threat.features), 'feature')}{missing}"
    if threat.text:
        return f"a text of at most {threat.input_shape[0]:,} bytes"
    return " × ".join(map(str, threat.input_shape)) + f", {threat.input_precision}"


def _settings(group: Group) -> Details:
    facts = tuple(
        (name, (Code(setting_words(value)),)) for name, value in group.first.attack.settings.items()
    )
    return Details(f"Settings of {group.label}", (Facts(facts),))
