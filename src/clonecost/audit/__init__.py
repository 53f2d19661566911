"""One audit: a victim, its defences, one attack, one budget -> one run folder."""

from clonecost.audit.defaults import UNIFORM, Keep
from clonecost.audit.definition import (
    OWN_MODEL,
    Audit,
    check,
    wanted_generators,
    wrong_kind,
)
from clonecost.audit.run import KEEP_UNDER, Watcher, run_audit

__all__ = [
    "KEEP_UNDER",
    "OWN_MODEL",
    "UNIFORM",
    "Audit",
    "Keep",
    "Watcher",
    "check",
    "run_audit",
    "wanted_generators",
    "wrong_kind",
]
