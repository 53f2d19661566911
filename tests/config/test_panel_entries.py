"""Which attacks a panel has, and the panels that are refused before anything is sent."""

from pathlib import Path
from typing import Any, get_args

import pytest
from tests.support.cli_runs import run

from clonecost.attacks import ATTACKS
from clonecost.cli.to_config import spec_of_keys
from clonecost.config import make_attack, make_spec, to_toml
from clonecost.config.panel_entries import entries_of, fingerprint_rows, sized, watch_rows
from clonecost.config.panels import LEVELS
from clonecost.errors import SetKey, SpecError
from clonecost.result.panel import Level
from clonecost.types import AnswerKind


@pytest.mark.parametrize("level", get_args(Level))
@pytest.mark.parametrize("answers", get_args(AnswerKind))
@pytest.mark.parametrize(("victim", "takes"), [("digits-lenet", "images"), ("iris-mlp", "table")])
def test_every_attack_of_a_panel_suits_victim_and_answers(
    level: Level, answers: AnswerKind, victim: str, takes: str
) -> None:
    given = "top_k:2" if answers == "top_k" else answers
    spec = make_spec({"victim": victim, "panel": level, "answers": given})
    assert len(spec.attack) >= 2
    for name in spec.attack:
        declares = make_attack(name, {}).declares
        assert (declares.takes, declares.white_box) == (takes, False)
        kinds = get_args(AnswerKind)
        assert kinds.index(declares.needs) <= kinds.index(answers)
    if answers != "label":
        assert {"tramer_lr", "ex_nihilo"} & set(spec.attack) or answers == "top_k"


def test_the_panels_name_attacks_that_exist_and_grow_with_their_level() -> None:
    for kind in ("images", "table"):
        sizes = []
        for level in LEVELS.values():
            names = [entry.attack for entry in getattr(level, kind)]
            assert {name.partition(":")[0] for name in names} <= set(ATTACKS)
            assert len(names) == len(set(names))
            sizes.append(len(names))
        assert sizes == sorted(sizes)


def test_what_the_attacker_owns_is_said_and_what_only_the_owner_has_is_missing() -> None:
    owns = {one.attack: one for one in entries_of(make_spec(
        {"victim": "digits-lenet", "panel": "standard"}
    ))}  # fmt: skip
    assert owns["ex_nihilo"].owns == "nothing"
    assert owns["knockoff:shared"].owns == "public pictures (photos)"
    assert (owns["jbda"].spec.proxy, owns["jbda"].missing) == ("digits", "")
    mine = make_spec({"victim": "m:net", "test": "t.npz", "proxy": "p.npz", "panel": "standard"})
    own = {one.attack: one for one in entries_of(mine)}
    assert own["knockoff:shared"].owns == "the data p.npz"
    assert "only you have" in own["jbda"].missing


def test_a_public_backbone_is_guessed_for_large_colour_pictures_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def guess(shape: list[int], attack: str = "frozen_head", **keys: Any) -> list[str]:
        spec = make_spec(
            {"victim": "m:net", "test": "t.npz", "shape": shape, "panel": "quick", **keys}
        )
        return [one.missing for one in entries_of(spec) if one.attack == attack]

    assert guess([3, 224, 224]) == [""]
    assert guess([3, 32, 32]) == guess([1, 224, 224]) == []
    (why,) = guess([3, 64, 64], set={"frozen_head": {"backbone": "nothing"}})
    assert "unknown backbone 'nothing'" in why
    monkeypatch.setattr("clonecost.backbones.catalogue.find_spec", lambda name: None)
    (why,) = guess([3, 64, 64])
    assert "pip install 'clonecost[backbones]'" in why


