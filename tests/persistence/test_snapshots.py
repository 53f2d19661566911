"""A snapshot restores its state exactly; a damaged or foreign one is ignored."""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import nn

import clonecost.persistence.snapshots
from clonecost.audit import Watcher, run_audit
from clonecost.errors import RunError, VictimError
from clonecost.persistence.atomic_write import atomic_file
from clonecost.persistence.snapshots import Snapshots, flatten, unflatten
from clonecost.training.distill import Recipe, distill
from clonecost.types import ThreatModel, Victim


def snapshots(folder: Path, **more: Any) -> Snapshots:
    fields: dict[str, Any] = {
        "identity": "this", "shared": {"rng": torch.Generator().manual_seed(1)}, "every": 0.0,
        "mark": lambda: "00", "known": lambda mark: True, **more,
    }  # fmt: skip
    return Snapshots(folder=folder / "snapshots", **fields)


def test_a_tree_comes_back_with_its_types_and_its_order_in_memory() -> None:
    shared = torch.rand(3)
    image = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tree = {
        3: {"a": (1, 2.5), "b": [None, True]}, (1, 2): float("nan"), "images": image,
        "one": shared, "same": shared, "part": torch.rand(6)[::2], "many": torch.ones(1).expand(4),
        "none": torch.empty(0, 2), "flags": torch.tensor([True, False]), "scalar": torch.tensor(7),
        "half": torch.rand(3).bfloat16(),
    }  # fmt: skip
    found = unflatten(*flatten(tree))
    assert found[3] == {"a": (1, 2.5), "b": [None, True]}
    assert math.isnan(found[1, 2])
    for name, tensor in tree.items():
        if isinstance(tensor, torch.Tensor):
            assert torch.equal(found[name], tensor), name
            assert found[name].dtype == tensor.dtype
    assert found["images"].stride() == image.stride()
    with pytest.raises(TypeError, match="cannot hold a set"):
        flatten({"x": {1}})


