"""Counts and durations of a server, for Prometheus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Metrics:
    """The metrics of one server, in a separate registry: one process may have two servers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        requests = Counter(
            "clonecost_requests", "Answered inferences and refused requests, by status.",
            ["status"],
            registry=self._registry,
        )  # fmt: skip
        self._requests = requests
        self._rows = Counter("clonecost_rows", "Answered rows.", registry=self._registry)
        self._model = Histogram(
            "clonecost_model_seconds", "Seconds of one request in the model and its defences.",
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._model_cpu = Counter(
            "clonecost_model_cpu_seconds", "Processor time of the model's thread.",
            registry=self._registry,
        )  # fmt: skip
        ProcessCollector(registry=self._registry)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Measure the time of the block; must run in the model's thread."""
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._model.observe(time.perf_counter() - began)
            self._model_cpu.inc(time.thread_time() - cpu)

    def answered(self, rows: int) -> None:
        """Count an answered request and its rows."""
        self._requests.labels("200").inc()
        self._rows.inc(rows)

    def refused(self, status: int) -> None:
        """Count a refused request by its HTTP status."""
        self._requests.labels(str(status)).inc()

    def rows(self) -> int:
        """The number of answered rows so far."""
        return int(self._registry.get_sample_value("clonecost_rows_total") or 0)

    def text(self) -> bytes:
        """All metrics in Prometheus' exposition format."""
        return generate_latest(self._registry)
