"""How many threads an audit computes with, and why."""

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clonecost.audit.definition import Audit
from clonecost.oracle.record import Record
from clonecost.persistence.cores import allowed_cores, free_cores
from clonecost.types import Shape

FREE = "cores are free"
SMALL = 10_000_000  # multiply-adds of a row: below, a second thread costs more than it gains


@dataclass(frozen=True)
class Threads:
    """A number of threads, and the reason in words without a full stop."""

    number: int
    why: str


def threads_of(audit: Audit) -> Threads:
    """The number of threads of a new run of an audit."""
    options, networks = audit.options, audit.threat.takes == "images"
    return threads_for(
        options.threads, options.device, audit.new_student if networks else None,
        audit.loaded.network, audit.threat.input_shape,
    )  # fmt: skip


def threads_for(
    asked: int | None, device: torch.device, new_student: Callable[[], nn.Module] | None,
    victim: nn.Module | None, shape: Shape,
) -> Threads:  # fmt: skip
    """The number of threads of a new run, before there is an audit.

    Args:
        asked: as the user states it; None: chosen here.
        device: of the run.
        new_student: makes a student; None: a run on a table has none.
        victim: its network, if it is in this process.
        shape: of one row.
    """
    if asked is None and device.type != "cpu":
        return Threads(torch.get_num_threads(), f"{device} computes")
    networks: list[nn.Module] = []
    if asked is None and new_student is not None:
        with torch.random.fork_rng(devices=[]):
            networks.append(new_student())
        networks += [] if victim is None else [victim]
    return choose_threads(asked, networks, shape)


def words_on_threads(audit: Audit, ledger: Record) -> str:
    """A sentence on a number that the load or an earlier session decided; empty: neither did."""
    number, why = int(ledger.fact("threads") or 1), ledger.fact("threads_why") or ""
    if audit.options.threads not in (None, number):
        return (
            f"The run began with {number} thread(s) and goes on so: with another number its sums "
            "would differ, and its queries with them"
        )
    if why.endswith(FREE) and number < int(allowed_cores()):
        return f"The run computes with {number} thread(s), because {why}"
    return ""


def choose_threads(asked: int | None, networks: Sequence[nn.Module], shape: Shape) -> Threads:
    """The number of threads of a new run; a resumed run keeps its own.

    A second thread gains little on a small network, and on a machine whose cores are busy two
    threads wait for each other: a run takes several times as long.

    Args:
        asked: as the user states it; None: chosen here.
        networks: those that the audit computes.
        shape: of one of their rows.

    Example:
        >>> choose_threads(3, [], (4,))
        Threads(number=3, why='as stated')
    """
    if asked is not None:
        return Threads(asked, "as stated")
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if stated.isdecimal() and int(stated) > 0:
        return Threads(int(stated), "as OMP_NUM_THREADS states")
    work = max((multiply_adds(network, shape) for network in networks), default=0)
    if work < SMALL:
        return Threads(1, f"a row takes {work / 1e6:.2g} million multiply-adds, which is little")
    most, free = max(1, int(allowed_cores())), free_cores()
    number = max(1, min(most, torch.get_num_threads(), round(free)))
    return Threads(number, f"{free:.1f} of {most} {FREE}")


@torch.no_grad()
def multiply_adds(network: nn.Module, shape: Shape) -> int:
    """Multiplications with a weight in one forward pass of one row; the network stays as it was."""
    total, copy = 0, deepcopy(network).eval()

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1 and isinstance(output, Tensor):
            total += output.numel() * weight[0].numel()

    for module in copy.modules():
        module.register_forward_hook(count)
    device = next((p.device for p in copy.parameters()), torch.device("cpu"))
    copy(torch.zeros(1, *shape, device=device))
    return total
