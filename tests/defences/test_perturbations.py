"""Published values and properties of the defences that change probabilities."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit
from clonecost.defences import DEFENCES
from clonecost.errors import SpecError
from clonecost.persistence import run_folder
from clonecost.types import ThreatModel, Victim

Rows = list[list[float]]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Inputs and fresh noise are the same in each run: a bound of 3 sigma fails 1 time in 370."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def served(name: str, rows: Rows | Tensor, inputs: Tensor | None = None, **how: Any) -> Tensor:
    answers = torch.as_tensor(rows)
    inputs = torch.rand(len(answers), 1, 8, 8) if inputs is None else inputs
    return DEFENCES[name](**how)(lambda _: answers)(inputs)


def dirichlet(rows: int, classes: int, concentration: float, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.dirichlet(np.full(classes, concentration), rows)).float()


KNOWN: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("reverse_sigmoid", {"beta": 0.7, "gamma": 0.1}, [0.9, 0.05, 0.05],
     [0.80986, 0.09507, 0.09507]),
    ("reverse_sigmoid", {"beta": 1, "gamma": 0.1}, [0.9, 0.05, 0.05], [0.77446, 0.11277, 0.11277]),
    ("reverse_sigmoid", {"beta": 0.7, "gamma": 0.2}, [0.9, 0.1], [0.82431, 0.17569]),
    ("reverse_sigmoid", {"beta": 0.7, "gamma": 0.1}, [0.6, 0.3, 0.1], [0.56682, 0.30097, 0.13221]),
    ("mad", {"epsilon": 0.5, "margin": 0}, [0.9, 0.07, 0.03], [0.68723, 0.03277, 0.28000]),
    ("mad", {"epsilon": 1, "margin": 0}, [0.9, 0.07, 0.03], [0.5, 0, 0.5]),
    ("mad", {"epsilon": 0.5, "keep_top": False}, [0.9, 0.07, 0.03], [0.66804, 0.05196, 0.28]),
    ("mad", {"epsilon": 1, "keep_top": False}, [0.9, 0.07, 0.03], [0.43608, 0.03392, 0.53]),
    ("mad", {"epsilon": 0.5, "margin": 0}, [0.6, 0.3, 0.1], [0.5375, 0.1125, 0.35]),
    ("mad", {"epsilon": 0.5, "keep_top": False}, [0.6, 0.3, 0.1], [0.43333, 0.21667, 0.35]),
    ("modelguard_w", {"epsilon": 0.5, "margin": 1e-4}, [0.9, 0.07, 0.03], [0.65, 0.07, 0.28]),
    ("modelguard_w", {"epsilon": 1, "margin": 1e-4}, [0.9, 0.07, 0.03], [0.4, 0.2001, 0.3999]),
    ("modelguard_w", {"epsilon": 0.5, "margin": 1e-4}, [0.5, 0.3, 0.2], [0.3334, 0.3333, 0.3333]),
    ("modelguard_w", {"epsilon": 1, "margin": 1e-4}, [0.6, 0.3, 0.06, 0.04],
     [0.3001, 0.0999, 0.3, 0.3]),
    ("temperature", {"temperature": 2}, [0.8, 0.2], [2 / 3, 1 / 3]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "how", "clean", "answer"), KNOWN)
def test_known_answers(
    name: str, how: dict[str, Any], clean: list[float], answer: list[float]
) -> None:
    found = served(name, [clean], **how)
    torch.testing.assert_close(found, torch.tensor([answer]), atol=1e-5, rtol=0)


KEEP_TOP: list[tuple[str, dict[str, Any]]] = [
    ("mad", {"epsilon": 0.5}), ("mad", {"epsilon": 2}), ("modelguard_w", {"epsilon": 0.5}),
    ("modelguard_w", {"epsilon": 2}), ("noise", {"scale": 0.5}), ("temperature", {}),
    ("noise", {"kind": "laplace", "consistent": True}), ("reverse_sigmoid", {"keep_top": True}),
    ("grad2", {"keep_top": True, "epsilon": 0.5}), ("grad2", {"keep_top": True, "epsilon": 2}),
    ("modelguard_s", {"epsilon": 0.5}), ("rounding", {"decimals": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "how"), KEEP_TOP)
@pytest.mark.parametrize("concentration", [0.1, 1.0])
def test_the_top_class_stays(name: str, how: dict[str, Any], concentration: float) -> None:
    clean = dirichlet(10_000, 10, concentration)
    found = served(name, clean, **how)
    assert torch.equal(found.argmax(1), clean.argmax(1))
    if name in ("modelguard_w", "grad2") or (name == "mad" and how["epsilon"] == 2):
        clear = clean.topk(2).values.diff(dim=1).abs()[:, 0] > 2e-3  # the victim's own ties aside
        assert torch.equal(found.round(decimals=3).argmax(1)[clear], clean.argmax(1)[clear])


@pytest.mark.parametrize("name", ["grad2", "mad", "modelguard_s", "modelguard_w"])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), classes=st.sampled_from([2, 3, 10, 50]),
       concentration=st.sampled_from([0.05, 0.5, 5.0]), epsilon=st.floats(0.01, 2))  # fmt: skip
def test_answers_stay_within_the_distance(
    name: str, seed: int, classes: int, concentration: float, epsilon: float
) -> None:
    clean = torch.cat([dirichlet(16, classes, concentration, seed), torch.eye(classes)[:2]])
    found = served(name, clean, epsilon=epsilon)
    assert ((found - clean).abs().sum(1) <= epsilon + 1e-5).all()


@pytest.mark.parametrize("classes", [3, 5, 8])
def test_mad_finds_the_best_of_all_sets(classes: int) -> None:
    for seed in range(20):
        clean = dirichlet(1, classes, 0.8, seed).double()
        top, u = int(clean.argmax()), torch.full((classes,), 1 / classes, dtype=torch.float64)

        def objective(corner: Tensor, clean: Tensor = clean, u: Tensor = u) -> float:
            return float(1 - torch.cosine_similarity(u - corner, u - clean[0], dim=0))

        corners = []
        for size in range(classes - 1):
            for chosen in itertools.combinations([k for k in range(classes) if k != top], size):
                corner = torch.zeros(classes, dtype=torch.float64)
                corner[[top, *chosen]] = 1 / (size + 1)
                corners.append(corner)
        found = served("mad", clean, epsilon=2, margin=0)[0]
        assert objective(found) == pytest.approx(max(map(objective, corners)), abs=1e-9)


def test_modelguard_is_the_optimum_of_its_linear_programme() -> None:
    rng, margin = np.random.default_rng(1), 1e-3
    for classes in [2, 3, 5, 10] * 6:
        y = dirichlet(1, classes, float(rng.choice([0.2, 1, 3])), int(rng.integers(2**31))).double()
        epsilon, row, top = float(rng.choice([0.1, 0.5, 1, 1.7])), y[0].numpy(), int(y.argmax())
        eye, zero = np.eye(classes), np.zeros((classes, classes))
        above = np.delete(eye - eye[top], top, 0)  # y'_k - y'_top <= -margin
        programme = linprog(
            np.r_[np.log(row + 1e-6), np.zeros(classes)],
            A_ub=np.vstack([
                np.hstack([eye, -eye]), np.hstack([-eye, -eye]),
                np.hstack([above, zero[:-1]]), np.r_[np.zeros(classes), np.ones(classes)][None],
            ]),
            b_ub=np.r_[row, -row, np.full(classes - 1, -margin), epsilon],
            A_eq=np.r_[np.ones(classes), np.zeros(classes)][None], b_eq=[1], bounds=(0, None),
        )  # fmt: skip
        found = served("modelguard_w", y, epsilon=epsilon, margin=margin)[0].numpy()
        if programme.status == 0:
            cost = float(np.log(row + 1e-6) @ found)
            assert cost == pytest.approx(programme.fun, abs=1e-6)
        else:
            np.testing.assert_array_equal(found, row)  # no answer is allowed: served unchanged


def test_modelguard_serves_rows_without_a_solution_unchanged() -> None:
    row = [[0.3334, 0.3333, 0.3333]]
    assert torch.equal(served("modelguard_w", row, epsilon=1e-5), torch.tensor(row))


def test_the_floor_of_the_reverse_sigmoid_decides_on_the_top_class() -> None:
    row = [[0.34, 0.33, 0.33, 0.0, 0.0]]
    tops = {f: int(served("reverse_sigmoid", row, beta=1, gamma=0.1, floor=f).argmax())
            for f in (1e-7, 1e-9)}  # fmt: skip
    assert tops == {1e-7: 0, 1e-9: 3}


def test_the_power_of_an_answer_undoes_the_temperature() -> None:
    clean = dirichlet(200, 10, 1.0).clamp_min(1e-4)
    clean /= clean.sum(1, keepdim=True)
    found = served("temperature", clean, temperature=3) ** 3
    torch.testing.assert_close(found / found.sum(1, keepdim=True), clean, atol=1e-5, rtol=0)


def test_the_mean_of_fresh_noise_has_a_bias_and_the_right_top_class() -> None:
    clean = dirichlet(300, 10, 0.5)
    draws = torch.stack([served("noise", clean, keep_top=False) for _ in range(64)])
    one = (draws[0].argmax(1) == clean.argmax(1)).float().mean()
    mean = draws.mean(0)
    assert (mean.argmax(1) == clean.argmax(1)).float().mean() > one
    assert (mean - clean).abs().sum(1).mean() > 0.2  # cut off at 0: averaging does not undo it


def keyed(name: str, rows: Tensor, inputs: Tensor, **how: Any) -> Tensor:
    extra = {"consistent": True} if name == "noise" else {"rate": 0.4}
    return served(name, rows, inputs, **extra, **how)


@pytest.mark.parametrize("name", ["noise", "dawn"])
def test_a_key_gives_the_same_row_the_same_answer(name: str) -> None:
    clean, inputs = dirichlet(400, 10, 0.5), torch.rand(400, 1, 8, 8)
    state = torch.get_rng_state()
    found = keyed(name, clean, inputs)
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn from it
    order = torch.randperm(400)
    assert torch.equal(keyed(name, clean[order], inputs[order]), found[order])
    single = torch.cat([keyed(name, clean[k : k + 1], inputs[k : k + 1]) for k in range(9)])
    assert torch.equal(single, found[:9])
    unseen = (inputs + 1e-7).clamp(0, 1)
    same = (keyed(name, clean, unseen) == found).all(1).float().mean()
    assert same > 0.9  # a change far below 8 bits gives no fresh draw, but at the edges of a step
    last = inputs.clone()
    last[:, 0, 7, 7] = (last[:, 0, 7, 7] + 0.1).clamp_max(1.1)  # the last pixel counts, too
    assert not torch.equal(keyed(name, clean, last), found)
    assert not torch.equal(keyed(name, clean, inputs, key="another"), found)


def test_dawn_flips_the_stated_share_and_never_to_the_same_class() -> None:
    rate, n = 0.01, 50_000
    clean, inputs = dirichlet(n, 10, 0.5), torch.rand(n, 2, 2)
    found = served("dawn", clean, inputs, rate=rate, step=1e-4)
    changed = (found != clean).any(1)
    assert torch.equal(changed, found.argmax(1) != clean.argmax(1))
    assert abs(float(changed.float().mean()) - rate) < 3 * (rate * (1 - rate) / n) ** 0.5
    assert torch.equal(found.sort(1).values, clean.sort(1).values)


def test_a_key_from_the_environment_stays_out_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean, inputs = dirichlet(50, 10, 0.5), torch.rand(50, 1, 8, 8)
    monkeypatch.setenv("MY_KEY", "a long secret")
    assert torch.equal(keyed("noise", clean, inputs, key="env:MY_KEY"),
                       keyed("noise", clean, inputs, key="a long secret"))  # fmt: skip
    assert "a long secret" not in repr(DEFENCES["noise"](key="env:MY_KEY"))
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(SpecError, match="MY_KEY"):
        keyed("noise", clean, inputs, key="env:MY_KEY")


@pytest.mark.parametrize(("name", "how"), [
    ("dawn", {}), ("noise", {"consistent": True}), ("ensemble", {"members": "perceptron"}),
])  # fmt: skip
def test_a_key_without_a_value_is_refused_before_anything_is_sent(
    name: str, how: dict[str, Any], make_audit: MakeAudit, victim: Victim
) -> None:
    asked = RecordingVictim(victim)
    with pytest.raises(SpecError, match="NOBODY_SETS_THIS"):
        run_audit(make_audit(
            victim=asked, defences=[DEFENCES[name](key="env:NOBODY_SETS_THIS", **how)]
        ))  # fmt: skip
    assert asked.seen == 0


def test_behind_labels_what_keeps_the_top_class_changes_no_bit_of_the_clone(
    make_audit: MakeAudit, threat: ThreatModel, tmp_path: Path
) -> None:
    """They serve the same top class, so an attacker who trains on labels gets the same clone."""
    clones = set()
    keep_top: list[tuple[str, dict[str, Any]]] = [
        ("mad", {}), ("modelguard_w", {}), ("modelguard_s", {"epsilon": 0.3}),
        ("grad2", {"keep_top": True}), ("temperature", {}),
    ]  # fmt: skip
    for parts in ((), *([DEFENCES[name](**how)] for name, how in keep_top)):
        audit = make_audit(
            Knockoff(epochs=1, batch_size=64), defences=parts, milestones=(),
            threat=replace(threat, query_budget=128, answers="label"),
            out=tmp_path / f"run{len(list(tmp_path.iterdir()))}",
        )  # fmt: skip
        run_audit(audit)
        clones.add((audit.folder / run_folder.CLONE).read_bytes())
    assert len(clones) == 1


@pytest.mark.parametrize(("name", "how"), [
    ("temperature", {"temperature": 0}), ("temperature", {"temperature": 1e9}),
    ("reverse_sigmoid", {"beta": 1, "gamma": 1}), ("reverse_sigmoid", {"beta": -1}),
    ("noise", {"kind": "uniform"}), ("noise", {"scale": -1}), ("dawn", {"rate": 2}),
    ("mad", {"epsilon": 3}), ("modelguard_w", {"margin": -1}), ("mad", {"epsilon": float("nan")}),
])  # fmt: skip
def test_a_setting_out_of_range_is_refused(name: str, how: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        DEFENCES[name](**how)
