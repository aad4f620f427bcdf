"""Peak memory of this process since its program began; imported by the benchmarks beside it."""

from __future__ import annotations

from pathlib import Path


def peak_bytes() -> float:
    """The most memory this process has held so far, on Linux; elsewhere no number.

    `ru_maxrss` would count what the process that started it held.
    """
    status = Path("/proc/self/status")
    lines = status.read_text("ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024.0 for line in lines if line.startswith("VmHWM:")), float("nan"))
