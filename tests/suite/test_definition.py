"""What a suite says: cells are specs of all its layers."""

from pathlib import Path

import pytest
from tests.support.toy_suite import edited

from clonecost.errors import SpecError
from clonecost.suite import (
    cells,
    find,
    jobs,
    read_suite,
)


def test_a_cell_is_a_spec_of_all_layers(toy: Path) -> None:
    suite = read_suite(toy)
    found = {(c.row.name, c.column.name): c for c in cells(suite, "small")}
    ours = found["ours", "mine"].spec
    assert ours is not None
    assert (ours.victim, ours.student, ours.proxy) == ("own:probs", "lenet", "proxy.npz")
    assert (ours.budget, ours.milestones, ours.seed) == (40, [20], [0, 1, 2])
    assert ours.set == {"knockoff": {"epochs": 1, "batch_size": 10}}
    assert ours.keep == "none"
    knockoff = found["knockoff", "mine"].spec
    assert knockoff is not None
    assert knockoff.budget == 60
    assert found["later", "mine"].not_run == "the attack comes later"
    assert found["knockoff", "broken"].not_run == "no time"
    large = {(c.row.name, c.column.name): c for c in cells(suite, "large", [7])}
    assert large["knockoff", "broken"].not_run == "not here"
    assert large["ours", "broken"].not_run is None
    assert large["ours", "mine"].spec is not None
    assert large["ours", "mine"].spec.seed == [7]


def test_settings_of_another_attack_are_left_behind(toy: Path) -> None:
    column = 'student = "lenet"\nattack = "zskd"\nsettings = { steps = 5 }\n'
    suite = read_suite(edited(toy, 'student = "lenet"\n', column))
    (ours,) = [c for c in cells(suite, "small") if (c.row.name, c.column.name) == ("ours", "mine")]
    assert ours.spec is not None
    assert ours.spec.set == {"knockoff": {"epochs": 1, "batch_size": 10}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "ours"\n', 'name = "ours"\ncolumns = ["mien"]\n', "did you mean 'mine'"),
        ('title = "A toy"', 'titel = "A toy"', "did you mean 'title'"),
        ("budget = 60", "bugdet = 60", "did you mean 'budget'"),
        ("budget = 60", "budget = 0", "budget of a black box is too small"),
        ("seeds = [0, 1, 2]", "seed = [0]", "did you mean 'seeds'"),
        ('attack = "knockoff:shared"', 'attack = "knokoff"', "did you mean 'knockoff'"),
        ("settings = { epochs = 2 }", "settings = { epoch = 2 }", "did you mean 'epochs'"),
        ("[scale.small.row.ours]", "[scale.small.row.our]", "did you mean 'ours'"),
        ("[scale.small.column.broken]", "[scale.small.column.broke]", "did you mean 'broken'"),
        ("paper = { mine = 88.8 }", "paper = { mien = 88.8 }", "did you mean 'mine'"),
        ('student = "lenet"', 'student = "lennet"', "did you mean 'lenet'"),
        ('name = "later"', 'name = "ours"', "given twice"),
        ('name = "later"', 'name = "../later"', "row.2.name"),
        ('not_run = "the attack comes later"\n', "", "a cell needs one attack"),
        ('title = "small"\n', "", "the key 'scale.small.title' is missing"),
        ("seeds =", 'agreement = ["corrected"]\nseeds =', "agreement.0: Input should be 'plain'"),
        ("title =", "title", "cannot be read as TOML"),
    ],
)
def test_a_mistake_is_one_sentence(toy: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        read_suite(edited(toy, old, new))


def test_unknown_suites_rows_columns_and_scales_are_suggested(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'fmnist'"):
        find("fmnst")
    suite = read_suite(toy)
    with pytest.raises(SpecError, match="did you mean 'small'"):
        cells(suite, "smal")
    with pytest.raises(SpecError, match="did you mean 'knockoff'"):
        jobs(suite, "small", tmp_path, rows=["knokoff"])
    with pytest.raises(SpecError, match="did you mean 'broken'"):
        jobs(suite, "small", tmp_path, columns=["broke"])


def test_the_example_of_the_docs_is_a_suite(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    path = tmp_path / "example.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    suite = read_suite(path)
    knockoff = next(c for c in cells(suite, "cpu") if c.row.name == "knockoff")
    assert knockoff.spec is not None
    assert knockoff.spec.budget == 20_000
    assert knockoff.spec.set == {"knockoff": {"batch_size": 64, "epochs": 20}}
