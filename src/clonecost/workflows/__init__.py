"""What one does with run folders, a file for each: run, plan, replay, transfer, verify."""

from clonecost.workflows.plan import Plan, plan
from clonecost.workflows.replay import Replay, replay
from clonecost.workflows.run import Watch, finished, run_spec, spec_of
from clonecost.workflows.transfer import load_clone, transfer
from clonecost.workflows.verify import verify

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
