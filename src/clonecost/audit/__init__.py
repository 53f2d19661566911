"""One audit: a victim, its defences, one attack, one budget -> one run folder."""

from clonecost.audit.definition import (
    OWN_MODEL,
    UNIFORM,
    Audit,
    Keep,
    Origin,
    RunOptions,
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
    "Origin",
    "RunOptions",
    "Watcher",
    "check",
    "run_audit",
    "wanted_generators",
    "wrong_kind",
]
