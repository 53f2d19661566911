"""Writes what a `Watcher` is told into the run's `events.jsonl`."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clonecost.audit.definition import Audit
from clonecost.audit.watcher import Watcher
from clonecost.errors import CloneCostError
from clonecost.persistence import event_file
from clonecost.result import Score
from clonecost.safe_text import first_line

SHARE = 0.01  # of the time so far, between two events of a kind: a long run writes few lines
PAUSE = 1.0  # seconds, at least


@contextmanager
def event_log(audit: Audit, watcher: Watcher) -> Iterator[Watcher]:
    """A watcher that tells `watcher`, and the run's file of events (see `event_file`).

    Example:
        >>> with event_log(audit, Watcher()) as watcher:  # doctest: +SKIP
        ...     watcher.spent(200, 1_000)
    """
    budget = audit.threat.query_budget
    event_file.append(
        audit.folder, "begin", attack=audit.attack_name, victim=audit.loaded.name, budget=budget,
        price=audit.price, seed=audit.seed, process=os.getpid(), host=socket.gethostname(),
    )  # fmt: skip
    log = _Log(audit, watcher)
    try:
        yield Watcher(spent=log.spent, step=log.step, scored=log.scored, notice=log.notice)
    except BaseException as error:
        why = error.fact if isinstance(error, CloneCostError) else first_line(error)
        event_file.append(audit.folder, "stop", rows=log.rows, why=why)
        raise
    event_file.append(audit.folder, "end", rows=log.rows)


@dataclass
class _Log:
    audit: Audit
    watcher: Watcher
    rows: int = 0
    began: float = field(default_factory=time.monotonic)
    told: dict[str, float] = field(default_factory=dict)  # when, by the kind of event or the step

    def spent(self, spent: int, budget: int) -> None:
        self.watcher.spent(spent, budget)
        self.rows = spent
        if self._due("spent", spent == budget):
            event_file.append(self.audit.folder, "spent", rows=spent, budget=budget)

    def step(self, what: str, done: int, total: int) -> None:
        self.watcher.step(what, done, total)
        if self._due(f"step {what}", done == total):
            event_file.append(self.audit.folder, "step", what=what, done=done, total=total)

    def scored(self, score: Score) -> None:
        self.watcher.scored(score)
        agreement = score.agreement
        event_file.append(
            self.audit.folder, "scored", queries=score.queries, agreement=agreement.value,
            low=agreement.low, high=agreement.high,
            corrected_agreement=score.corrected_agreement.value,
            accuracy=score.accuracy.value if score.accuracy else None,
        )  # fmt: skip

    def notice(self, sentence: str) -> None:
        self.watcher.notice(sentence)
        event_file.append(self.audit.folder, "notice", text=sentence)

    def _due(self, what: str, ends: bool) -> bool:
        now = time.monotonic()
        pause = max(PAUSE, SHARE * (now - self.began))
        if not ends and now - self.told.get(what, -float("inf")) < pause:
            return False
        self.told[what] = now
        return True
