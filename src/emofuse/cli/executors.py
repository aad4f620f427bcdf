"""Executors by the options of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emofuse.core.cores import check_at_once, usable_cores
from emofuse.core.parallel import Executor, Here, Processes, Ray
from emofuse.core.registry import find
from emofuse.errors import SettingsError


@dataclass(frozen=True)
class ExecutorOptions:
    """Tasks at once, threads in all, the address of a Ray cluster, and GPUs for each task; 0 and None: not given."""

    jobs: int = 0
    threads: int = 0
    address: str | None = None
    gpus: int = 0


EXECUTORS: Mapping[str, Callable[[ExecutorOptions], Executor]] = {
    "here": lambda options: Here(),
    "processes": lambda options: Processes(options.jobs or usable_cores(), options.threads),
    "ray": lambda options: Ray(options.address, options.threads or 1, options.gpus, options.jobs),
}


def choose_executor(name: str | None, options: ExecutorOptions) -> Executor:
    """The executor of a name; without a name, the one that the other options imply.

    Raises:
        SettingsError: the name is unknown, or the options contradict each other.

    >>> choose_executor(None, ExecutorOptions(jobs=2)), choose_executor(None, ExecutorOptions(address="auto"))
    (Processes(jobs=2, cores=0), Ray(address='auto', threads=1, gpus=0, jobs=0))
    """
    if name is None:
        name = "ray" if options.address is not None else "processes" if options.jobs > 1 else "here"
    executor = find(name, EXECUTORS, "--executor")(options)
    if options.address is not None and name != "ray":
        raise SettingsError(f"--executor {name} --address {options.address}: only --executor ray takes an address.")
    if options.jobs > 1 and name == "here":
        raise SettingsError(f"--executor here --jobs {options.jobs}: runs one job at a time; use --executor processes.")
    if name != "ray":  # a cluster has cores of its own
        check_at_once("--jobs", options.jobs)
        check_at_once("--threads", options.threads)
    return executor
