"""Free cores: affinity, quotas of control groups of both versions, and the load."""

import os
from pathlib import Path

import pytest

from clonecost.persistence import cores


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of the control groups; this process is in a/b, with 8 cores and no load."""
    own = tmp_path / "own"
    own.write_text("3:cpu,cpuacct:/a/b\n2:memory:/elsewhere\n0::/a/b\n")
    monkeypatch.setattr(cores, "OWN_GROUP", own)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    for folder in ("a/b", "cpu/a/b", "memory/elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_without_a_quota_the_affinity_decides_and_the_load_is_taken_off(
    group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores.free_cores() == cores.allowed_cores() == 8
    (group / "a/b/cpu.max").write_text("max 100000\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3})
    assert cores.allowed_cores() == 2
    monkeypatch.setattr(os, "getloadavg", lambda: (5.0, 0.0, 0.0))  # of the others, too
    assert cores.free_cores() == 2
    monkeypatch.setattr(os, "getloadavg", lambda: (7.5, 0.0, 0.0))
    assert cores.free_cores() == 0.5
    monkeypatch.setattr(os, "getloadavg", lambda: (12.0, 0.0, 0.0))
    assert cores.free_cores() == 0


@pytest.mark.parametrize("place", ["a/b", "a", "."])
def test_the_quota_of_any_group_around_counts(place: str, group: Path) -> None:
    (group / place / "cpu.max").write_text("150000 100000\n")
    assert cores.allowed_cores() == 1.5


def test_a_quota_of_the_first_version_counts(group: Path) -> None:
    (group / "cpu/a/b/cpu.cfs_quota_us").write_text("-1\n")
    (group / "cpu/a/b/cpu.cfs_period_us").write_text("100000\n")
    assert cores.allowed_cores() == 8
    (group / "cpu/a/b/cpu.cfs_quota_us").write_text("300000\n")
    assert cores.allowed_cores() == 3


@pytest.mark.parametrize("nonsense", ["", "one two", "5", "5 0"])
def test_what_cannot_be_read_is_no_quota(nonsense: str, group: Path) -> None:
    (group / "a/b/cpu.max").write_text(nonsense)
    assert cores.allowed_cores() == 8
    cores.OWN_GROUP.unlink()
    assert cores.allowed_cores() == 8
