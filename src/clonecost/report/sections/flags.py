"""What the audit's own checks found."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Badge, Bullets, Code, Inline, Section, Small, text
from clonecost.report.summaries import RaisedFlag
from clonecost.report.summaries import flags as raised_flags

TITLE = "Flags"
INTRODUCTION = "A flag marks a property of this audit that can mislead the reader."
NONE = "The automatic checks of this audit raised no flag."


def flags(groups: Sequence[Group]) -> Section:
    raised = raised_flags(groups)
    if not raised:
        return Section(TITLE, (text(NONE),))
    return Section(TITLE, (text(INTRODUCTION), Bullets(tuple(map(_item, raised)))))


def _item(raised: RaisedFlag) -> tuple[Inline, ...]:
    flag = raised.flag
    return (
        Badge(flag.severity, flag.severity),
        f" {flag.message} ",
        Small(f"({'; '.join(raised.labels)}) "),
        Code(flag.code),
    )
