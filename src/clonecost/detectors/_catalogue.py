"""The detectors that ship, by name."""

from typing import TYPE_CHECKING

from clonecost.registry import Parts

if TYPE_CHECKING:  # a list of names imports no NumPy
    from clonecost.detectors.base import Detector

DETECTORS: "Parts[Detector]" = Parts("clonecost.detectors", "detectors")
