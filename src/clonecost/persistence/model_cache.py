"""A trained network in the cache: its weights beside a card that says what they are.

A folder holds weights.safetensors, and card.json with recipe, figures, versions and the sha256 of
the weights; there may be more to look at.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from safetensors.torch import save_file
from torch import nn

from clonecost.errors import CloneCostError
from clonecost.persistence.atomic_write import atomic_file, atomic_write
from clonecost.persistence.disk import cache_root, file_digest

__all__ = ["CARD", "WEIGHTS", "Cached", "cache_root"]

WEIGHTS, CARD = "weights.safetensors", "card.json"


@dataclass(frozen=True)
class Cached:
    """A folder of the cache, whether or not there is anything in it yet."""

    folder: Path
    what: str  # it holds, for the sentences: "victim"
    error: type[CloneCostError]  # what they are raised as

    def card(self) -> dict[str, Any] | None:
        """What the card says; None when there is none, and then nothing is cached.

        Raises:
            error: it is no card.
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
        """The file of weights, which is the one that the card was written for.

        Raises:
            error: it is another one, or gone.
        """
        path, card = self.folder / WEIGHTS, self.card() or {}
        if not path.is_file() or file_digest(path) != card.get("sha256"):
            raise self.damaged()
        return path

    def damaged(self) -> CloneCostError:
        return self.error(
            f"the cached {self.what} in {self.folder} is not what its card says it is; delete that "
            f"folder, and the {self.what} is trained again"
        )

    def must_be_writable(self) -> None:
        """Rather now than after an hour of training.

        Raises:
            error: it is not.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self.error(
                f"the {self.what} cannot be kept in {self.folder} ({error.strerror}); name a "
                "folder that can be written with CLONECOST_CACHE"
            ) from error

    def write(
        self, model: nn.Module, card: Mapping[str, Any], beside: Mapping[str, bytes] | None = None
    ) -> None:
        """The weights, the card, and further files by name.

        The old card goes first and the new one comes last: without one the folder counts as empty.
        """
        (self.folder / CARD).unlink(missing_ok=True)
        tensors = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
        with atomic_file(self.folder / WEIGHTS) as fresh:
            save_file(tensors, fresh)
            digest = file_digest(fresh)
        text = json.dumps({**card, "sha256": digest}, indent=2) + "\n"
        for name, content in {**(beside or {}), CARD: text.encode()}.items():
            atomic_write(self.folder / name, content)
