"""The same run against an endpoint of which a share of the requests goes wrong."""

import mmap
import os
import random
import signal
import struct
import time
from dataclasses import replace
from typing import Any

import numpy as np
from tests.support.endpoint_servers import Scene, Server, serving
from tests.support.fault_bench import Bench, Wire, linear, row_by_row
from tests.support.toys import CLASSES, SHAPE
from torch import Tensor

from clonecost.audit import Audit
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim, sending


class FaultyServer:
    """An endpoint in a process of its own: a share of its requests goes wrong, and it counts."""

    def __init__(self) -> None:
        self._meter, self._mood = mmap.mmap(-1, 8), mmap.mmap(-1, 8)
        here, there = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            self._serve(there)
        self.url = os.read(here, 100).decode()

    @property
    def rows(self) -> int:
        """That it worked on, answered or not.

        What a killed or impatient client had sent may still come in, on a busy machine late.
        """
        before, now = -1, self._count()
        while before != now:
            time.sleep(0.3)
            before, now = now, self._count()
        return now

    def _count(self) -> int:
        return int(struct.unpack("q", self._meter[:8])[0])

    def upset(self, percent: int) -> None:
        """So many requests of a hundred go wrong from now on."""
        self._mood[:8] = struct.pack("q", percent)

    def close(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def _serve(self, there: int) -> None:
        meter, mood, dice = self._meter, self._mood, random.Random(0)
        kinds: list[Scene] = [
            ("status", 429, {"Retry-After": "0.02"}, ""), ("status", 429, {}, "slowly"),
            ("status", 503, {}, "busy"), ("status", 500, {}, "<html>"), ("status", 404, {}, "gone"),
            "reset", "slow", "half",
        ]  # fmt: skip

        def wrong() -> bool:
            return bool(dice.randrange(100) < struct.unpack("q", mood[:8])[0])

        class Scenes(list[Scene]):
            def __bool__(self) -> bool:
                return wrong()

            def pop(self, index: object = 0) -> Scene:
                return dice.choice(kinds)

        class Metered(Server):
            def __setattr__(self, name: str, value: object) -> None:
                if name == "rows":
                    meter[:8] = struct.pack("q", value)
                super().__setattr__(name, value)

        def spoil(scores: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
            if not wrong() or dice.random() < 0.7:
                return scores
            return dice.choice([scores * np.nan, scores[:, 1:], scores[:-1], scores - 1])

        server = Metered(row_by_row(linear()), list(SHAPE), CLASSES, scenes=Scenes(), spoil=spoil)
        with serving(server):
            os.write(there, server.model_url.encode())
            signal.pause()
        os._exit(0)


class RemoteWire(Wire):
    """Faults on this side of the wire; the meter is the server's."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server
        self.disturb = lambda wire, rows: None

    @property
    def rows(self) -> int:
        return self.server.rows

    def __call__(self, inputs: Tensor, /) -> Tensor:
        self.disturb(self, len(inputs))
        return self.victim(inputs)


class RemoteBench(Bench):
    def audit(self) -> Audit:
        sending.FIRST_PAUSE, sending.LONGEST_PAUSE = 0.01, 0.02
        wire = self.victim
        assert isinstance(wire, RemoteWire)
        settings = EndpointSettings(batch_size=8, concurrency=2, timeout=0.5)
        loaded = endpoint_victim(
            wire.server.url, input_shape=SHAPE, num_classes=CLASSES, rate=1e6, settings=settings,
            outputs="probs",  # stated: a broken first answer must not decide what the model returns
        )  # fmt: skip
        wire.victim = loaded.answer
        audit = super().audit()
        remote = replace(
            audit.loaded, endpoint=loaded.endpoint, rows_in_flight=loaded.rows_in_flight
        )
        return replace(audit, victim=remote)
