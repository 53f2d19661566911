"""The terms of the report, each in one or two sentences."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Facts, Section

TITLE = "How to read this page"
TERMS = (
    ("Victim", "The audited model. The verdict calls the victim “your model”."),
    ("Clone", "The model that the attacker trains on the victim's answers."),
    ("Query", "One input that the attacker sends to the victim and pays for."),
    (
        "Agreement",
        "The share of test inputs for which the clone and the victim give the same top class. "
        "The attacker never sees the test inputs.",
    ),
    ("Accuracy", "The share of test inputs for which a model gives the true class."),
    (
        "Majority-class baseline",
        "The agreement of a clone that gives the victim's most frequent class for every input. "
        "A clone near this baseline learned nothing.",
    ),
    (
        "Chance-corrected agreement",
        "The agreement on a scale where the majority-class baseline is 0 % and an exact copy is "
        "100 %: (a - b) / (1 - b). The verdict uses it, so that a model with one frequent class is "
        "judged like any other. Below 0 %, a clone that always gives one class is better.",
    ),
    (
        "Balanced agreement",
        "The mean of the agreement on each class that the victim gives, every class with the same "
        "weight. A clone that always gives one of K classes has 1 / K.",
    ),
    (
        "95 % CI",
        "The 95 % confidence interval: the values that are compatible with the measurement.",
    ),
    (
        "Soft label, hard label",
        "A soft label gives class probabilities. A hard label gives the top class only.",
    ),
    (
        "Seed",
        "The number that starts the random generator. Runs with different seeds repeat an "
        "experiment.",
    ),
    (
        "Standards",
        "MITRE ATLAS AML.T0024.002 (Extract AI Model); OWASP AI Testing Guide AITG-APP-09 (model "
        "extraction); OWASP AISVS v1.0-C11.3. The section “Standards” says what each asks.",
    ),
)


def how_to_read(groups: Sequence[Group]) -> Section:
    del groups  # the same for every report
    return Section(TITLE, (Facts(tuple((name, (said,)) for name, said in TERMS)),))
