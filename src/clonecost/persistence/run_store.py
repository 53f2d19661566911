"""Run folders that lie at an address, such as `s3://bucket/runs`, while no machine works on them.

A machine works in a folder of its own disk, because ledgers are SQLite files that need one. It
fetches a run before it goes on with it, and copies it back when it ends or fails, and every
`EVERY` seconds in between. What a copy holds stands in its file `copy.json`, which is written last:
a copy that was cut off is none.
Addresses are those of fsspec; some need a package of their own, `s3fs` for instance.
"""

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from clonecost.errors import Advice, CloneCostError, RunError, SetKey, SpecError
from clonecost.persistence import run_folder
from clonecost.persistence.atomic_write import atomic_write
from clonecost.persistence.disk import cache_root, file_digest
from clonecost.persistence.sqlite_file import copy_database
from clonecost.safe_text import first_line

COPY = "copy.json"
EVERY, SHARE = 300.0, 0.05  # seconds between copies of a run that goes on; of the time, at most
LEFT_HERE = ("-wal", "-shm", ".lock", ".tmp")  # ends of names that only this machine needs
PENDING = ".pending"  # of a ledger
Files = dict[str, str]  # name inside the run folder -> digest


def is_address(text: str) -> bool:
    """Whether a text names a place that is no folder of this machine.

    Example:
        >>> is_address("s3://bucket/runs"), is_address("runs/mine")
        (True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


@dataclass(frozen=True)
class RunStore:
    """An address of run folders. Picklable: each machine has its own folder for it.

    Example:
        >>> RunStore("s3://bucket/runs").root.parent.name
        'copies'
    """

    address: str

    @property
    def root(self) -> Path:
        """The folder of this machine in which the runs of the address are worked on."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.address).strip("-")[-40:]
        digest = hashlib.sha256(self.address.rstrip("/").encode()).hexdigest()[:12]
        return cache_root() / "copies" / f"{name}-{digest}"

    def here(self, run: Path) -> Path:
        """The run folder of this machine for one below another machine's root, which may differ."""
        _, _, inside = run.as_posix().rpartition(f"/{self.root.name}")
        return self.root / inside.strip("/")

    def fetch(self, run: Path) -> None:
        """Bring the run folder to the state of its copy; without an effect where there is none.

        A folder of this machine that another machine has overtaken is set aside, not deleted.

        Raises:
            RunError: the copy cannot be read, or is damaged.
        """
        with self._said("read"):
            place = self._place(run)
            there = _copied(self._system, f"{place}/{COPY}")
            if there is None or there == _read(run / COPY):
                return
            part = Path(mkdtemp(dir=_made(run.parent), prefix=f".{run.name}-"))
            try:
                self._get(run, there, part)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
            if run_folder.is_run(run):
                run.rename(_free(self.root.with_name(f"{self.root.name}-set-aside"), run.name))
            elif run.exists():
                shutil.rmtree(run)
            part.rename(run)

    def _get(self, run: Path, files: Files, into: Path) -> None:
        """Get the files of a run's copy, and compare their digests."""
        place = self._place(run)
        for name, digest in files.items():
            path = into / name
            if not run_folder.is_inside(into, name):
                raise RunError(f"{place} names a file outside its folder", SetKey("out"))
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._system.get_file(f"{place}/{name}", str(path))
            path.chmod(0o600)
            if file_digest(path) != digest:
                raise RunError(
                    f"{name} in {self._shown(run)} is damaged: its digest is another one",
                    Advice("restore it, or name another place"), SetKey("out"),
                )  # fmt: skip
        atomic_write(into / COPY, _text(files))

    def push(self, run: Path) -> None:
        """Copy the run folder to the address: the files that changed since the last copy.

        Raises:
            RunError: the copy cannot be written, or another machine has gone on with the run.
        """
        if run_folder.is_run(run):
            self._push(run, run)

    def push_unfinished(self, folder: Path) -> None:
        """Copy the runs in a folder that have not ended, while they go on.

        Raises:
            RunError: as `push`.
        """
        for run in _down_to_runs(folder):
            if (run / run_folder.LEDGER).is_file() and not (run / run_folder.RESULT).is_file():
                with self._said("written"), _snapshot(run) as still:
                    self._push(run, still)

    def _push(self, run: Path, files: Path) -> None:
        """Make the run's copy hold what lies in the folder `files`."""
        with self._said("written"):
            place, now = self._place(run), _files(files)
            there = _copied(self._system, f"{place}/{COPY}")
            if there is not None and there != _read(run / COPY):
                raise RunError(
                    f"{self._shown(run)} has been changed by another machine, and is left as it "
                    f"is; the run of this machine is in {run}.",
                    Advice("let one command at a time do a run"),
                )
            if there == now:
                return
            before = there or {}
            if there is not None:
                self._system.rm_file(f"{place}/{COPY}")
            for name, digest in now.items():
                if before.get(name) != digest:
                    self._put(files / name, f"{place}/{name}")
            for name in before.keys() - now.keys():
                self._system.rm_file(f"{place}/{name}")
            self._system.makedirs(place, exist_ok=True)
            self._system.pipe_file(f"{place}/{COPY}", _text(now))
            atomic_write(run / COPY, _text(now))

    def fetch_all(self) -> None:
        """Bring every run of the address to the state of its copy, and get what lies beside them.

        Raises:
            RunError: as `fetch`; and the address is none, or the package that it needs is missing.
        """
        with self._said("read"):
            top = self._top
            found = self._system.find(top) if self._system.exists(top) else []
            names = [name.removeprefix(top).strip("/") for name in found]
        runs = {name.removesuffix(COPY).strip("/") for name in names if name.endswith(COPY)}
        for run in sorted(runs):
            self.fetch(self.root / run)
        with self._said("read"):
            for name in names:
                path = self.root / name
                beside = not any(name.startswith(f"{run}/") or not run for run in runs)
                if beside and not path.exists() and run_folder.is_inside(self.root, name):
                    self._system.get_file(f"{top}/{name}", str(_made(path.parent) / path.name))

    def push_all(self) -> None:
        """Copy every run folder of this machine, and the tables and reports beside them.

        Raises:
            RunError: as `push`.
        """
        for folder in _down_to_runs(self.root):
            if run_folder.is_run(folder):
                self.push(folder)
                continue
            with self._said("written"):
                for path in sorted(folder.iterdir()):
                    if path.is_file() and not path.name.endswith(LEFT_HERE):
                        self._put(path, f"{self._place(folder)}/{path.name}")

    @contextmanager
    def run(self, run: Path) -> Iterator[Path]:
        """This machine's folder of one run, fetched; copied on the way and in the end.

        Raises:
            RunError: as `fetch` and `push`.
        """
        here = self.here(run)
        self.fetch(here)
        try:
            with self._copying(here):
                yield here
        finally:
            self.push(here)

    @contextmanager
    def held(self, *, works: bool) -> Iterator[Path]:
        """This machine's folder, fetched; copied in the end, also after an error or Ctrl-C.

        Args:
            works: the runs go on in this process, so that it also copies them on the way.

        Raises:
            RunError: as `fetch_all` and `push_all`.
        """
        self.fetch_all()
        run_folder.make(self.root)
        try:
            with self._copying(self.root) if works else nullcontext():
                yield self.root
        finally:
            self.push_all()

    @contextmanager
    def _copying(self, folder: Path) -> Iterator[None]:
        """Copies what goes on in the folder now and then; a copy that fails comes with the next."""
        ended = threading.Event()

        def copy() -> None:
            pause = EVERY
            while not ended.wait(pause):
                began = time.monotonic()
                with suppress(CloneCostError):
                    self.push_unfinished(folder)
                pause = max(EVERY, (time.monotonic() - began) / SHARE)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    # -- the address -------------------------------------------------------------------------------

    @property
    def _system(self) -> Any:
        return _opened(self.address)[0]

    @property
    def _top(self) -> str:
        return _opened(self.address)[1]

    def _place(self, run: Path) -> str:
        inside = run.relative_to(self.root).as_posix()
        return self._top if inside == "." else f"{self._top}/{inside}"

    def _shown(self, run: Path) -> str:
        inside = run.relative_to(self.root).as_posix()
        return self.address if inside == "." else f"{self.address.rstrip('/')}/{inside}"

    def _put(self, path: Path, place: str) -> None:
        self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._system.put_file(str(path), place)

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Whatever a library of addresses raises, in one sentence."""
        try:
            yield
        except (RunError, SpecError):
            raise
        except Exception as error:
            raise RunError(
                f"The runs at {self.address} cannot be {what} ({first_line(error)}). Those of this "
                f"machine are in {self.root}.",
                Advice("mend the cause and give the same command again, which goes on with them"),
            ) from error


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there."""
    try:
        from fsspec.core import url_to_fs

        system, top = url_to_fs(address.rstrip("/"))
        return system, str(top).rstrip("/")
    except ImportError as error:  # of fsspec, or of the package that the address needs
        raise SpecError(
            f"{address} needs a package that is not installed ({first_line(error)})",
            Advice("run `pip install 'clonecost[cloud]'`, which has what s3:// needs"),
        ) from error
    except ValueError as error:
        raise SpecError(
            f"{address} is no address that fsspec knows ({first_line(error)})", SetKey("out")
        ) from error


