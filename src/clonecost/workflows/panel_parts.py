"""The parts of a panel's entries: shared ones, and the students and pools of single entries."""

import time
from dataclasses import dataclass, field, replace

from clonecost.config import Spec, bring_student, generators_of, load_pool, needs_proxy, proxy_name
from clonecost.config.build import Parts
from clonecost.students import Student
from clonecost.types import ProxyData
from clonecost.workflows.costs import speed_of_student


@dataclass
class EntryParts:
    """Makes the parts of one entry from those of the panel.

    Attributes:
        spec: of the panel.
        shared: parts of the panel's spec.
        speed: seconds that a row of the shared student's training step takes; None: no limit of
            time makes it matter.
    """

    spec: Spec
    shared: Parts
    speed: float | None = None
    _students: dict[str | None, Student] = field(default_factory=dict)  # of entries, by name
    _speeds: dict[str | None, float] = field(default_factory=dict)

    def of(self, single: Spec) -> Parts:
        """The parts of an entry's own spec, its budget included."""
        return replace(
            self.shared, threat=replace(self.shared.threat, query_budget=single.budget),
            proxy=self.proxy(single), student=self.student(single),
            generators={name: self.shared.generators[name] for name in generators_of(single)},
        )  # fmt: skip

    def student(self, single: Spec) -> Student | None:
        """The entry's student: the spec's, or one that the panel chooses for it."""
        if single.student == self.spec.student or self.shared.student is None:
            return self.shared.student
        if single.student not in self._students:
            self._students[single.student] = bring_student(single, self.shared.threat)
        return self._students[single.student]

    def student_speed(self, single: Spec) -> float:
        """Seconds that a row of a training step takes; 0 without a limit of time."""
        if single.student == self.spec.student or self.speed is None:
            return self.speed or 0.0
        if single.student not in self._speeds:
            student = self.student(single)
            assert student is not None
            self._speeds[single.student] = speed_of_student(
                single, self.shared.threat, student, time.perf_counter
            )
        return self._speeds[single.student]

    def proxy(self, single: Spec) -> ProxyData | None:
        """The pool of the entry; None: it needs none."""
        if not needs_proxy(single):
            return None
        if proxy_name(single) == proxy_name(self.spec):
            return self.shared.proxy
        return load_pool(single, self.shared.threat.input_shape)
