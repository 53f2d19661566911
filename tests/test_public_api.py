"""What `import clonecost` promises; a change here is a breaking one."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import nn

import clonecost
import clonecost.attacks
from clonecost import (
    ATTACKS,
    DEFENCES,
    Audit,
    CloneCostError,
    Knockoff,
    LabelledInputs,
    LoadedVictim,
    Result,
    ThreatModel,
    Victim,
    Watcher,
    run_audit,
)
from clonecost.registry import camel_case

SOURCE = Path(clonecost.__file__).parent
PUBLIC: list[str] = vars(clonecost)["__all__"]  # the stub, which mypy reads, has none


def test_the_public_names_are_pinned() -> None:
    assert set(PUBLIC) == {
        "ATTACKS", "ActiveThief", "Attack", "AttackerKit", "Audit", "BlackBoxRipper",
        "CloneCostError", "Copycat", "DEFENCES", "Defence", "Degan", "Dfme", "Dfms", "Disguide",
        "DualStudents", "ExNihilo", "Feature", "FrugalRipper", "Ideal", "Jbda", "Knockoff",
        "KnockoffAdaptive", "LabelledInputs", "LoadedVictim", "LowdMeek", "Marich", "Maze",
        "MazePd", "MazeStar", "Oracle", "Recipe", "ReluExact", "Result", "Rounding", "RunOptions",
        "ThreatModel", "ThresholdHarvest", "TramerAdaptiveRetrain",
        "TramerKernelLr", "TramerLr", "TramerMlp", "TramerTree", "TramerTreeTopDown",
        "Victim", "Watcher", "Zskd",
        "defend", "headline", "load", "load_proxy", "load_table", "load_texts", "names",
        "ready_generator",
        "run_audit",
        "sklearn_victim", "stated_table", "table", "table_victim", "text_victim", "torch_victim",
        "TextOptions", "zoo_model", "zoo_text_victim", "zoo_victim",
    }  # fmt: skip
    assert set(PUBLIC) <= set(dir(clonecost))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(clonecost, name) is not None


def test_every_attack_and_defence_is_a_public_name_without_being_listed() -> None:
    for parts in (ATTACKS, DEFENCES):
        for name, part in parts.items():
            assert getattr(clonecost, camel_case(name)) is part


def test_a_new_attack_is_a_public_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brand_new.py").write_text("class BrandNew: ...")
    monkeypatch.setattr(clonecost.attacks, "__path__", [*clonecost.attacks.__path__, str(tmp_path)])
    assert clonecost.BrandNew is ATTACKS["brand_new"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("stub", sorted(SOURCE.rglob("__init__.pyi")), ids=str)
def test_every_name_of_a_stub_is_found_by_its_package(stub: Path) -> None:
    """mypy reads the stub and Python the package: both must tell the same."""
    package = import_module(".".join(stub.parent.relative_to(SOURCE.parent).parts))
    listed = re.findall(r" as (\w+)$", stub.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(package.__all__)
    for name in listed:
        assert getattr(package, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"attribute.*run_audits"):
        clonecost.run_audits  # type: ignore[attr-defined]  # noqa: B018


def test_help_does_not_wait_for_torch() -> None:
    heavy = {"torch", "sklearn", "numpy", "scipy", "matplotlib", "pandas", "httpx2"}
    code = f"import sys, clonecost.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ten_lines(tmp_path: Path) -> None:
    """As in the README: a module that gives logits, one data set for questions, one for scores."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    test = LabelledInputs(torch.rand(50, 1, 8, 8), torch.randint(3, (50,)))
    proxy = LabelledInputs(torch.rand(80, 1, 8, 8), torch.zeros(80, dtype=torch.int64))
    audit = Audit(
        victim=network,
        threat=ThreatModel(input_shape=(1, 8, 8), num_classes=3, query_budget=60),
        attack=Knockoff(recipe="shared", epochs=1),
        test=test, proxy=proxy, student=toy_student, out=tmp_path / "run",
    )  # fmt: skip
    result: Result = run_audit(audit)
    assert (result.spent, result.evaluation, result.attack.name) == (60, 50, "knockoff")
    assert len(result.victim.weights or "") == 64
    assert run_audit(audit).curve == result.curve


