"""The provenance of a result: the versions, machine and command that it takes to repeat it."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from clonecost.result import Provenance
from clonecost.version import __version__

DECIDING = ("attacks", "audit", "data", "defences", "generators", "networks", "oracle",
            "query_synthesis", "tabular", "training", "victims")  # fmt: skip


def collect(
    *, command: str, seed: int, device: str, ledger_head: str, ledger_rows: int, resumed: int,
    threads_why: str = "",
) -> Provenance:  # fmt: skip
    """The provenance of a run that ends now, with the versions and machine of this process."""
    return Provenance(
        version=__version__,
        revision=_revision(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=seed,
        device=device,
        threads=torch.get_num_threads(),
        threads_why=threads_why,
        python=platform.python_version(),
        torch=torch.__version__,
        platform=f"{platform.system()} {platform.machine()}, {_processor()}",
        ledger_head=ledger_head,
        ledger_rows=ledger_rows,
        resumed=resumed,
    )


def release() -> str:
    """The version and the source of what a run depends on, in words.

    Example:
        >>> release().startswith("clonecost ")
        True
    """
    return f"clonecost {__version__} (source {_source()})"


@cache
def _source() -> str:
    """A digest of the packages that decide which rows are sent and what is learnt from them."""
    here, digest = Path(__file__).parent.parent, hashlib.sha256()
    for file in sorted(path for name in DECIDING for path in (here / name).rglob("*.py")):
        digest.update(file.relative_to(here).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _revision() -> str | None:
    """The git revision of the code, marked when files differ from it; None outside a clone."""
    here = Path(__file__).parent
    if not (here.parent.parent / ".git").exists():  # installed: a git here is another project's
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """The processor's name by Linux, else by Python."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