def test_large_colour_pictures_meet_an_attacker_with_a_pretrained_student(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(**keys: Any) -> dict[str, tuple[str | None, str]]:
        spec = make_spec({"victim": "m:net", "test": "t.npz", "panel": "standard", **keys})
        entries = entries_of(spec)
        assert len({one.name for one in entries}) == len(entries)
        return {one.attack: (one.spec.student, one.missing) for one in entries}

    large = found(shape=[3, 224, 224])
    for attack in ("knockoff:linear_probe", "knockoff:fine_tune"):
        student, missing = large[attack]
        assert str(student).startswith("backbone:efficientnet-lite0")
        assert not missing
        assert attack not in found(shape=[3, 32, 32])
        assert "yours is resnet8" in found(shape=[3, 64, 64], student="resnet8")[attack][1]
    assert large["knockoff:shared"] == (None, "")
    monkeypatch.setattr("clonecost.backbones.catalogue.find_spec", lambda name: None)
    assert "clonecost[backbones]" in found(shape=[3, 64, 64])["knockoff:linear_probe"][1]


def test_attacks_on_large_pictures_can_be_set_before_the_test_rows_show_their_size() -> None:
    spec = make_spec({
        "victim": "m:net", "test": "t.npz", "panel": "quick", "set": {"frozen_head": {"size": 96}},
    })  # fmt: skip
    assert "frozen_head" not in spec.attack
    assert sized(spec, (3, 32, 32)) is spec
    large = sized(spec, (3, 224, 224))
    assert large.attack[0] == "frozen_head"
    assert fingerprint_rows(large) == 300
    assert fingerprint_rows(spec) == 0
    with pytest.raises(SpecError, match="an attack that is not run"):
        make_spec({"victim": "digits-lenet", "panel": "quick", "set": {"frozen_head": {"size": 9}}})


def test_settings_and_seeds_reach_each_entry() -> None:
    spec = make_spec({
        "victim": "digits-lenet", "panel": "quick", "seed": [3, 4],
        "set": {"ex_nihilo": {"epochs": 2}},
    })  # fmt: skip
    entries = entries_of(spec)
    assert [one.seed for one in entries] == [3, 4] * 3
    assert len({one.name for one in entries}) == 6
    assert entries[2].spec.set == {"ex_nihilo": {"epochs": 2}}
    assert all(one.spec.panel is None and one.spec.attack == [one.attack] for one in entries)


def test_a_small_budget_buys_no_watch_rows() -> None:
    assert watch_rows(make_spec({"victim": "digits-lenet", "panel": "quick"}), 2) == 200
    small = make_spec({"victim": "digits-lenet", "panel": "quick", "budget": 1_000})
    assert watch_rows(small, 2) == 0


REFUSED: list[tuple[list[str], str]] = [
    (["--attack", "dfme"], "either the attacks that you name or a panel"),
    (["--access", "white-box"], "a white-box reference reads the network: name the reference"),
    (["--max-usd", "5"], "A limit of money needs the price of a query. Use --price USD"),
    (["--minutes", "0"], "--minutes does not take this value: got '0', want a number above 0"),
    (["--budget", "2"], "The budget fits no attack of the panel"),
    (["--budget", "79"], "of fewer than 20 rows each none learns to tell 10 classes apart: got 79"),
    (["--set", "dfme.step=1"], "settings of an attack that is not run"),
    (["--panel", "quicker"], "--panel does not take this value"),
]


def test_the_least_budget_that_a_refusal_names_is_enough() -> None:
    for keys in ({"victim": "digits-lenet"}, {"victim": "m:net", "test": "t", "classes": 700},
                 {"victim": "iris-softmax"}):  # fmt: skip
        with pytest.raises(SpecError) as refused:
            make_spec({**keys, "panel": "standard", "budget": 1})
        remedy = refused.value.remedies[0]
        assert isinstance(remedy, SetKey)
        assert isinstance(remedy.value, int)
        make_spec({**keys, "panel": "standard", "budget": remedy.value})
        with pytest.raises(SpecError):
            make_spec({**keys, "panel": "standard", "budget": remedy.value - 400})


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_a_panel_that_cannot_run_is_one_sentence(words: list[str], said: str) -> None:
    asked = words if "--panel" in words else ["--panel", "quick", *words]
    for command in ("audit", "plan"):
        refused = run(command, "digits-lenet", *asked)
        assert refused.status == 2
        assert said in refused.err
        assert refused.err.count("\n") == 1


def test_limits_of_a_panel_need_one() -> None:
    given: dict[str, Any] = {"victim": "digits-lenet", "attack": "knockoff"}
    for key in ("minutes", "max_usd"):
        with pytest.raises(SpecError, match=f"The key {key} limits a panel"):
            make_spec({**given, key: 3})


def test_an_audit_without_an_attack_is_the_quick_panel_and_a_file_with_one_is_not(
    tmp_path: Path,
) -> None:
    def panel_of(victim: str) -> str | None:
        return spec_of_keys({"victim": victim}, panel=True).panel

    assert panel_of("digits-lenet") == "quick"
    path = tmp_path / "mine.toml"
    path.write_text('victim = "digits-lenet"\nattack = "ex_nihilo"\n')
    assert panel_of(str(path)) is None
    path.write_text('victim = "digits-lenet"\npanel = "standard"\n')
    assert panel_of(str(path)) == "standard"
    spec = make_spec({"victim": "digits-lenet"})  # also the attack that is the default in Python
    path.write_text(to_toml(spec))
    assert panel_of(str(path)) is None


def test_the_plan_prints_the_panel_before_anything_is_sent() -> None:
    said = " ".join(run("plan", "iris-softmax", "--price", "1", "--max-usd", "20").out.split())
    assert "quick: these attacks, cheapest first, each on its own account" in said
    assert "1. tramer_lr owns the ranges of the columns;" in said
    assert "200 uniform rows (25 of them twice: are its answers a tree's?), bought first" in said
    assert "10,000 queries in all, 10 minutes, $20, evaluation included" in said
    assert "at most 10,000 of the attacks, all counted" in said