def test_a_watcher_is_told_and_changes_nothing(make_audit: MakeAudit, tmp_path: Path) -> None:
    told: list[object] = []
    watcher = Watcher(
        spent=lambda spent, budget: told.append(spent),
        step=lambda what, done, total: told.append(what),
        scored=lambda score: told.append(score),
    )
    watched = run_audit(make_audit(out=tmp_path / "a"), watcher)
    alone = run_audit(make_audit(out=tmp_path / "b"))
    assert watched.curve == alone.curve
    assert all(score in told for score in watched.curve)
    assert "training the student" in told


def halve(victim: Victim) -> Victim:
    """A defence that is a plain function."""
    return lambda inputs: (victim(inputs) + 1 / CLASSES) / 2


def test_parts_of_ones_own_need_no_dataclass(make_audit: MakeAudit, tmp_path: Path) -> None:
    audit = make_audit(defences=[halve], student=partial(toy_student))
    result = run_audit(audit)
    assert [defence.name for defence in result.defences] == ["halve"]
    assert result.attack.student == "partial"
    assert result.traffic.confident == 0  # no answer is above 2/3


def test_weights_of_every_kind_have_a_digest(make_audit: MakeAudit) -> None:
    whole = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, CLASSES))
    half = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).to(torch.bfloat16)
    digests = {make_audit(victim=module).loaded.weights for module in (whole, half)}
    assert len(digests) == 2
    with torch.no_grad():
        whole[2].bias.add_(1)  # type: ignore[operator]
    assert make_audit(victim=whole).loaded.weights not in digests


def test_a_victim_is_a_module_a_function_or_either_with_what_is_known(
    make_audit: MakeAudit, network: nn.Module, victim: Victim
) -> None:
    x = torch.rand(5, *SHAPE)
    known = LoadedVictim(name="mine", answer=victim, weights="abc", rows_in_flight=3)
    module, function = make_audit(victim=network).loaded, make_audit(victim=victim).loaded
    for loaded in (module, function, make_audit(victim=known).loaded):
        assert torch.equal(loaded.answer(x), victim(x))
    assert (module.name, function.name, function.weights) == ("victim", "victim", None)
    assert module.weights is not None
    assert module.network is None  # in a black box
    assert make_audit(victim=known).loaded is known


def mistakes(threat: ThreatModel, test: LabelledInputs) -> dict[str, dict[str, Any]]:
    labels = torch.full((400,), -1)
    labels[7] = 1
    small = LabelledInputs(torch.rand(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64))
    return {
        "needs proxy data.* Set `proxy`": {"proxy": None},
        r"The proxy .*: got \(1, 4, 4\), want ": {"proxy": small},
        r"The test set .*: got \(1, 4, 4\), want ": {"test": small},
        "The test set is empty": {"test": test.take(slice(0, 0))},
        "got label 2, want 0 to 1": {"threat": replace(threat, num_classes=2)},
        "399 of 400 rows .* have no label": {"test": replace(test, labels=labels)},
        "unknown network 'lenett'": {"student": "lenett"},
        "needs images of at least": {"student": "vgg16"},
    }


@pytest.mark.parametrize("k", range(8))
def test_contradictions_are_refused_before_anything_is_written(
    k: int, make_audit: MakeAudit, threat: ThreatModel, test_set: LabelledInputs, tmp_path: Path
) -> None:
    found = list(mistakes(threat, test_set).items())
    assert len(found) == 8  # as many as there are numbers above
    sentence, changes = found[k]
    with pytest.raises(CloneCostError, match=sentence):
        run_audit(make_audit(**changes))
    assert not (tmp_path / "run").exists()
    assert threat.input_shape == SHAPE
