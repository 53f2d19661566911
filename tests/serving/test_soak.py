"""200 clients at once, most of them hostile: the honest are answered, memory and log stay small."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from tests.support import attacked_server
from tests.support.attacked_server import SHAPE, TIMEOUT

HEAD = "POST /v2/models/toy/infer HTTP/1.1\r\nHost: localhost\r\n"
ENOUGH = 100  # right answers, after which the crowd goes home
LONGEST = 60.0  # seconds, if they never come
GROWTH = 400  # MiB: 256 of requests and answers (`Limits.held_bytes`), and the objects of a few
ROOT = Path(__file__).parents[2]
WORD = json.dumps("x" * 33_000)


@dataclass
class Seen:
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    health: list[float] = field(default_factory=list)


@dataclass
class Clients:
    host: str
    port: int
    until: float
    seen: Seen

    @property
    def open(self) -> bool:
        return self.seen.right < ENOUGH and time.monotonic() < self.until

    async def ask(self, request: bytes, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one answer, on a connection of its own; 0 if it was cut off."""
        writer = None
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            writer.write(request + f"Content-Length: {len(body)}\r\n".encode())
            writer.write(b"Connection: close\r\n\r\n" + body)
            said = await asyncio.wait_for(reader.read(-1), 20)
            head, _, rest = said.partition(b"\r\n\r\n")
            return int(head.split()[1]) if head else 0, rest
        except ConnectionError:
            return 0, b""
        finally:
            await closed(writer)

    async def honest(self, number: int) -> None:
        rng = np.random.default_rng(number)
        while self.open:
            rows = rng.random((2, *SHAPE), dtype=np.float32)
            status, said = await self.ask(HEAD.encode(), inference(rows.ravel().tolist(), 2))
            if status != 200:
                self.seen.wrong.append(f"{status} {said[:200]!r}")
                continue
            found = np.array(json.loads(said)["outputs"][0]["data"]).reshape(2, -1)[:, 0]
            np.testing.assert_allclose(found, rows.reshape(2, -1).mean(1), atol=1e-5)
            self.seen.right += 1

    async def health(self, number: int) -> None:
        del number
        while self.open:
            began = time.monotonic()
            status, _ = await self.ask(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n")
            assert status == 200
            self.seen.health.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    async def half_open(self, number: int) -> None:
        start = [b"", b"GET /v2 HTTP/1.1\r\nX-A: ", HEAD.encode() + b"Content-Length: 999\r\n\r\n"]
        while self.open:
            writer = None
            try:
                _, writer = await asyncio.open_connection(self.host, self.port)
                writer.write(start[number % 3])
                while self.open and not writer.is_closing():
                    writer.write(b"x" if number % 3 else b"")
                    await writer.drain()
                    await asyncio.sleep(0.2)
            except ConnectionError:
                continue
            finally:
                await closed(writer)

    async def bomb(self, number: int) -> None:
        while self.open:
            status, _ = await self.ask(HEAD.encode(), BOMBS[number % len(BOMBS)])
            if status == 200:
                self.seen.wrong.append(f"bomb {number}")
            await asyncio.sleep(0.3)

    async def noise(self, number: int) -> None:
        while self.open:
            await self.ask(b"\x16\x03\x01\x1b[2J %d\r\n\r\n" % number)
            await asyncio.sleep(0.05)


async def closed(writer: asyncio.StreamWriter | None) -> None:
    if writer:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def inference(data: object, rows: int = 1) -> bytes:
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [rows, *SHAPE], "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


BOMBS = [
    inference(0)[:-4] + f"[{WORD}".encode() + b',"a"' * 8_000 + b"]}]}",
    b"[" * 30_000_000,
    inference(0)[:-4] + b"[" + b"[]," * 300_000 + b"[]]}]}",
    inference(0)[:-4] + b"[" + b"1," * 3_000_000 + b"1]}]}",
    inference(0)[:-4] + b"[" + b"9" * 3_000_000 + b"]}]}",
    b'{"id": "' + b"x" * 5_000_000 + b'"}',
]


async def crowd(url: str) -> Seen:
    parts = urlsplit(url)
    seen = Seen()
    clients = Clients(parts.hostname or "", parts.port or 0, time.monotonic() + LONGEST, seen)
    kinds: list[tuple[int, Callable[[int], Awaitable[None]]]] = [
        (1, clients.health), (39, clients.honest), (120, clients.half_open), (20, clients.bomb),
        (20, clients.noise),
    ]  # fmt: skip
    await asyncio.gather(*(kind(number) for count, kind in kinds for number in range(count)))
    return seen


def test_200_clients_most_of_them_hostile() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", attacked_server.__name__], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            seen = asyncio.run(crowd(process.stdout.readline().strip()))
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    before, most = (int(number) / 2**20 for number in out.split())
    print(f"{seen.right} answers; health {max(seen.health):.2f} s at most, "
          f"{sorted(seen.health)[len(seen.health) // 2]:.3f} s in the middle; memory "
          f"{before:.0f} to {most:.0f} MiB; log {len(err)} bytes")  # fmt: skip
    assert seen.wrong == []
    assert seen.right >= ENOUGH
    assert max(seen.health) < 5 * TIMEOUT
    assert most - before < GROWTH
    assert len(err) < 20_000
    assert "\x1b" not in err
