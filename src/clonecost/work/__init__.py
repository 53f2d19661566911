"""What one does with run folders, a file for each: run and resume, plan, replay, verify."""

from clonecost.work.planning import Plan, plan
from clonecost.work.replaying import Replay, replay
from clonecost.work.running import Watch, finished, run_spec, spec_of
from clonecost.work.verifying import verify

__all__ = ["Plan", "Replay", "Watch", "finished", "plan", "replay", "run_spec", "spec_of", "verify"]