@contextmanager
def _snapshot(run: Path) -> Iterator[Path]:
    """A folder with the files of a run that goes on, as a kill at this moment could leave them.

    Checkpoints are copied before the ledger that they are a place in, and kept inputs after it. The
    pending outcome stays here: it is empty unless the disk is full.
    """
    still = Path(mkdtemp(dir=run.parent, prefix=f".{run.name}-"))
    try:
        late = {run / run_folder.LEDGER: 1, run / run_folder.INPUTS: 2}
        for path in sorted(run.rglob("*"), key=lambda path: late.get(path, 0)):
            copy = still / path.relative_to(run)
            if path.name.endswith((*LEFT_HERE, PENDING)) or path.is_symlink():
                continue
            if not path.is_file():
                continue
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.suffix == ".sqlite":
                copy_database(path, copy)
            else:
                with suppress(FileNotFoundError):  # replaced meanwhile
                    shutil.copyfile(path, copy)
        yield still
    finally:
        shutil.rmtree(still, ignore_errors=True)


def _files(run: Path) -> Files:
    """The digest of each file of a run folder; links and what only this machine needs left out."""
    return {
        path.relative_to(run).as_posix(): file_digest(path)
        for path in sorted(run.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != COPY
        if not path.name.endswith(LEFT_HERE)
    }


def _copied(system: Any, place: str) -> Files | None:
    return _parsed(system.cat_file(place)) if system.exists(place) else None


def _read(path: Path) -> Files | None:
    return _parsed(path.read_bytes()) if path.is_file() else None


def _parsed(content: bytes) -> Files:
    held = json.loads(content)["files"]
    return {str(name): str(digest) for name, digest in held.items()}


def _text(files: Files) -> bytes:
    return (json.dumps({"files": files}, indent=1) + "\n").encode()


def _down_to_runs(folder: Path) -> Iterator[Path]:
    """The folder and those below it, as far as the run folders; parts of a fetch left out."""
    yield folder
    if not run_folder.is_run(folder):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _down_to_runs(path)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _free(folder: Path, name: str) -> Path:
    """A path in the folder that is not taken."""
    _made(folder)
    return next(
        path for number in range(1, 1 << 30) if not (path := folder / f"{name}-{number}").exists()
    )
