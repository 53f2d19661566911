"""Command line and TOML say the same, and what is written reads back."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cli_runs import MINE, agree, run
from tests.support.workbench import GENERATOR

from clonecost.attacks.dfme import Dfme
from clonecost.attacks.knockoff import Knockoff
from clonecost.config import (
    Spec,
    default_milestones,
    default_out,
    generators_of,
    keys,
    make_attack,
    make_defence,
    make_device,
    make_spec,
    needs_proxy,
    read_spec,
    sends_proxy,
    singles,
    to_toml,
)
from clonecost.defences.rounding import Rounding
from clonecost.errors import CloneCostError, SpecError
from clonecost.result import read_result
from clonecost.victims.endpoints import EndpointSettings

FULL: dict[str, Any] = {
    "max_hours": 3.5,
    "victim": "own:probs", "attack": ["dfme:svhn", "knockoff"], "budget": 700, "proxy": "photos",
    "student": "lenet", "answers": "top_k:2", "input_precision": "uint8",
    "set": {"dfme": {"student_lr": 0.03, "decay_at": [0.2, 0.4], "recovery": "none"},
            "knockoff": {"epochs": "none"}},
    "defence": ["rounding:decimals=1"], "price": 2.5, "milestones": [3, 1], "seed": [4, 5],
    "device": "cpu", "keep": "all", "controls": True, "compile": "all", "snapshot_every": 60.0,
    "retrain": True, "retrain_epochs": 3,
    "spot_check": 5, "data": "somewhere", "test": "digits", "allow": ["sklearn.tree._tree.Tree"],
    "uniform": 7, "incomplete": True,
    "network": "lenet", "outputs": "logits", "output": "scores", "shape": [1, 16, 16],
    "classes": 4, "trust": True,
    "class_names": "names.txt", "background": "white",
    "layout": "nhwc", "pixels": "0..255", "channels": "bgr", "mean": [0.5], "std": [0.25],
    "max_lost": 9, "counter": "label_only", "threads": 2, "cpus": 2.0, "gpus": 0.25,
}  # fmt: skip


# The same of an endpoint: the keys that no other victim has.
REMOTE: dict[str, Any] = {
    "victim": "shop", "rate": 5.0,
    "endpoint": {
        "url": "https://shop.example/v1/classify", "method": "PUT",
        "headers": {"Authorization": "Bearer env:SHOP_TOKEN"}, "input": "in", "output": "out",
        "binary": False, "body": {"photo": "$inputs", "key": "env:SHOP_KEY"},
        "row": {"b64": "$input"}, "encoding": "jpeg", "answers": "predictions[*].scores",
        "label": "name", "score": "p", "classes": ["a", "b", "c", "d"], "top_k": 2,
        "batch_size": 8, "concurrency": 2, "timeout": 5.0, "attempts": 3, "latency": 0.2,
        "deadline": 60.0, "answer_bytes": 100_000, "health": "/health", "send": "multipart",
    },
    "authorisation": {"owner": "Shop Ltd", "granted_by": "A. Buyer", "date": "2026-01-31",
                      "scope": "the staging model, 10,000 rows"},
}  # fmt: skip
OF_TABLE = {
    "victim": "own:model", "attack": ["tramer_lr"], "test": "rows.csv", "uniform": 100,
    "features": [{"name": "age", "low": 18.0, "high": 99.0},
                 {"name": "colour", "categories": ["red", "green"]}],
}  # fmt: skip

OF_TEXT = {
    "victim": "own:model",
    "attack": ["text_knockoff"],
    "test": "rows.csv",
    "text_column": "review",
    "label_column": "stars",
    "longest": 200,
    "price_characters": 0.5,
}


def test_the_examples_have_every_key() -> None:
    # a white box has no --defence; a panel names no attack
    apart = {"access", "features", "panel", "minutes", "max_usd"}
    assert set(FULL) | set(REMOTE) | set(OF_TEXT) | apart == set(Spec.model_fields)
    assert set(REMOTE["endpoint"]) == set(EndpointSettings.model_fields)
    defaults = Spec(victim="x").model_dump()
    for example in (FULL, REMOTE, OF_TEXT):
        whole = make_spec(example).model_dump()
        assert [key for key in example if whole[key] == defaults[key]] == []
    usual, told = EndpointSettings().model_dump(), REMOTE["endpoint"]
    assert [key for key in told if told[key] == usual[key]] == []


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    panel = {"victim": "digits-lenet", "panel": "standard", "budget": 10_000, "price": 1.0,
             "minutes": 5.0, "max_usd": 9.0}  # fmt: skip
    for written in (FULL, REMOTE, OF_TABLE, OF_TEXT, {"victim": "digits-lenet"}, panel):
        spec = make_spec(written)
        (tmp_path / "spec.toml").write_text(to_toml(spec), encoding="utf-8")
        assert read_spec(tmp_path / "spec.toml") == spec


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=40)
@given(proxy=names, test=names, budget=st.integers(1, 10**12), price=st.floats(0, 1e6),
       rate=st.floats(1e-30, 1e30))  # fmt: skip
def test_any_names_and_numbers_read_back(
    tmp_path_factory: pytest.TempPathFactory, proxy: str, test: str, budget: int, price: float,
    rate: float,
) -> None:  # fmt: skip
    spec = make_spec({
        "victim": "own:probs", "proxy": proxy, "test": test, "budget": budget, "price": price,
        "attack": "dfme", "set": {"dfme": {"step": rate}},
    })  # fmt: skip
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(to_toml(spec).encode())
    assert read_spec(path) == spec


def test_a_file_and_flags_make_the_same_audit(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    flags = ["--attack", "knockoff", "--budget", "50", "--answers", "label", "--milestones",
             "20,40", "--set", "knockoff.epochs=1", "--seed", "3", "--defence",
             "rounding:decimals=1", "--input-precision", "uint8", "--price", "1"]  # fmt: skip
    assert run("audit", *MINE, *flags, "--out", tmp_path / "flags").status == 0
    (tmp_path / "mine.toml").write_text(
        'victim = "own:probs"\ntest = "test.npz"\nproxy = "proxy.npz"\nstudent = "lenet"\n'
        'attack = "knockoff"\nbudget = 50\nanswers = "label"\nmilestones = [20, 40]\nseed = 3\n'
        'defence = "rounding:decimals=1"\ninput_precision = "uint8"\nprice = 1\nspot_check = 0\n'
        "set.knockoff.epochs = 1\n"
    )
    said = run("audit", tmp_path / "mine.toml", "--out", tmp_path / "file",
               *agree("code:own:probs"))  # fmt: skip
    assert said.status == 0, said.err
    one, two = (tmp_path / name / "spec.toml" for name in ("flags", "file"))
    assert one.read_text() == two.read_text()
    clones = [tmp_path / name / "clone.safetensors" for name in ("flags", "file")]
    assert clones[0].read_bytes() == clones[1].read_bytes()


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'victim = "digits-lenet"\nattack = "knockoff"\nbudget = 5\n'
        "[set.knockoff]\nepochs = 1\nbatch_size = 8\n"
    )
    said = run("plan", tmp_path / "a.toml", "--budget", "7", "--set", "knockoff.epochs=2")
    assert "queries 7 rows" in " ".join(said.out.split())
    assert "for 2 epochs" in " ".join(said.out.split())


def test_settings_get_the_fields_types() -> None:
    attack = make_attack("dfme", {"dfme": {"recovery": "none", "decay_at": [0.5], "step": 1}})
    assert attack == Dfme(recovery="none", decay_at=(0.5,), step=1.0)
    assert make_attack("knockoff:shared", {"knockoff": {"epochs": "none"}}) == Knockoff(
        recipe="shared"
    )
    assert make_defence("rounding: decimals = 3") == Rounding(decimals=3)
    for settings_ in ({"loss": "l2"}, {"batch_size": 1.5}, {"batch_size": "x"}, {"step": [1.0]}):
        with pytest.raises(SpecError, match=r"dfme\."):
            make_attack("dfme", {"dfme": settings_})


def test_singles_have_a_folder_each(tmp_path: Path) -> None:
    one = make_spec({"victim": "digits-lenet"})
    assert singles(one, tmp_path) == [(one, tmp_path)]
    found = singles(make_spec(FULL), tmp_path)
    assert [folder.name for _, folder in found] == [
        "dfme-svhn-seed4", "dfme-svhn-seed5", "knockoff-seed4", "knockoff-seed5",
    ]  # fmt: skip
    for single, _ in found:
        (name,) = single.attack
        assert list(single.set) == [name.partition(":")[0]]


def test_the_default_folder_depends_on_what_is_asked_and_on_nothing_else() -> None:
    plain = make_spec({"victim": "digits-lenet"})
    assert default_out(plain) == Path("runs/digits-lenet-knockoff-shared")
    free = {"price": 1.0, "milestones": [5], "controls": True, "data": "x", "keep": "all",
            "snapshot_every": 1.0, "spot_check": 3, "max_lost": 5, "max_hours": 2.0,
            "retrain": True, "retrain_epochs": 2,
            "threads": 2, "cpus": 2.0, "gpus": 0.5}  # fmt: skip
    assert set(free) | {
        "budget",
        "rate",
        "authorisation",
        "minutes",
        "max_usd",
        "price_characters",
    } == {name for name, key in keys(Spec).items() if key.free}
    assert default_out(make_spec({"victim": "digits-lenet", **free})) == default_out(plain)
    others: list[dict[str, Any]] = [
        {"seed": 1}, {"answers": "label"}, {"defence": "rounding"}, {"student": "lenet"},
        {"set": {"knockoff": {"epochs": 1}}}, {"proxy": "x"}, {"input_precision": "uint8"},
    ]  # fmt: skip
    folders = {default_out(make_spec({"victim": "digits-lenet", **other})) for other in others}
    assert len(folders | {default_out(plain)}) == len(others) + 1
    remote = make_spec(REMOTE)
    slower = {**REMOTE["endpoint"], "timeout": 9.0, "headers": {}}
    faster = make_spec({**REMOTE, "rate": 9.0, "endpoint": slower})
    assert default_out(faster) == default_out(remote)
    encoded = {**REMOTE["endpoint"], "encoding": "png"}
    assert default_out(make_spec({**REMOTE, "endpoint": encoded})) != default_out(remote)
    strange = make_spec({"victim": "/tmp/a b/ö[1].safetensors", "network": "lenet"})
    assert default_out(strange).name.isascii()
    assert default_out(strange).parent == Path("runs")


def test_default_milestones_lie_below_the_budget() -> None:
    assert default_milestones(10_000) == [200, 500, 1_000, 2_000, 5_000]
    assert default_milestones(1) == []


def test_devices() -> None:
    assert make_device("cpu") == torch.device("cpu")
    assert make_device("auto").type in ("cpu", "cuda")
    with pytest.raises(CloneCostError, match="does not have the device"):
        make_device("cuda:99")
    for name in ("meta", "gpu", "", "GPU:0", "cuda:x", "cpu:"):
        with pytest.raises(
            CloneCostError, match=r"cpu, cuda, cuda:N or mps; this .* has cpu"
        ) as it:
            make_device(name)
        assert "xpu" not in str(it.value)  # torch's own list has kinds that no audit takes


def test_a_generator_by_name_needs_the_proxy_and_a_folder_does_not() -> None:
    def spec(generator: str, *others: str) -> Spec:
        return make_spec({
            "victim": "digits-lenet", "attack": ["black_box_ripper", *others],
            "set": {"black_box_ripper": {"generator": generator}},
        })  # fmt: skip

    assert generators_of(spec("vae", "dfme")) == ["vae"]
    assert needs_proxy(spec("vae"))
    assert not sends_proxy(spec("vae"))
    assert not needs_proxy(spec("some/folder"))
    assert needs_proxy(spec("some/folder", "knockoff"))
    with pytest.raises(SpecError, match="unknown generator 'sngam-small'; did you mean"):
        spec("sngam-small")


def test_a_generator_is_trained_once_for_all_seeds_and_fitted_to_the_victim(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    ripper = [f"--set=black_box_ripper.{key}={value}" for key, value in {
        "generator": GENERATOR, "population": 9, "elite": 3, "epochs": 2}.items()]  # fmt: skip
    out = tmp_path / "run"
    mine = [word for word in MINE if word not in ("--proxy", "proxy.npz")]
    said = run("audit", *mine, "--attack", "black_box_ripper", *ripper, "--budget", "150",
               "--milestones", "40", "--seed", "0", "--seed", "1", "--out", out)  # fmt: skip
    assert said.status == 0, said.err
    for seed in (0, 1):
        found = read_result(out / f"black_box_ripper-seed{seed}")
        assert (found.spent, found.attack.proxy) == (150, "proxy")
        assert found.search is not None
        assert found.provenance.seed == seed
    again = run("replay", out / "black_box_ripper-seed0", "--student", "half-lenet")
    assert again.status == 0, again.err


def test_plan_says_which_generator_is_missing(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path))
    said = run("plan", *MINE, "--attack", "black_box_ripper")
    words = " ".join((said.out + said.err).split())
    assert "generator sngan-small is not trained on proxy.npz yet" in words
    gone = run("plan", *MINE, "--attack", "black_box_ripper",
               "--set", "black_box_ripper.generator=gone/away")  # fmt: skip
    assert "no trained generator in gone/away" in " ".join((gone.out + gone.err).split())


@pytest.mark.parametrize("budget", [0, 500, 10_000])
def test_a_white_box_keeps_its_budget_on_the_way_to_a_file_and_back(
    budget: int, tmp_path: Path
) -> None:
    """Its implied budget is 0; 10,000, the default of other audits, must not be lost."""
    keys = {"victim": "digits-lenet", "attack": "zskd", "access": "white-box", "budget": budget}
    spec = make_spec(keys)
    (tmp_path / "spec.toml").write_text(to_toml(spec), encoding="utf-8")
    assert read_spec(tmp_path / "spec.toml").budget == budget


@settings(max_examples=200)
@given(names=st.lists(st.text(min_size=1, max_size=120).filter(str.strip), min_size=2, max_size=2,
                      unique=True))  # fmt: skip
def test_two_victims_never_share_a_default_folder(names: list[str]) -> None:
    one, two = (default_out(Spec(victim=f"{name}.onnx", device="cpu")) for name in names)
    assert one != two
    assert len(one.name.encode()) < 200
    assert one.parent == Path("runs")
    assert one.name.isascii()


@pytest.mark.parametrize(
    ("one", "two"),
    [("modèle.onnx", "mod le.onnx"), ("a/net.onnx", "b/net.onnx"), ("a/net.onnx", "a-net.onnx")],
)
def test_victims_of_one_plain_name_have_folders_of_their_own(one: str, two: str) -> None:
    assert default_out(Spec(victim=one)) != default_out(Spec(victim=two))


@pytest.mark.parametrize(("written", "attack"), [
    ({"victim": "digits-lenet"}, "knockoff:shared"),
    ({"victim": "net.onnx", "test": "mine.npz"}, "knockoff:shared"),
    ({"victim": "net.onnx", "test": "mine.npz", "answers": "label"}, "knockoff:shared"),
    ({"victim": "iris-softmax"}, "tramer_adaptive_retrain"),
    ({"victim": "net.onnx", "test": "mine.csv"}, "tramer_adaptive_retrain"),
    ({"victim": "mine:model", "test": "iris"}, "tramer_adaptive_retrain"),
    ({"victim": "mine:model", "test": "a.parquet"}, "tramer_adaptive_retrain"),
    ({"victim": "http://127.0.0.1:1/v2/models/m", "test": "mine.csv"}, "tramer_adaptive_retrain"),
    ({"victim": "mine:model", "test": "x.npz", "features": [{"name": "a", "low": 0, "high": 1}]},
     "tramer_adaptive_retrain"),
])  # fmt: skip
def test_the_default_attack_fits_the_victim_and_every_kind_of_answers(
    written: dict[str, Any], attack: str
) -> None:
    for answers in ("probs", "top_k:1", "label"):
        spec = make_spec({**written, "answers": answers})
        assert spec.attack == [attack]
        assert make_attack(attack, {}).declares.needs == "label"
        assert make_spec(tomllib.loads(to_toml(spec))) == spec
