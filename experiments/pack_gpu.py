"""Pack what `paper_scale` needs on a machine without a network, in parts of under 55 MB.

    python -m experiments.pack_gpu --out gpu-pack [--jobs abcde] [--no-wheels]

It writes OUT/data (test rows, proxies), OUT/cache (the weights of victims), OUT/lib (the packages
that Python 3.12 with torch and numpy lacks, unpacked from their wheels) and OUT/part-N.tar.gz,
which hold all three. There:

    for part in part-*.tar.gz; do tar xzf $part; done
    python3.12 -m experiments.with_pack . --minutes 9 --out results

Data are converted to the formats that need no further package; nothing is trained here. A victim
that is not in this machine's cache is trained by the GPU from its packed data, in seconds.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from clonecost.data import load
from clonecost.data.locations import search_folders
from clonecost.persistence.disk import cache_root
from clonecost.types import LabelledInputs
from experiments.paper_jobs import GROUPS, JOBS, PROXIES

MOST = 55_000_000  # bytes of a part
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")
# What an audit imports, beside torch, numpy and what torch brings: the modules of a dry run.
LIBRARIES = (
    "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions",
    "safetensors", "platformdirs", "lazy-loader", "packaging", "filelock", "tomlkit", "tenacity",
    "jmespath", "httpx2", "httpcore2", "h11", "anyio", "idna", "truststore", "certifi", "sniffio",
    "scipy", "scikit-learn", "joblib", "threadpoolctl", "cloudpickle", "narwhals", "pillow",
    "jinja2", "markupsafe", "rich", "markdown-it-py", "mdurl", "pygments",
)  # fmt: skip
FOR_TESTS = ("pytest", "pluggy", "iniconfig", "pytest-timeout", "hypothesis", "sortedcontainers")
CIFAR10_TRAINING = "cifar10-alexnet"  # the one victim that may have to be trained on it


def main(arguments: list[str] | None = None) -> None:
    """Fill the folder and write the parts."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--jobs", default=GROUPS, help="groups of `paper_jobs`")
    options.add_argument("--python", default="3.12", help="of the other machine")
    options.add_argument("--no-wheels", action="store_true", help="data and weights only")
    given = options.parse_args(arguments)
    pack_data(given.out, given.jobs)
    if not given.no_wheels:
        pack_libraries(given.out / "lib", given.out / "wheels", given.python)
    for path in parts(given.out):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def pack_data(out: Path, groups: str) -> None:
    """The rows and weights that the jobs of these groups need."""
    jobs = [job for job in JOBS if job.group in groups]
    data, cache = out / "data", out / "cache" / "victims"
    for victim in dict.fromkeys(job.victim for job in jobs):
        name = f"{victim}-seed0"
        trained = (cache_root() / "victims" / name / "card.json").is_file()
        if trained:
            shutil.copytree(cache_root() / "victims" / name, cache / name, dirs_exist_ok=True)
        if victim.startswith("fmnist"):
            copy_fashion_mnist(data / "fashion-mnist")
        else:
            write_binary(load("cifar10", "test"), data / "cifar10", ["test_batch.bin"])
        if victim == CIFAR10_TRAINING and not trained:
            names = [f"data_batch_{number}.bin" for number in range(1, 6)]
            write_binary(load("cifar10", "train"), data / "cifar10", names)
    for proxy in dict.fromkeys(job.proxy for job in jobs if job.proxy):
        write_proxy(proxy, data)


def copy_fashion_mnist(folder: Path) -> None:
    """The four files as they are: they are compressed, and need no package."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in search_folders(None):
        files = sorted((place / "fashion-mnist").glob("*ubyte*"))
        if len(files) >= 4:
            for file in files:
                shutil.copyfile(file, folder / file.name)
            return
    sys.exit("Fashion-MNIST is not here: apt install dataset-fashion-mnist, or set CLONECOST_DATA")


def write_binary(data: LabelledInputs, folder: Path, names: list[str]) -> None:
    """CIFAR-10's official binary format: a label byte, then 3,072 bytes of a row."""
    folder.mkdir(parents=True, exist_ok=True)
    records = torch.cat([data.labels.to(torch.uint8)[:, None], data.inputs.flatten(1)], 1)
    for name, part in zip(names, records.chunk(len(names)), strict=True):
        (folder / name).write_bytes(part.contiguous().numpy().tobytes())


def write_proxy(name: str, folder: Path) -> None:
    """A proxy of `PROXIES` as an .npz file, in the shape and with the classes that a job uses."""
    folder.mkdir(parents=True, exist_ok=True)
    source, shape = PROXIES[name]
    rows = load(source, "train", shape=shape)
    np.savez_compressed(
        folder / f"{name}.npz", inputs=rows.inputs.numpy(), labels=rows.labels.numpy()
    )


def pack_libraries(lib: Path, wheels: Path, python: str) -> None:
    """The packages of this environment's versions, for the other machine's Python, unpacked."""
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}=={version(name)}" for name in installed((*LIBRARIES, *FOR_TESTS))]
    platforms = [part for one in PLATFORMS for part in ("--platform", one)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
         "--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms,
         "-d", str(wheels), *wanted], check=True,
    )  # fmt: skip
    shutil.rmtree(lib, ignore_errors=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(lib)
    for tests in [one for one in lib.rglob("tests") if one.is_dir()]:  # many and of no use
        shutil.rmtree(tests, ignore_errors=True)


def installed(names: Iterable[str]) -> Iterator[str]:
    """Those of the packages that this environment has: the list names those of all versions."""
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        yield name


def parts(out: Path, most: int = MOST) -> list[Path]:
    """Write everything into archives below so many bytes, the largest files first.

    Raises:
        SystemExit: one file alone is larger.
    """
    for old in out.glob("part-*.tar.gz"):
        old.unlink()
    files = [one for top in ("data", "cache", "lib") for one in (out / top).rglob("*")
             if one.is_file() and "__pycache__" not in one.parts]  # fmt: skip
    bins: list[tuple[int, list[Path]]] = []
    for file in sorted(files, key=lambda one: (-one.stat().st_size, str(one))):
        size = file.stat().st_size + 1_024
        if size > most:
            sys.exit(f"{file} is larger than a part: {size:,} bytes")
        at = next((k for k, (held, _) in enumerate(bins) if held + size <= most), len(bins))
        if at == len(bins):
            bins.append((0, []))
        held, members = bins[at]
        bins[at] = held + size, [*members, file]
    written = []
    for number, (_, members) in enumerate(bins, start=1):
        path = out / f"part-{number}.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=6) as archive:
            for file in members:
                archive.add(file, str(file.relative_to(out)))
        written.append(path)
    return written


if __name__ == "__main__":
    main()
