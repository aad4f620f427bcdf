"""How many cores this process may use, and how many threads or processes it may be asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from emofuse.errors import SettingsError

MOST_AT_ONCE = 64  # threads or processes by default, and the least that can be asked for on any machine
_PER_CORE = 4  # more threads or processes for each core only cost memory


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that the CPU affinity and the cgroup quota of this process allow, from 1 to `MOST_AT_ONCE`.

    Args:
        root: where /proc and /sys are.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, MOST_AT_ONCE, *(math.ceil(quota) for quota in _quotas(root))))


def check_at_once(option: str, number: int) -> None:
    """Check a number of threads or processes that was asked for; 0 stands for the default.

    Raises:
        SettingsError: it is negative, or many times the number of cores.

    >>> check_at_once("--threads", 100_000)
    Traceback (most recent call last):
    emofuse.errors.SettingsError: --threads 100000: this process has ... give 0 (one for each core) to ...
    """
    cores = usable_cores()
    most = max(MOST_AT_ONCE, _PER_CORE * cores)
    if number < 0:
        raise SettingsError(f"{option} {number}: give 0 (one for each core) or more.")
    if number > most:
        raise SettingsError(
            f"{option} {number}: this process has {cores} core(s); give 0 (one for each core) to {most}."
        )


def _quotas(root: Path) -> Iterator[float]:
    """The quotas in cores of this process's cgroups and those above them; none where no cgroup limits it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, read = root / "sys/fs/cgroup", _quota_of_v2
        elif "cpu" in controllers.split(","):
            mount, read = root / "sys/fs/cgroup/cpu", _quota_of_v1
        else:
            continue
        # In a container the path may be that of the host, where only the mount itself exists.
        for group in (PurePosixPath(path), *PurePosixPath(path).parents):
            quota = read(mount / str(group).strip("/"))
            if quota is not None:
                yield quota


def _quota_of_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or another format: no limit is known
        return None


def _quota_of_v1(folder: Path) -> float | None:
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None
