"""The attacks that are named in an error: by their declarations, for this threat model."""

from dataclasses import replace

from tests.support.table_toys import numbers

from clonecost.attacks import ATTACKS
from clonecost.attacks.base import Attack
from clonecost.audit.checks import skipping
from clonecost.types import ThreatModel

IMAGES = ThreatModel(input_shape=(1, 8, 8), num_classes=4, query_budget=100)
TABLE = replace(IMAGES, input_shape=(6,), features=numbers(6))


def declared(name: str) -> type[Attack]:
    return ATTACKS[name]


def test_attacks_that_skip_refused_rows_are_named_for_the_kind_of_victim() -> None:
    for threat, takes in ((IMAGES, "images"), (TABLE, "table")):
        found = skipping(threat)
        assert found
        assert all(declared(name).declares.skips_refused for name in found)
        assert {declared(name).declares.takes for name in found} == {takes}
    assert "knockoff" in skipping(IMAGES)
    assert "tramer_lr" in skipping(TABLE)


def test_an_attack_that_needs_richer_answers_is_not_named() -> None:
    assert "knockoff" in skipping(replace(IMAGES, answers="label"))
    assert skipping(replace(TABLE, answers="label")) == []
