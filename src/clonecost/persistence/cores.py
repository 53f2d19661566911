"""The processor cores that this process may use now: affinity, quota of its group, load."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")


def free_cores() -> float:
    """Cores that are free for this process, at least 0: what it may use, less the load.

    Example:
        >>> 0 <= free_cores() <= (os.cpu_count() or 1)
        True
    """
    machine = os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 0.0
    return max(0.0, min(allowed_cores(), machine - load))


def allowed_cores() -> float:
    """Cores that this process may use, whoever else does: its affinity, and its group's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = float(len(os.sched_getaffinity(0)))
    else:  # another system than Linux
        cores = float(os.cpu_count() or 1)
    return min([cores, *_quotas(OWN_GROUP, CGROUPS)])


def _quotas(own: Path, root: Path) -> list[float]:
    """The quotas in cores of the control group that `own` names, and of all that hold it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        base = root / "cpu" if kinds else root  # versions 1 and 2
        folder = base / place.lstrip("/")
        for group in (folder, *folder.parents):
            if group != base and base not in group.parents:
                break
            found += _quota(group)
    return found


def _quota(group: Path) -> list[float]:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return [int(quota) / int(period)] if int(quota) > 0 else []
    except (OSError, ValueError, ZeroDivisionError):  # "max": no quota
        return []
