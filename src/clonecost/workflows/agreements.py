"""What was agreed to for the run folders of this machine, so that a run resumes without asking.

One file for each run folder, in the user's cache and never in the run folder, which may come from
somebody else. It holds for the spec that was agreed to: another victim, address or file in the
folder's spec asks again. Without the file, after a move of the folder for instance, the person is
asked again.
"""

import hashlib
import json
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path

from clonecost.config import Spec, consents_needed
from clonecost.persistence.atomic_write import atomic_write
from clonecost.persistence.disk import cache_root


def remember(folder: Path, spec: Spec) -> None:
    """Record that the person agreed to all that this spec would do in this run folder."""
    if not consents_needed(spec):
        return
    path = _file(folder)
    # a cache that cannot be written costs a question on the next resume, not the run
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        agreed = {"folder": str(folder.resolve()), "spec": _digest(spec), "agreed": _agreed(spec)}
        atomic_write(path, json.dumps(agreed, indent=2).encode())


def remembered(folder: Path, spec: Spec) -> frozenset[str]:
    """What the person has agreed to for this spec in this run folder, as KIND:WHAT."""
    try:
        held = json.loads(_file(folder).read_bytes())
        if held["folder"] != str(folder.resolve()) or held["spec"] != _digest(spec):
            return frozenset()
        return frozenset(map(str, held["agreed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


class Either(Container[str]):
    """What is in one of two agreements."""

    def __init__(self, *agreements: Container[str]) -> None:
        self._agreements = agreements

    def __contains__(self, what: object) -> bool:
        return any(what in agreement for agreement in self._agreements)


def _agreed(spec: Spec) -> list[str]:
    found: Iterable[str] = map(str, consents_needed(spec))
    return sorted(found)


def _file(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()
    return cache_root() / "agreements" / f"{name[:32]}.json"


def _digest(spec: Spec) -> str:
    """The digest of the keys that a run keeps; a larger budget is no other spec."""
    return hashlib.sha256(json.dumps(spec.chosen(), sort_keys=True).encode()).hexdigest()
