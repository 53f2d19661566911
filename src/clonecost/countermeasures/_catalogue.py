"""The countermeasures of this folder, by name."""

from typing import Any

from clonecost.registry import Parts

COUNTERMEASURES: Parts[Any] = Parts("clonecost.countermeasures", "countermeasures")
