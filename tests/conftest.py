"""Fixtures: a toy victim with a known answer, its threat model, data and audit."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from tests.support import workbench
from tests.support.attack_settings import toy_attack
from tests.support.table_toys import TABLE_TOYS, TableToy
from tests.support.text_toys import (
    FEW,
    LENGTH,
    TEXT_ATTACKS,
    TextToy,
    text_toy,
    word_model,
)
from tests.support.toys import BUDGET, CLASSES, SHAPE, MakeAudit, toy_generator, toy_student
from torch import nn

from clonecost.attacks import Attack
from clonecost.audit import Audit, RunOptions
from clonecost.tabular.features import uniform_rows
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.victims import LoadedVictim, torch_victim

MEMORY = Path("/dev/shm")  # a file system in memory, on Linux
torch.set_num_threads(1)  # tiny tensors: threads only wait for each other

# Always the same examples, however slow the machine is; `tests/support/fuzzing.py` has its own.
settings.register_profile(
    "clonecost", derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("clonecost")


def pytest_configure(config: pytest.Config) -> None:
    """What tests train is kept beside pytest's own cache, not in the user's.

    Folders are in memory where there is room: a ledger waits for the disk after every batch.
    """
    os.environ.setdefault("CLONECOST_CACHE", str(config.rootpath / ".pytest_cache" / "clonecost"))
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * 1024**3:
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None  # it was asked for before


@pytest.fixture
def table_toy(request: pytest.FixtureRequest) -> TableToy | None:
    """Of a test that is parametrised with the name of an attack on tables; else None."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    make = TABLE_TOYS.get(parameters.get("name", ""))
    return make() if make else None


@pytest.fixture(scope="session")
def text_toys() -> dict[str, TextToy]:
    return {"tfidf_exact": text_toy(), "text_knockoff": text_toy(word_model(known=FEW))}


@pytest.fixture
def text_of_attack(request: pytest.FixtureRequest) -> TextToy | None:
    """Of a test that is parametrised with the name of an attack on texts; else None."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    name = parameters.get("name", "")
    toys: dict[str, TextToy] = request.getfixturevalue("text_toys") if name in TEXT_ATTACKS else {}
    return toys.get(name)


@pytest.fixture
def network() -> nn.Module:
    """Linear on centred pixels, so that every class owns its share of the cube."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        linear = nn.Linear(64, CLASSES)
    with torch.no_grad():
        linear.weight.mul_(8)  # confident answers
        linear.bias.copy_(-linear.weight.sum(1) / 2)
    return nn.Sequential(nn.Flatten(), linear)


@pytest.fixture
def victim(
    network: nn.Module, table_toy: TableToy | None, text_of_attack: TextToy | None
) -> Victim:
    if text_of_attack:
        return text_of_attack.answer
    return table_toy.answer if table_toy else torch_victim(network)


@pytest.fixture
def threat(table_toy: TableToy | None, text_of_attack: TextToy | None) -> ThreatModel:
    if text_of_attack:
        return ThreatModel(
            input_shape=(LENGTH,), num_classes=CLASSES, query_budget=BUDGET, text=True
        )
    if table_toy:
        return ThreatModel(
            input_shape=(len(table_toy.features),), num_classes=table_toy.classes,
            query_budget=BUDGET, features=table_toy.features, incomplete=table_toy.incomplete,
            input_precision=table_toy.precision,
        )  # fmt: skip
    return ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=BUDGET)


@pytest.fixture
def test_set(
    victim: Victim, table_toy: TableToy | None, text_of_attack: TextToy | None
) -> LabelledInputs:
    if text_of_attack:
        return text_of_attack.test
    if table_toy:
        rows = uniform_rows(table_toy.features, 400, torch.Generator().manual_seed(1))
        names = tuple("abc"[: table_toy.classes])
        return LabelledInputs(rows, victim(rows).argmax(1), names, "toy", table_toy.features)
    inputs = torch.rand(400, *SHAPE, generator=torch.Generator().manual_seed(1))
    return LabelledInputs(inputs, victim(inputs).argmax(1), ("a", "b", "c"), "toy")


@pytest.fixture
def proxy(text_of_attack: TextToy | None) -> LabelledInputs:
    if text_of_attack:
        return text_of_attack.pool
    inputs = torch.rand(4_000, *SHAPE, generator=torch.Generator().manual_seed(2))
    pixels = inputs.mul(255).round().to(torch.uint8)
    return LabelledInputs(pixels, torch.arange(4_000) % 4, ("p", "q", "r", "s"), "noise")


def grouped(settings: dict[str, object]) -> Audit:
    """An audit of flat settings: those of its victim and its options are put where they belong."""

    def take(kind: type) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(kind) if field.name in settings]
        return {name: settings.pop(name) for name in names}

    settings = dict(settings)
    victim, options = settings.pop("victim"), RunOptions(**take(RunOptions))
    known = take(LoadedVictim)
    if any(value is not None for value in known.values()):
        assert callable(victim)
        answer = torch_victim(victim) if isinstance(victim, nn.Module) else victim
        victim = LoadedVictim(**{"name": "victim", "answer": answer, **known})
    return Audit(victim=victim, options=options, **settings)  # type: ignore[arg-type]


@pytest.fixture
def make_audit(
    victim: Victim, network: nn.Module, threat: ThreatModel, test_set: LabelledInputs,
    proxy: LabelledInputs, tmp_path: Path,
) -> MakeAudit:  # fmt: skip
    """An audit of the toy, in a white box if its attack needs one.

    Every field can be replaced, also those of its victim and of its options by their own names.
    """

    def make(attack: str | Attack = "knockoff", **changes: object) -> Audit:
        chosen = toy_attack(attack) if isinstance(attack, str) else attack
        box: dict[str, object] = {"threat": threat}
        if chosen.declares.white_box:
            open_to_it = dataclasses.replace(threat, access="white-box", query_budget=0)
            box = {"threat": open_to_it, "network": network}
        settings: dict[str, object] = {
            **box, "victim": victim, "attack": chosen, "test": test_set, "proxy": proxy,
            "generators": {"toy": toy_generator()}, "student": toy_student,
            "out": tmp_path / "run", "milestones": (500, 1_000),
            "spot_check": 0,  # so that a test can count the attack's rows alone
        }  # fmt: skip
        if threat.features is not None:
            settings |= {"proxy": None, "uniform": 0}
        return grouped({**settings, **changes})

    return make


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newcomer's folder; see `workbench`. Tests write beside it, not into it."""
    return workbench.make(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `hard_cases`. Tests write beside it, not into it."""
    pytest.importorskip("onnx")
    from tests.support import hard_cases  # pandas, scikit-learn and onnx are imported on demand

    return hard_cases.make(tmp_path_factory.mktemp("cases"))
