"""What an attack shows of its work and remarks on its clone; both are kept in snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from clonecost.result import Search


@dataclass
class Shown:
    """The last state of the attack's search that it showed; empty for an attack without one."""

    search: Search | None = None
    pictures: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self, search: Search, pictures: Mapping[str, Tensor]) -> None:
        self.search, self.pictures = search, pictures

    def state_dict(self) -> dict[str, Any]:
        search = None if self.search is None else self.search.model_dump()
        return {"search": search, "pictures": dict(self.pictures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        found = state["search"]
        self.search = None if found is None else Search.model_validate(found)
        self.pictures = state["pictures"]


@dataclass
class Remark:
    """The attack's last remark on its clone; empty without one."""

    sentence: str = ""

    def __call__(self, sentence: str) -> None:
        self.sentence = sentence

    def state_dict(self) -> dict[str, Any]:
        return {"sentence": self.sentence}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sentence = state["sentence"]
