"""Settings with which every defence works for any inputs and classes, and those that do nothing."""

from typing import Any

from clonecost.defences import DEFENCES
from clonecost.types import Defence

# an untrained network that takes inputs of any shape; by default these two have none
NEEDED: dict[str, dict[str, Any]] = {
    "adaptive_misinformation": {"misinformation": "perceptron"},
    "ensemble": {"members": "perceptron+perceptron"},
}
NOTHING: dict[str, dict[str, Any]] = {
    "adaptive_misinformation": {"threshold": 0}, "dawn": {"rate": 0}, "grad2": {"epsilon": 0},
    "mad": {"epsilon": 0}, "modelguard_s": {"epsilon": 0}, "modelguard_w": {"epsilon": 0},
    "noise": {"scale": 0}, "reverse_sigmoid": {"beta": 0}, "temperature": {"temperature": 1},
}  # fmt: skip


def working(name: str, **settings: Any) -> Defence:
    """The defence with what it needs, and further settings."""
    found: Defence = DEFENCES[name](**(NEEDED.get(name, {}) | settings))
    return found


def as_text(name: str) -> str:
    """The same as it is written in a spec."""
    pairs = ",".join(f"{key}={value}" for key, value in NEEDED.get(name, {}).items())
    return f"{name}:{pairs}" if pairs else name
