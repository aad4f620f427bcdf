"""Tasks carried out in this process, in several processes, or on a Ray cluster, with the same results.

Tasks and results are small and can be pickled; large data is written to files, each whole or not at all. A task may be
repeated without harm, so a run that was interrupted or killed is started again and resumes.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from graphlib import TopologicalSorter
from multiprocessing import get_context, parent_process, resource_tracker
from typing import Any, Generic, TypeVar

from emofuse.core.cores import usable_cores
from emofuse.core.version import __version__
from emofuse.errors import EmofuseError, LostTaskError, SettingsError

Argument = TypeVar("Argument")
Value = TypeVar("Value")

_RAY_RETRIES = 2
_STOP_SECONDS = 5.0  # in which a process removes what it has half written


@dataclass(frozen=True)
class Task(Generic[Argument]):
    """The argument of one call of a function, and the names of the tasks that must succeed before it."""

    name: str
    argument: Argument
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result(Generic[Argument, Value]):
    """What a task returned, or the error (one line) for which it failed or was not run."""

    task: Task[Argument]
    value: Value | None = None
    error: EmofuseError | None = None


# Starts a task; returns the value or the EmofuseError of a finished one, and raises whatever else ends the run.
_Pool = tuple[Callable[[Task[Any]], Future[Any]], Callable[[Future[Any]], Any]]


@dataclass(frozen=True)
class Here:
    """One task after the other, in this process."""

    jobs, threads = 1, 0

    def open(self, function: Callable[[Any], Any]) -> AbstractContextManager[_Pool]:
        def submit(task: Task[Any]) -> Future[Any]:
            future = Future[Any]()
            future.set_result(_caught(function, task.argument))
            return future

        return nullcontext((submit, Future.result))


@dataclass(frozen=True)
class Processes:
    """`jobs` tasks at once, each in a process of this machine; `cores` threads in all (0: one for each core)."""

    jobs: int
    cores: int = 0

    @property
    def threads(self) -> int:
        return max((self.cores or usable_cores()) // self.jobs, 1)

    def open(self, function: Callable[[Any], Any]) -> AbstractContextManager[_Pool]:
        return _processes(function, self)


@dataclass(frozen=True)
class Ray:
    """A Ray cluster whose machines share the working folder and have the same emofuse; `jobs` at once (0: no limit).

    address: HOST:PORT of the head node, "auto" for that of this machine, None to start Ray. threads, gpus: of a task.
    """

    address: str | None = None
    threads: int = 1
    gpus: int = 0
    jobs: int = 0

    def open(self, function: Callable[[Any], Any]) -> AbstractContextManager[_Pool]:
        return _cluster(function, self)


Executor = Here | Processes | Ray


def run(
    tasks: Sequence[Task[Argument]],
    function: Callable[[Argument], Value],
    *,
    executor: Executor = Here(),
    started: Callable[[Task[Argument]], None] = lambda task: None,
) -> Iterator[Result[Argument, Value]]:
    """Carry out all tasks and yield their results as they finish; tasks start in the given order if `after` allows.

    An EmofuseError is the result of its task; any other exception of `function` is raised here. Closing or interrupting
    the iterator stops all running tasks.

    Args:
        function: of a module, or a partial of one, unless all tasks are carried out here.
        started: called when a task starts.
    Raises:
        SettingsError: the executor is not available.
        LostTaskError: a process of this machine was killed.

    >>> tasks = [Task("sum", (2, 3), after=("all",)), Task("all", (1, 1))]
    >>> [(result.task.name, result.value) for result in run(tasks, sum)]
    [('all', 2), ('sum', 5)]
    """
    number = {task.name: n for n, task in enumerate(tasks)}
    order = TopologicalSorter({task.name: task.after for task in tasks})
    order.prepare()
    ready, running, failed = list[int](), dict[Future[Value], Task[Argument]](), set[str]()
    with executor.open(function) as (submit, result):
        while order.is_active():
            ready = sorted([*ready, *(number[name] for name in order.get_ready())])
            if ready and (not executor.jobs or len(running) < executor.jobs):
                task = tasks[ready.pop(0)]
                missing = [name for name in task.after if name in failed]
                if not missing:
                    started(task)
                    running[submit(task)] = task
                    continue
                error = EmofuseError(f"{task.name}: not run, because {' and '.join(missing)} failed.")
                finished: list[tuple[Task[Argument], Any]] = [(task, error)]
            else:
                finished = [(running.pop(f), result(f)) for f in wait(running, return_when=FIRST_COMPLETED).done]
            for task, value in finished:
                failure = isinstance(value, EmofuseError)
                failed.update([task.name] if failure else [])
                order.done(task.name)
                yield Result(task, error=value) if failure else Result(task, value)


def _caught(function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return function(argument)
    except EmofuseError as error:
        return error


@contextmanager
def _processes(function: Callable[[Any], Any], executor: Processes) -> Iterator[_Pool]:
    context, tasks = get_context("spawn"), dict[Future[Any], str]()
    initialised = context.Event()
    workers = ProcessPoolExecutor(executor.jobs, context, _start_worker, (executor.threads, initialised))

    def submit(task: Task[Any]) -> Future[Any]:
        with interrupts_blocked():
            future = workers.submit(_work, function, task.argument)
        tasks[future] = task.name
        return future

    try:
        yield submit, Future.result
    except BrokenProcessPool:
        lost = ", ".join(name for future, name in tasks.items() if not future.done() or future.exception())
        line = f"{lost}: a process was killed, perhaps for lack of memory (use a lower --jobs); start again to resume."
        if not initialised.is_set():
            line = "worker processes do not start, for the reason above; scripts need `if __name__ == '__main__':`."
        raise LostTaskError(line) from None
    finally:
        if any(not future.done() for future in tasks):
            stop_processes(list((workers._processes or {}).values()))  # terminate_workers() from Python 3.14 on
        workers.shutdown(cancel_futures=True)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Start processes in such a block: they inherit it, so Ctrl-C reaches this process only, which stops them."""
    resource_tracker.ensure_running()  # it starts with the first process, and would unblock signals before that starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(threads: int, initialised: Any) -> None:
    prepare_worker(threads)
    initialised.set()


