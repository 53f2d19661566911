"""A trained network in the cache: a folder with its weights and a card that describes them.

The folder holds weights.safetensors, card.json (recipe, figures, versions and the SHA-256 of the
weights), and possibly further files.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from filelock import FileLock
from safetensors.torch import save_file
from torch import nn

from clonecost.errors import Advice, CloneCostError
from clonecost.persistence.atomic_write import atomic_file, atomic_write
from clonecost.persistence.disk import cache_root, file_digest

__all__ = ["CARD", "WEIGHTS", "Cached", "cache_root"]

WEIGHTS, CARD, LOCK = "weights.safetensors", "card.json", "training.lock"


@dataclass(frozen=True)
class Cached:
    """One folder of the cache, possibly still empty.

    Attributes:
        what: the kind of model, for messages, such as "victim".
        error: the class of the errors that are raised.

    Example:
        >>> cached = Cached(cache_root() / "victims/mine", "victim", VictimError)  # doctest: +SKIP
        >>> if cached.card() is None:  # doctest: +SKIP
        ...     cached.write(model, {"seed": 0})
    """

    folder: Path
    what: str
    error: type[CloneCostError]

    def card(self) -> dict[str, Any] | None:
        """The content of the card; None if nothing is cached.

        Raises:
            error: the card cannot be read as a JSON object.
        """
        path = self.folder / CARD
        if not path.is_file():
            return None
        try:
            card = json.loads(path.read_bytes())
        except ValueError as error:
            raise self.damaged() from error
        if not isinstance(card, dict):
            raise self.damaged()
        return card

    def weights(self) -> Path:
        """The file of the weights, checked against the digest in the card.

        Raises:
            error: the file is missing, or has another digest.
        """
        path, card = self.folder / WEIGHTS, self.card() or {}
        if not path.is_file() or file_digest(path) != card.get("sha256"):
            raise self.damaged()
        return path

    def damaged(self) -> CloneCostError:
        """The error for files that do not match the card."""
        return self.error(
            f"The cached {self.what} in {self.folder} does not match its {CARD}.",
            Advice(f"delete that folder, so that the {self.what} is trained again"),
        )

    def must_be_writable(self) -> None:
        """Check before a long training that its result can be kept.

        Raises:
            error: the folder cannot be created or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self.error(
                f"The {self.what} cannot be kept in {self.folder} ({error.strerror}).",
                Advice("name a folder that can be written with CLONECOST_CACHE"),
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Train here while no other process does; it may have done so meanwhile.

        Raises:
            error: as `must_be_writable`.
        """
        self.must_be_writable()
        with FileLock(self.folder / LOCK):
            yield

    def write(
        self, model: nn.Module, card: Mapping[str, Any], beside: Mapping[str, bytes] | None = None
    ) -> None:
        """Write the weights, further files by name (`beside`), and the card.

        The old card is deleted first and the new card written last, because a folder without a card
        counts as empty.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        (self.folder / CARD).unlink(missing_ok=True)
        tensors = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
        with atomic_file(self.folder / WEIGHTS) as fresh:
            save_file(tensors, fresh)
            digest = file_digest(fresh)
        text = json.dumps({**card, "sha256": digest}, indent=2) + "\n"
        for name, content in {**(beside or {}), CARD: text.encode()}.items():
            atomic_write(self.folder / name, content)