def test_a_fused_step_goes_on_where_weights_do_not_lie_in_row_order(tmp_path: Path) -> None:
    def training(loop: Any, stop: int) -> nn.Module:
        torch.manual_seed(0)
        net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=True)
        for k in loop(lambda done: done < 6, net=net, optimizer=optimizer):
            if k == stop:
                break
            optimizer.zero_grad()
            net(torch.full((2, 3, 5, 5), 0.1 * k)).square().sum().backward()
            optimizer.step()
        return net

    straight = training(snapshots(tmp_path / "straight").loop, 6)
    training(snapshots(tmp_path).loop, 3)
    again = snapshots(tmp_path)
    resumed = training(again.loop, 6)
    assert again.restored == 1
    for one, two in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_training_that_was_cut_off_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    inputs, answers = torch.rand(60, *SHAPE, generator=rng), torch.rand(60, CLASSES).softmax(1)
    epochs: list[int] = []

    def train(kept: Snapshots | None, stop: int = 99) -> dict[str, torch.Tensor]:
        rng = torch.Generator().manual_seed(3)
        torch.manual_seed(0)
        student = nn.Sequential(nn.Flatten(), nn.Dropout(), toy_student()[1:])  # type: ignore[index]

        def progress(what: str, done: int, total: int) -> None:
            epochs.append(done)
            if done == stop:
                raise KeyboardInterrupt

        more = {} if kept is None else {"loop": kept.loop}
        distill(
            student, inputs, answers, Recipe(epochs=8, batch_size=16), rng=rng, progress=progress,
            **more,
        )  # fmt: skip
        return student.state_dict()

    straight = train(None)
    with pytest.raises(KeyboardInterrupt):
        train(snapshots(tmp_path), stop=6)
    del epochs[:]
    resumed = train(snapshots(tmp_path))
    assert epochs == [6, 7, 8]
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def counting_loop(kept: Snapshots, stop: int) -> list[int]:
    """Iterations that ran; the state is how many ever did."""
    ran, state = [], {"done": 0}
    for k in kept.loop(lambda done: done < 5, state=state):
        assert state["done"] == k
        if k == stop:
            break
        state["done"] += 1
        ran.append(k)
    return ran


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Any] = {
    "a bit": flip,
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all of it": lambda path: path.write_bytes(b""),
    "another file": lambda path: path.write_bytes(b"PK\x03\x04 no safetensors at all"),
    "a pickle": lambda path: torch.save({"x": torch.ones(3)}, path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_ignored_with_a_notice(damage: str, tmp_path: Path) -> None:
    counting_loop(snapshots(tmp_path), 3)
    DAMAGES[damage](tmp_path / "snapshots" / "000001.safetensors")
    notices: list[str] = []
    assert counting_loop(snapshots(tmp_path, notice=notices.append), 9) == [0, 1, 2, 3, 4]
    assert len(notices) == 1
    assert "000001.safetensors is ignored" in notices[0]


@pytest.mark.parametrize(
    "other",
    [{"identity": "another"}, {"known": lambda mark: False},
     {"shared": {"rng": torch.Generator().manual_seed(2)}}],
)  # fmt: skip
def test_a_snapshot_of_another_run_is_ignored(other: dict[str, Any], tmp_path: Path) -> None:
    counting_loop(snapshots(tmp_path), 3)
    assert counting_loop(snapshots(tmp_path), 9) == [3, 4]
    counting_loop(snapshots(tmp_path), 3)
    notices: list[str] = []
    assert counting_loop(snapshots(tmp_path, notice=notices.append, **other), 9) == [0, 1, 2, 3, 4]
    assert "another audit, budget, version or history" in notices[0]


def test_changed_code_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    def loop(net: nn.Module) -> Iterator[int]:
        return snapshots(tmp_path).loop(lambda done: done < 5, net=net)

    for k in loop(nn.Linear(2, 3)):
        if k == 2:
            break
    with pytest.raises(RunError, match=r"does not fit the code.*Delete .*snapshots"):
        next(loop(nn.Linear(2, 4)))


def test_a_run_continues_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clonecost.persistence.snapshots, "save_file", full)
    notices: list[str] = []
    assert counting_loop(snapshots(tmp_path, notice=notices.append), 9) == [0, 1, 2, 3, 4]
    assert len(notices) == 1  # not one for each try
    assert "No space left on device" in notices[0]
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_writing_takes_a_fiftieth_of_the_time_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now: list[float] = [0.0]
    written: list[float] = []
    kept = snapshots(tmp_path, every=10.0)

    @contextmanager
    def slow_file(path: Path, *, private: bool) -> Iterator[Path]:
        written.append(now[0])
        now[0] += 4.0  # a large one, on a slow disk
        with atomic_file(path, private=private) as fresh:
            yield fresh

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("clonecost.persistence.snapshots.atomic_file", slow_file)
    for _ in kept.loop(lambda done: done < 600):
        now[0] += 1.0
    assert written == [10.0, 10.0 + 204.0, 10.0 + 2 * 204.0, 604.0 + 8.0]  # the last one: it ends


def test_inner_loops_are_dropped_when_the_outer_one_is_written(tmp_path: Path) -> None:
    """A milestone's training is not trained again, and never taken for another one's."""
    ran: list[tuple[int, int]] = []

    def nested(kept: Snapshots, stop: tuple[int, int]) -> None:
        for outer in kept.loop(lambda done: done < 3, outer={}):
            kept.clones += 1
            for inner in kept.loop(lambda done: done < 3, inner={}):
                if (outer, inner) == stop:
                    return
                ran.append((outer, inner))

    nested(snapshots(tmp_path), (1, 2))
    assert len(list((tmp_path / "snapshots").iterdir())) == 2
    nested(snapshots(tmp_path), (2, 1))
    nested(snapshots(tmp_path), (9, 9))
    assert ran == [(outer, inner) for outer in range(3) for inner in range(3)]


def test_a_larger_budget_begins_anew_from_the_ledger(
    victim: Victim, threat: ThreatModel, make_audit: MakeAudit, tmp_path: Path
) -> None:
    from dataclasses import replace

    small = replace(threat, query_budget=700)
    failing = RecordingVictim(victim, fail_at=400 + 500)
    with pytest.raises(VictimError):
        run_audit(make_audit("dfme", victim=failing, threat=small, snapshot_every=0.0))
    notices: list[str] = []
    seen = failing.seen
    grown = RecordingVictim(victim)
    result = run_audit(make_audit("dfme", victim=grown), Watcher(notice=notices.append))
    assert "is ignored" in notices[0]
    asked_again = result.spot_check.rows if result.spot_check else 0
    assert seen + grown.seen == 400 + result.spent + asked_again


def test_the_snapshot_is_no_clone_and_is_gone_at_the_end(
    make_audit: MakeAudit, tmp_path: Path
) -> None:
    seen: list[set[str]] = []

    def step(spent: int, budget: int) -> None:
        folder = tmp_path / "run" / "snapshots"
        if folder.is_dir():
            seen.append(set(load_file(next(folder.glob("*.safetensors")))))

    run_audit(make_audit("dfme", snapshot_every=0.0), Watcher(spent=step))
    assert seen
    assert not (tmp_path / "run" / "snapshots").exists()
