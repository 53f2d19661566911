"""A file is replaced as a whole or not at all, and never through a link that waits for it."""

import os
from pathlib import Path

import pytest

from clonecost.persistence.atomic_write import atomic_file, atomic_write, remove_partial

TOKEN = "0123abcd"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_content_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    atomic_write(path, b"old")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["report.html"]


def test_it_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    atomic_write(tmp_path / "atomic", b"x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_body_that_fails_leaves_the_old_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    atomic_write(path, b"old")
    with pytest.raises(type(error)), atomic_file(path) as fresh:
        fresh.write_bytes(b"half of")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["card.json"]


def test_file_and_folder_are_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    fsync, path = os.fsync, tmp_path / "x"

    def record(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    atomic_write(path, b"content")
    # the content before it takes the name, the folder after
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_under_the_temporary_name_is_not_followed(
    dangling: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even whoever could foresee the name does not get a file outside written."""
    outside = tmp_path / "outside"
    if not dangling:
        outside.write_bytes(b"precious")
    monkeypatch.setattr("secrets.token_hex", lambda count: TOKEN)
    (tmp_path / f"report.html.{TOKEN}.part").symlink_to(outside)
    with pytest.raises(FileExistsError):
        atomic_write(tmp_path / "report.html", b"page")
    assert outside.exists() is not dangling
    if not dangling:
        assert outside.read_bytes() == b"precious"


def test_links_under_other_names_are_left_and_a_target_that_is_a_link_is_replaced(
    tmp_path: Path,
) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.write_bytes(b"precious")
    run.mkdir()
    for name in ("report.html.part", "report.html"):
        (run / name).symlink_to(outside)
    atomic_write(run / "report.html", b"page")
    assert outside.read_bytes() == b"precious"
    assert not (run / "report.html").is_symlink()
    assert (run / "report.html").read_bytes() == b"page"


def test_what_killed_processes_left_is_removed_links_as_links(tmp_path: Path) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.touch()
    run.mkdir()
    (run / f"clone.safetensors.{TOKEN}.part").write_bytes(b"half")
    (run / "x.part").symlink_to(outside)
    (run / "clone.safetensors").touch()
    remove_partial(run)
    assert names(run) == ["clone.safetensors"]
    assert outside.exists()
