"""The lock has the pins of constraints.txt, each with a hash."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9_.-]+==[^\s;\\]+)", re.MULTILINE)


def test_the_lock_has_the_pins_of_the_constraints() -> None:
    pins = PIN.findall((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert sorted(PIN.findall(locked)) == sorted(pins), "run `make lock`"


def test_every_pin_has_a_hash() -> None:
    for name in ("requirements.lock", "requirements-tools.lock"):
        entries = re.split(r"\n(?=\w)", (ROOT / name).read_text(encoding="utf-8"))
        for entry in entries:
            assert entry.startswith("#") or "--hash=sha256:" in entry, entry[:80]
