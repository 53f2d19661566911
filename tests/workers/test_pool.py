"""Processes of this machine: each has a GPU of its own, as far as there are GPUs."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from clonecost.errors import CloneCostError
from clonecost.workers import Task, at_once, pool_of
from clonecost.workers.pool import visible_gpus


def note(folder: Path, number: int) -> CloneCostError | None:
    """Write down what this process sees, once both have begun."""
    (folder / f"{number}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
    while len(list(folder.iterdir())) < 2:
        pass
    return None


def seen(folder: Path, *, any_gpu: bool = True) -> Sequence[str]:
    folder.mkdir()
    tasks = [
        Task(title="", folder=folder, call=partial(note, folder, k), any_gpu=any_gpu)
        for k in range(2)
    ]
    assert dict(at_once(tasks, pool_of("2"))) == {0: None, 1: None}
    return sorted(path.read_text() for path in folder.iterdir())


def test_each_process_sees_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f,7")
    assert visible_gpus() == ["3", "GPU-5f", "7"]
    assert seen(tmp_path / "three") == ["3", "GPU-5f"]
    assert seen(tmp_path / "numbered", any_gpu=False) == ["3, GPU-5f,7"] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert seen(tmp_path / "one") == ["3", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
