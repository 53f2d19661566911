"""What must not be concluded from an audit."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Bullets, Section

LIMITS = (
    "The audit covers the attacks listed here, each with the settings, student and data shown. "
    "Another attack, other settings or better data may give a better clone for the same price.",
    "“Not reached within N queries” describes where the attack stopped. The same attack with more "
    "queries may reach the level.",
    "“The attack failed” says nothing about the victim: another attack, more queries or other data "
    "may succeed.",
    "Agreement was measured on one test set. Other inputs may give other values.",
)


def limits(groups: Sequence[Group]) -> Section:
    del groups  # the same for every report
    return Section("What this audit does not show", (Bullets(tuple((one,) for one in LIMITS)),))
