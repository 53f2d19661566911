"""What one does with run folders, a file for each: run, plan, replay, transfer, verify."""

from clonecost.work.planning import Plan, plan
from clonecost.work.replaying import Replay, replay
from clonecost.work.running import Watch, finished, run_spec, spec_of
from clonecost.work.transferring import load_clone, transfer
from clonecost.work.verifying import verify

__all__ = [
    "Plan",
    "Replay",
    "Watch",
    "finished",
    "load_clone",
    "plan",
    "replay",
    "run_spec",
    "spec_of",
    "transfer",
    "verify",
]
