"""The files of each data set: usual folders, file names, and addresses of the publishers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clonecost.data import cifar, idx, svhn
from clonecost.data.catalogue import Split
from clonecost.types import LabelledInputs


@dataclass(frozen=True)
class Download:
    """A published file; `md5` as published or as torchvision lists it, 32 hex digits.

    Only downloads are checked against the digest, local files are not.
    """

    file: str
    url: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """The files of one data set in its official format, and their reader.

    Attributes:
        folders: usual names of its folder below a data folder.
        loose: files that identify this data set in any folder.
        refused: its pickles, named in the error and never opened.
        find: the files of a split in a folder, or an empty list.
        read: reads the files that `find` returned.
        downloads: the published files of each split.
        remedy: another way to get the data set, for the error.
    """

    folders: tuple[str, ...]
    loose: tuple[str, ...]
    refused: tuple[str, ...] = ()
    find: Callable[[Path, Split], list[Path]]
    read: Callable[[list[Path], Split], LabelledInputs]
    downloads: dict[Split, tuple[Download, ...]]
    remedy: str = ""


def _idx(base: str, md5: dict[str, str]) -> dict[Split, tuple[Download, ...]]:
    files = [Download(name, base + name, digest) for name, digest in md5.items()]
    return {
        "train": tuple(file for file in files if file.file.startswith("train")),
        "test": tuple(file for file in files if file.file.startswith("t10k")),
    }


def _both(url: str, md5: str) -> dict[Split, tuple[Download, ...]]:
    archive = Download(url.rpartition("/")[2], url, md5)
    return {"train": (archive,), "test": (archive,)}


def _mat(file: str, md5: str) -> tuple[Download, ...]:
    return (Download(file, f"http://ufldl.stanford.edu/housenumbers/{file}", md5),)


SOURCES: dict[str, Source] = {
    "fmnist": Source(
        folders=(
            "fmnist",
            "fashion-mnist",
            "fashion_mnist",
            "FashionMNIST/raw",
            "FashionMNIST",
        ),
        loose=(),
        find=idx.find,
        read=idx.read,
        downloads=_idx(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            {
                "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
        remedy="on Debian run `apt install dataset-fashion-mnist`",
    ),
    "mnist": Source(
        folders=("mnist", "MNIST/raw", "MNIST"),
        loose=(),
        find=idx.find,
        read=idx.read,
        downloads=_idx(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            {
                "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
                "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
    ),
    "cifar10": Source(
        folders=(
            "cifar10",
            "cifar-10",
            "cifar_10",
            "CIFAR10",
            "CIFAR-10",
            "cifar-10-batches-bin",
            "cifar10/cifar-10-batches-bin",
        ),
        loose=("cifar-10-binary.tar.gz", "data_batch_1.bin"),
        refused=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
        find=cifar.CIFAR10.find,
        read=cifar.CIFAR10.read,
        downloads=_both(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
    "cifar100": Source(
        folders=(
            "cifar100",
            "cifar-100",
            "cifar_100",
            "CIFAR100",
            "CIFAR-100",
            "cifar-100-binary",
            "cifar100/cifar-100-binary",
        ),
        loose=("cifar-100-binary.tar.gz",),
        refused=("cifar-100-python", "cifar-100-python.tar.gz"),
        find=cifar.CIFAR100.find,
        read=cifar.CIFAR100.read,
        downloads=_both(
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
        ),
    ),
    "svhn": Source(
        folders=("svhn", "SVHN", "svhn_cropped"),
        loose=("train_32x32.mat", "test_32x32.mat"),
        find=svhn.find,
        read=svhn.read,
        downloads={
            "train": _mat("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
            "test": _mat("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
        },
    ),
}
