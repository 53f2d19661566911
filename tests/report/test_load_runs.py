import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.synthetic_runs import film_tensors, result, sample_tensors, write

from clonecost.errors import RunError
from clonecost.persistence.run_folder import runs_in
from clonecost.report import load_runs, sarif


def test_a_run_folder_is_found_as_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", result())
    assert runs_in(folder) == [folder]


def test_an_unfinished_run_counts_as_a_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    assert runs_in(tmp_path) == [tmp_path]
    with pytest.raises(RunError, match="Call `run_audit` again"):
        load_runs([tmp_path])


def test_run_folders_are_found_one_level_down_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/er"):
        write(tmp_path / name, result())
    (tmp_path / "notes").mkdir()
    (tmp_path / "report.html").touch()
    assert runs_in(tmp_path) == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_runs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=name):
        runs_in(tmp_path / name)


def test_no_folders_is_an_error() -> None:
    with pytest.raises(RunError, match="at least one"):
        load_runs([])


def test_results_and_samples_come_back_as_written(tmp_path: Path) -> None:
    bare, full = write(tmp_path / "bare", result()), write(tmp_path / "full", result(), samples=7)
    without, with_samples = load_runs([bare, full])
    assert without.samples is None
    assert without.result == result()
    assert with_samples.samples is not None
    assert len(with_samples.samples) == 7
    np.testing.assert_array_equal(with_samples.samples.inputs, sample_tensors(7)["inputs"])


def test_the_name_of_a_run_is_its_folder_only(tmp_path: Path) -> None:
    (run,) = load_runs([write(tmp_path / "secret" / "my-run", result())])
    assert run.name == "my-run"


def test_broken_samples_are_refused_with_a_remedy(tmp_path: Path) -> None:
    folder = write(tmp_path, result())
    path = folder / "samples.safetensors"
    good = sample_tensors(4)
    broken = {
        "no tensor 'answers'": {k: v for k, v in good.items() if k != "answers"},
        "'inputs' is float32": good | {"inputs": good["inputs"].astype(np.float32)},
        "different length": good | {"positions": np.arange(3)},
    }
    for words, tensors in broken.items():
        save_file(tensors, path)
        with pytest.raises(RunError, match=f"{words}.*elete it"):
            load_runs([folder])
    path.write_bytes(b"not tensors")
    with pytest.raises(RunError, match="elete it"):
        load_runs([folder])


def test_images_of_a_search_come_back_as_written(tmp_path: Path) -> None:
    (found,) = load_runs([write(tmp_path, result(), films=3)])
    assert found.search_images is not None
    assert len(found.search_images) == 3
    expected = film_tensors(3)
    np.testing.assert_array_equal(found.search_images.images, expected["images"])
    np.testing.assert_array_equal(found.search_images.probability, expected["probability"])


def test_broken_search_images_are_refused_with_a_remedy(tmp_path: Path) -> None:
    folder = write(tmp_path, result())
    good = film_tensors(4)
    broken = {
        "no tensor 'targets'": {k: v for k, v in good.items() if k != "targets"},
        "'images' is uint8 with 4 dimensions": good | {"images": good["images"][0]},
        "different length": good | {"targets": np.arange(3)},
        "tensors of different length": good | {"probability": good["probability"][:, :2].copy()},
    }
    for words, tensors in broken.items():
        save_file(tensors, folder / "search.safetensors")
        with pytest.raises(RunError, match=f"search.safetensors.*{words}.*elete it"):
            load_runs([folder])


def test_runs_of_one_name_are_told_apart_by_their_place(tmp_path: Path) -> None:
    folders = [write(tmp_path / defence / "naive-0", result()) for defence in ("mad", "noise")]
    runs = load_runs([*folders, write(tmp_path / "none" / "alone", result())])
    assert [run.place for run in runs] == ["mad/naive-0", "noise/naive-0", "none/alone"]
    assert [run.place for run in load_runs(folders[:1] * 2)] == ["naive-0"] * 2
    (first, second, *_) = json.loads(sarif(runs[:2]))["runs"][0]["results"]
    assert [
        one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for one in (first, second)
    ] == ["mad/naive-0/result.json", "noise/naive-0/result.json"]