def prepare_worker(threads: int) -> None:
    """Prepare a process that was started for tasks: it ends with its parent, and its libraries use so many threads.

    threads: 0 leaves the libraries as they are.
    """
    signal.signal(signal.SIGTERM, _stop)
    parent: Any = parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()  # it must not outlive its parent
    if not threads:
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)  # for libraries that are loaded already


def stop_processes(processes: Sequence[Any]) -> None:
    """End processes; each has a moment to remove what it has half written."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_STOP_SECONDS)
        process.kill()


def _stop(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.unraisablehook = lambda _: os._exit(1)  # a finaliser that this interrupts would swallow the exception
    sys.exit(128 + number)  # an exception, so that half-written files are removed


def _work(function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return _caught(function, argument)
    except SystemExit:  # of _stop
        os._exit(1)
    except Exception as error:
        raise picklable(error).with_traceback(error.__traceback__) from None


def picklable(error: Exception) -> Exception:
    """An exception as it can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def _cluster(function: Callable[[Any], Any], executor: Ray) -> Iterator[_Pool]:
    ray, owned = _connected(executor)
    home = (os.getcwd(), {k: v for k, v in os.environ.items() if k.startswith("EMOFUSE_")}, __version__)
    needs = {"num_cpus": executor.threads, "num_gpus": executor.gpus, "max_retries": _RAY_RETRIES}
    remote, references = ray.remote(**needs)(_work_on_cluster), dict[Future[Any], Any]()

    def submit(task: Task[Any]) -> Future[Any]:
        reference = remote.options(name=task.name).remote(function, task.argument, home)
        future: Future[Any] = reference.future()
        references[future] = task.name, reference
        return future

    def result(future: Future[Any]) -> Any:
        name, _ = references.pop(future)
        try:
            return future.result()
        except ray.exceptions.RayTaskError as error:
            if "ModuleNotFoundError" in str(error):
                line = f"Ray: {str(error).splitlines()[-1]}; install emofuse on all machines, with the same Python."
                raise SettingsError(line) from error
            raise
        except ray.exceptions.RayError as error:
            return LostTaskError(f"{name}: lost {1 + _RAY_RETRIES} times ({type(error).__name__}); give more memory.")

    try:
        yield submit, result
    finally:
        for _, reference in references.values():
            with suppress(Exception):  # it may be lost with its machine
                ray.cancel(reference, force=True)
        if owned:
            ray.shutdown()


def _work_on_cluster(function: Callable[[Any], Any], argument: Any, home: tuple[str, dict[str, str], str]) -> Any:
    """Call a function in the folder and with the variables of the machine that submitted it."""
    folder, variables, version = home
    name = socket.gethostname()
    if version != __version__:
        return SettingsError(f"Ray: {name} has emofuse {__version__}, here is {version}; install the same on all.")
    try:
        os.chdir(folder)
    except OSError as error:
        return SettingsError(f"Ray: {name} cannot work in {folder} ({error.strerror}); start in a shared folder.")
    os.environ.update(variables)
    return _caught(function, argument)


def _connected(executor: Ray) -> tuple[Any, bool]:
    """The connected ray module, and whether to shut it down afterwards."""
    address = executor.address
    option = f"--address {address}" if address else "--executor ray"
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    try:
        import ray
    except ImportError:
        raise SettingsError("Ray is not installed: pip install 'emofuse[ray]'.") from None
    if address is None and ray.is_initialized():
        return ray, False
    if address is None and executor.threads > (cores := os.cpu_count() or 1):
        raise SettingsError(f"--threads {executor.threads}: this machine has {cores} cores, so no task could run.")
    if address not in (None, "auto"):  # Ray itself takes minutes to find out that nothing answers
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, OverflowError, ValueError) as error:
            raise SettingsError(f"{option}: nothing answers ({error}); give HOST:PORT of a head node.") from None
    try:
        options: dict[str, Any] = {} if address else {"include_dashboard": False}
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise SettingsError(f"{option}: {str(error).strip().splitlines()[0].rstrip('.')}.") from error
    return ray, True
