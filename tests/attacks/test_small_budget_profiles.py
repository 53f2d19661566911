"""The profiles for small budgets are the best settings of the search that is kept."""

import json
from pathlib import Path

import pytest

from clonecost.attacks import PROFILES

SEARCH = sorted((Path(__file__).parents[2] / "suites" / "results" / "search").glob("*.json"))


@pytest.mark.parametrize("path", SEARCH, ids=lambda path: path.stem)
def test_the_profile_has_the_settings_that_won(path: Path) -> None:
    best = max(json.loads(path.read_text(encoding="utf-8")), key=lambda run: run["agreement"])
    profile = PROFILES[best["method"]]["small-budget"]
    assert {key: getattr(profile, key) for key in best["settings"]} == best["settings"]
