"""Who measured this, with what: everything a reader needs to run it again."""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from clonecost.result import Provenance
from clonecost.version import __version__


def collect(
    *, command: str, seed: int, device: str, ledger_head: str, ledger_rows: int, resumed: int
) -> Provenance:
    return Provenance(
        version=__version__,
        revision=_revision(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=seed,
        device=device,
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=f"{platform.system()} {platform.machine()}, {_processor()}",
        ledger_head=ledger_head,
        ledger_rows=ledger_rows,
        resumed=resumed,
    )


def _revision() -> str | None:
    """The git revision of the code, marked when files differ from it; None outside a clone."""
    here = Path(__file__).parent
    if not (here.parent.parent / ".git").exists():  # installed: some other project's git is near
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
    """The processor's own name where the system tells it (Linux), else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
