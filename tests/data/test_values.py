"""Names in a sentence."""

import pytest

from clonecost.data import values
from clonecost.data.values import nearest


def test_only_the_names_that_are_shown_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def close(name: str, *_: object, **__: object) -> list[str]:
        compared.append(name)
        return [name]

    monkeypatch.setattr(values, "get_close_matches", close)
    names = [f"column {k}" for k in range(1_000)]
    assert nearest(names, names).count(" for ") == len(compared) == 12
