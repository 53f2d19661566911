"""The detectors that ship, by name."""

from typing import Any

from clonecost.registry import Parts

DETECTORS: Parts[Any] = Parts("clonecost.detectors", "detectors")
