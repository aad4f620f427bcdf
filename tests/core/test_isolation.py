"""Tasks in worker processes: a process that dies is the result of its task alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from emofuse.core.isolation import Limits, machine_bytes, run_isolated
from emofuse.core.parallel import Task
from emofuse.errors import DataError, LostTaskError
from support.isolated_tasks import act


def limits(seconds: float = 600, memory: int = 8 << 30) -> Limits:
    return Limits(lambda _: seconds, memory)


def results(*what: str, jobs: int = 1, limits: Limits | None = None) -> dict[str, str]:
    """The value of each task, without the process, or its error."""
    tasks = [Task(w, w) for w in what]
    found = {r.task.name: r for r in run_isolated(tasks, act, jobs=jobs, limits=limits)}
    assert list(found) == list(what) or jobs > 1
    return {name: str(r.error) if r.error else str(r.value).split()[0] for name, r in found.items()}


def test_tasks_are_carried_out_in_order_by_one_process():
    values = [r.value for r in run_isolated([Task(w, w) for w in "abc"], act)]
    processes = {str(v).split()[1] for v in values}
    assert [str(v).split()[0] for v in values] == list("abc")
    assert len(processes) == 1
    assert str(os.getpid()) not in processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_is_the_result_of_its_task_alone(jobs):
    assert results("a", "crash", "b", "killed", "exit", "c", jobs=jobs) == {
        "a": "a",
        "crash": "crash: its process crashed (SIGSEGV)",
        "b": "b",
        "killed": "killed: its process was killed, perhaps for lack of memory",
        "exit": "exit: its process ended (exit code 3)",
        "c": "c",
    }


def test_a_task_without_progress_is_ended():
    found = results("a", "hang", "b", limits=limits(seconds=1))
    assert found == {"a": "a", "hang": "hang: there was no progress for 1 s", "b": "b"}


def test_a_task_that_takes_long_but_reports_progress_goes_on():
    assert results("slow", limits=limits(seconds=1.5)) == {"slow": "slow"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_task_that_needs_too_much_memory_is_ended():
    found = results("memory", "b", limits=limits(memory=1 << 29))
    assert found == {"memory": "memory: it needs more than 0.5 GB of memory", "b": "b"}


@pytest.mark.parametrize(("what", "error"), [("known", DataError), ("unexpected", KeyError)])
def test_an_exception_ends_the_run_and_all_processes(what, error):
    with pytest.raises(error):
        results("a", what, "hang", jobs=2)
    assert multiprocessing.active_children() == []


def test_progress_is_reported_with_its_task():
    seen: list[tuple[str, float]] = []
    tasks = [Task("a", "a"), Task("slow", "slow")]
    list(run_isolated(tasks, act, progress=lambda task, fraction: seen.append((task.name, round(fraction * 30)))))
    assert seen == [("a", 0), ("slow", 0), *(("slow", n) for n in range(30))]


def test_closing_the_iterator_stops_all_processes():
    iterator = run_isolated([Task("a", "a"), Task("hang", "hang"), Task("hang2", "hang")], act, jobs=2)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


SCRIPT = """
from emofuse.core.isolation import run_isolated
from emofuse.core.parallel import Task
from support.isolated_tasks import act
{guard}
    for result in run_isolated([Task("a", "a"), Task("hang", "hang")], act):
        print(result.task.name, flush=True)
"""


@pytest.fixture
def script(tmp_path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts the script in a process group of its own."""

    def start(guard: str) -> subprocess.Popen[str]:
        (tmp_path / "script.py").write_text(SCRIPT.format(guard=guard))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        return subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def signal_for_ten_seconds(group: int) -> None:
    for _ in range(1000):
        os.killpg(group, 0)
        time.sleep(0.01)


def test_an_interrupt_reaches_the_parent_alone_and_ends_all_processes(script):
    with script("if __name__ == '__main__':") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "a\n"
        os.killpg(process.pid, signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    assert error.count("Traceback") == 1
    assert error.endswith("KeyboardInterrupt\n")
    with pytest.raises(ProcessLookupError):
        signal_for_ten_seconds(process.pid)  # multiprocessing's own tracker ends a moment later


def test_processes_that_do_not_start_are_one_error(script):
    with script("if True:") as process:
        error = process.communicate(timeout=60)[1]
    assert "LostTaskError: worker processes do not start" in error


def test_the_memory_of_this_machine_is_known():
    assert 1 << 28 < machine_bytes() < 1 << 50


def test_a_lost_task_error_names_its_task():
    (result,) = run_isolated([Task("talk.mp4", "crash")], act)
    assert isinstance(result.error, LostTaskError)
    assert str(result.error).startswith("talk.mp4: ")


def test_tasks_may_be_produced_while_others_are_carried_out():
    processes = []

    def produced():
        for what in "abc":
            yield Task(what, what)
            assert len(processes) == "abc".index(what) + 1

    for result in run_isolated(produced(), act):
        assert result.value is not None
        processes.append(result.value.split()[1])
    assert len(set(processes)) == 1


def test_a_task_that_is_cancelled_ends_and_the_next_one_is_carried_out():
    limits = Limits(lambda _: 60, 1 << 40, cancelled=lambda what: what == "hang")
    first, second = run_isolated([Task("hang", "hang"), Task("a", "a")], act, limits=limits)
    assert str(first.error) == "hang: it was cancelled"
    assert second.error is None
