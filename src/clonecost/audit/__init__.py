"""One audit: a victim, its defences, one attack, one budget -> one run folder."""

from clonecost.audit.composition import Audit, Keep, check, wanted_generators
from clonecost.audit.running import KEEP_UNDER, Watcher, run_audit

__all__ = ["KEEP_UNDER", "Audit", "Keep", "Watcher", "check", "run_audit", "wanted_generators"]
