import os
from pathlib import Path

import numpy as np
import pytest
from tests.support.data_files import alone, cifar_records, pixels, write_idx, write_tar

from clonecost.cli.errors import in_words
from clonecost.data import DATASETS, load, loading
from clonecost.data.catalogue import Split
from clonecost.data.sources import SOURCES
from clonecost.errors import DataError, SpecError

IMAGES, LABELS = pixels(10, 28, 28), np.arange(10)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache folder, on a machine without data and without network."""

    def no_network(url: str, *_: object, **__: object) -> None:
        raise DataError(f"{url} cannot be downloaded (no network)")

    monkeypatch.setattr(loading, "fetch", no_network)
    return alone(monkeypatch, tmp_path)


@pytest.mark.parametrize("folder", ["fmnist", "fashion-mnist", "FashionMNIST/raw", "."])
def test_the_usual_folders_are_found(folder: str, cache: Path, tmp_path: Path) -> None:
    root = tmp_path / "fashion-mnist" if folder == "." else tmp_path / "data"
    write_idx(root / folder, "t10k", IMAGES, LABELS)
    data = load("fmnist", "test", root=root)
    assert (data.inputs.numpy() == IMAGES[:, None]).all()
    assert (data.name, data.classes) == ("fmnist", DATASETS["fmnist"].classes)


def test_fashion_mnist_is_not_read_as_mnist(cache: Path, tmp_path: Path) -> None:
    """The file names are the same; only the folder tells the two data sets apart."""
    write_idx(tmp_path / "fashion-mnist", "train", IMAGES, LABELS)
    for root in (tmp_path, tmp_path / "fashion-mnist"):
        with pytest.raises(DataError, match=r"^mnist \(train\) is in none of"):
            load("mnist", "train", root=root)


def test_folders_are_searched_in_order(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = [tmp_path / "root", tmp_path / "one", tmp_path / "two", tmp_path / "system", cache]
    for number, parent in enumerate(parents):
        write_idx(parent / "mnist", "train", np.full((1, 28, 28), number), LABELS[:1])
    monkeypatch.setenv("CLONECOST_DATA", f"{parents[1]}{os.pathsep}{parents[2]}")
    found = []
    for parent in parents:
        root = parents[0] if parent == parents[0] else None
        found.append(load("mnist", "train", root=root).inputs[0, 0, 0, 0].item())
        (parent / "mnist" / "train-images-idx3-ubyte.gz").unlink()
    assert found == [0, 1, 2, 3, 4]


def test_an_archive_is_known_by_its_name_alone(cache: Path, tmp_path: Path) -> None:
    images = pixels(3, 3, 32, 32)
    records = cifar_records(images, LABELS[:3], np.array([70, 1, 70]))
    write_tar(tmp_path / "cifar-100-binary.tar.gz", {"cifar-100-binary/test.bin": records})
    data = load("cifar100:rose", "test", root=tmp_path, shape=(1, 8, 8))
    assert data.inputs.shape == (2, 1, 8, 8)
    assert (data.labels.tolist(), data.classes) == ([0, 0], ("rose",))
    assert data.name == "cifar100:rose"


def test_a_missing_set_is_one_sentence_with_the_remedy(cache: Path, tmp_path: Path) -> None:
    write_idx(tmp_path / "fmnist", "train", IMAGES, LABELS)
    with pytest.raises(DataError) as caught:
        load("fmnist", "test", root=tmp_path)
    message = str(caught.value)
    for part in (
        "fmnist (test) is in none of",
        str(tmp_path),
        f"{tmp_path / 'fmnist'} holds only train",
        "no network",
        "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz",
        f"into {cache / 'fmnist'}",
        "set `root`",
        "CLONECOST_DATA",
        "apt install dataset-fashion-mnist",
    ):
        assert part in message
    assert "\n" not in message
    assert "use --data FOLDER" in in_words(caught.value)


def test_the_python_version_is_named_and_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match="cifar-10-batches-py is a pickle, which is never opened"):
        load("cifar10", "train", root=tmp_path)


def test_downloads_go_to_the_cache_and_are_found_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def serve(url: str, path: Path, *, md5: str, progress: object) -> None:
        asked.append((url, path, md5))
        write_idx(cache / "fmnist", "t10k", IMAGES, LABELS)

    monkeypatch.setattr(loading, "fetch", serve)
    with pytest.raises(DataError, match="downloading is switched off"):
        load("fmnist", "test", download=False)
    assert asked == []
    assert len(load("fmnist", "test")) == len(load("fmnist", "test", download=False)) == 10
    files = SOURCES["fmnist"].downloads["test"]
    assert asked == [(file.url, cache / "fmnist" / file.file, file.md5) for file in files]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_reader_finds_the_downloaded_files(name: str, split: Split, tmp_path: Path) -> None:
    files = SOURCES[name].downloads[split]
    for file in files:
        (tmp_path / file.file).touch()
    found = SOURCES[name].find(tmp_path, split)
    assert {path.name for path in found} == {file.file for file in files}
    assert name in SOURCES[name].folders  # below the cache folder
    assert all(len(file.md5) == 32 and file.url.endswith(file.file) for file in files)


def test_every_card_has_a_way_to_be_loaded() -> None:
    assert set(DATASETS) == set(SOURCES) | set(loading.EMBEDDED)
    for card in DATASETS.values():
        assert len(set(card.classes)) == card.num_classes
    assert DATASETS["cifar100"].classes == tuple(sorted(DATASETS["cifar100"].classes))
    assert DATASETS["cifar100"].num_classes == 100


def test_another_set_under_this_name_is_refused(cache: Path, tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", "train", pixels(10, 8, 8), LABELS)
    with pytest.raises(DataError, match=r"got \(1, 8, 8\), want \(1, 28, 28\)"):
        load("mnist", "train", root=tmp_path)
    write_idx(tmp_path / "mnist", "train", IMAGES, LABELS + 1)
    with pytest.raises(DataError, match=r"labels: got 1\.\.10, want 0\.\.9"):
        load("mnist", "train", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("cifar", "unknown data set 'cifar'; did you mean 'cifar10'"),
        ("fminst:Coat", "unknown data set 'fminst'; did you mean 'fmnist'"),
        ("", "unknown data set ''"),
        (":40", "unknown data set ''"),
        ("cifar10:cats", "did you mean 'cat'"),  # before anything is searched or downloaded
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, complaint: str, cache: Path) -> None:
    with pytest.raises(SpecError, match=complaint):
        load(name, "train")


def test_an_unknown_split_or_data_folder_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown split 'valid'"):
        load("digits", "valid")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="does not exist"):
        load("mnist", "train", root=tmp_path / "nowhere")


def test_the_published_mnist_has_its_class_counts() -> None:
    if not os.environ.get("CLONECOST_DATA"):
        pytest.skip("CLONECOST_DATA names no folder with MNIST")
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    data = load("mnist", "test", download=False)
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.labels.bincount().tolist() == counts


def test_the_installed_fashion_mnist_is_whole() -> None:
    try:
        data = load("fmnist", "test", download=False)
    except DataError as error:
        pytest.skip(str(error))
    assert data.labels.bincount().tolist() == [1_000] * 10
    assert data.inputs.float().mean() / 255 == pytest.approx(0.2868, abs=1e-4)


def test_files_without_images_are_refused(cache: Path, tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", "test", IMAGES[:0], LABELS[:0])
    write_idx(tmp_path / "mnist", "t10k", IMAGES[:0], LABELS[:0])
    with pytest.raises(DataError, match="files of mnist hold no images"):
        load("mnist", "test", root=tmp_path)
