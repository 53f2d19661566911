"""An API's own logs, as an owner has them: honest principals on digits, and an attacker."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.digit_streams import Rows, stream, uniform_noise, victim

from clonecost.detectors.base import Stream

HONEST = 12  # principals
EACH = 80  # rows of each


def lines(rows: Stream, principal: Any, *, seed: int = 0) -> list[dict[str, Any]]:
    assert rows.confidence is not None
    return [
        {"principal": principal, "digest": digest.tobytes().hex(), "top1": int(top),
         "confidence": round(float(confidence), 6)}
        for digest, top, confidence in zip(rows.digests, rows.top, rows.confidence, strict=True)
    ]  # fmt: skip


def write(path: Path, found: list[dict[str, Any]], seed: int = 0) -> Path:
    """The lines in a random order, eight seconds apart: on one day."""
    order = np.random.default_rng(seed).permutation(len(found))
    path.write_text("".join(
        json.dumps({"time": 1_760_000_000 + 8 * at, **found[number]}) + "\n"
        for at, number in enumerate(order)
    ))  # fmt: skip
    return path


def honest_lines(principals: int = HONEST, *, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    test: Rows = victim()[2]
    return [
        line
        for number in range(principals)
        for line in lines(stream(test[rng.permutation(len(test))[:EACH]]), f"shop-{number}")
    ]


def attacked(path: Path, name: str = "mallory") -> Path:
    """Honest principals and one who sends noise."""
    return write(path, honest_lines() + lines(uniform_noise(150), name))
