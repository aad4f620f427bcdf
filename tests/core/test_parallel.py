"""Tasks: their order, their errors, and that results do not depend on the executor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core import parallel
from emofuse.core.parallel import Here, Processes, Ray, Result, Task, run
from emofuse.errors import DataError, LostTaskError, SettingsError
from support import parallel_tasks as functions

TASKS = [Task(str(n), n) for n in range(7)]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Task[bool]], dict[str, bool]]:
    """Tasks of which some are after others, in any order, and whether each one succeeds."""
    tasks = []
    for n in range(draw(st.integers(0, 8))):
        after = tuple(str(k) for k in range(n) if draw(st.integers(0, 3)) == 0)
        tasks.append(Task(str(n), draw(st.booleans()), after))
    return draw(st.permutations(tasks)), {task.name: task.argument for task in tasks}


def succeed(good: bool) -> str:
    if not good:
        raise DataError("bad")
    return "good"


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_a_task_starts_only_after_all_its_dependencies_succeeded(graph):
    tasks, good = graph
    events: list[tuple[str, str]] = []
    results: dict[str, Result[bool, str]] = {}
    for result in run(tasks, succeed, started=lambda task: events.append((task.name, "started"))):
        assert result.task.name not in results
        results[result.task.name] = result
        events.append((result.task.name, "done"))
    assert results.keys() == {task.name for task in tasks}
    for task in tasks:
        runs = all(results[other].error is None for other in task.after)
        assert ((task.name, "started") in events) == runs
        assert (results[task.name].error is None) == (runs and good[task.name])
        assert results[task.name].value == ("good" if runs and good[task.name] else None)
        for other in task.after if runs else ():
            assert events.index((other, "done")) < events.index((task.name, "started"))


def test_here_tasks_run_in_the_given_order():
    assert [(r.task.name, r.value) for r in run(TASKS, functions.double)] == [(str(n), 2 * n) for n in range(7)]


def test_processes_return_the_same_results_in_any_order():
    actual = {r.task.name: r.value for r in run(TASKS[::-1], functions.double, executor=Processes(2))}
    assert actual == {r.task.name: r.value for r in run(TASKS, functions.double)}


def test_without_tasks_there_are_no_results():
    assert list(run([], functions.double, executor=Processes(2))) == []


def test_no_more_tasks_run_at_once_than_jobs():
    running = most = 0

    def started(_: Task[Any]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)

    for _ in run(TASKS, functions.double, executor=Processes(2), started=started):
        running -= 1
    assert most == 2


def test_a_task_that_depends_on_a_failed_one_is_skipped_and_names_it():
    tasks = [Task("report", "", after=("score",)), Task("score", "", after=("train",)), Task("train", "user")]
    results = {r.task.name: r for r in run([*tasks, Task("other", "")], functions.fail)}
    assert str(results["score"].error) == "score: not run, because train failed."
    assert str(results["report"].error) == "report: not run, because score failed."
    assert results["other"].value == 0


@pytest.mark.parametrize("executor", [Here(), Processes(1)], ids=["here", "processes"])
def test_a_user_error_affects_only_its_own_task(executor):
    results = {r.task.name: r for r in run([Task("a", "user"), Task("b", "")], functions.fail, executor=executor)}
    assert isinstance(results["a"].error, DataError)
    assert str(results["a"].error) == "list.csv, line 3: no such clip."
    assert results["b"].value == 0


@pytest.mark.parametrize("executor", [Here(), Processes(1)], ids=["here", "processes"])
def test_an_unexpected_exception_is_raised_with_its_traceback(executor):
    with pytest.raises(KeyError, match="lost key") as caught:
        list(run([Task("a", "unexpected")], functions.fail, executor=executor))
    here = any("parallel_tasks.py" in str(entry.path) for entry in caught.traceback)
    assert here or "parallel_tasks.py" in str(caught.value.__cause__)


def test_a_value_or_an_exception_that_cannot_be_pickled_is_raised_as_an_exception():
    with pytest.raises(Exception, match="lambda"):
        list(run([Task("a", None)], functions.return_lambda, executor=Processes(1)))
    with pytest.raises(RuntimeError, match="NotPicklableError: 1 and 2") as caught:
        list(run([Task("a", "not picklable")], functions.fail, executor=Processes(1)))
    assert "parallel_tasks.py" in str(caught.value.__cause__)


def test_a_killed_process_ends_the_run_with_one_line_that_names_its_tasks():
    tasks = [Task("v7.mp4", None), Task("next", None, after=("v7.mp4",))]
    with pytest.raises(LostTaskError) as caught:
        list(run(tasks, functions.kill_own_process, executor=Processes(2)))
    assert str(caught.value) == (
        "v7.mp4: a process was killed, perhaps for lack of memory (use a lower --jobs); start again to resume."
    )


def test_the_threads_are_divided_among_the_processes():
    assert Processes(2, cores=6).threads == 3
    assert Processes(4, cores=3).threads == 1
    executor = Processes(2, cores=6)
    result = next(run([Task("a", "OMP_NUM_THREADS")], functions.environment, executor=executor))
    assert result.value == "3"


def test_closing_the_results_stops_running_tasks_and_leaves_no_partial_file(tmp_path):
    tasks = [Task("stalls", tmp_path / "out"), Task("ends", None)]
    results = run(tasks, functions.stall, executor=Processes(2))
    assert next(results).task.name == "ends"
    pid = _pid(tmp_path / "stalled")
    results.close()
    assert not _lives(pid)
    assert [p.name for p in tmp_path.iterdir()] == ["stalled"]


def _pid(mark: Path, program: subprocess.Popen[str] | None = None) -> int:
    """What the task that stalls has written, once it has."""
    while not (mark.exists() and mark.read_text()):
        assert program is None or program.poll() is None
        time.sleep(0.01)
    return int(mark.read_text())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _stalled(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A program with a task that never ends, and the process that runs it."""
    program = subprocess.Popen(
        [sys.executable, functions.__file__, str(folder / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return program, _pid(folder / "stalled", program)


def test_an_interrupt_stops_all_processes_silently_and_leaves_no_partial_file(tmp_path):
    program, worker = _stalled(tmp_path)
    os.killpg(program.pid, signal.SIGINT)
    output, _ = program.communicate(timeout=60)
    assert (program.returncode, output) == (130, "")
    assert not _lives(worker)
    assert [p.name for p in tmp_path.iterdir()] == ["stalled"]


def test_processes_do_not_outlive_a_program_that_is_killed(tmp_path):
    program, worker = _stalled(tmp_path)
    program.kill()
    program.communicate()
    while _lives(worker):
        time.sleep(0.01)


def test_a_script_without_a_main_guard_is_reported_in_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from support import parallel_tasks as functions\n"
        "from emofuse.core.parallel import *\n"
        "list(run([Task('a', 1)], functions.double, executor=Processes(1)))"
    )
    path = os.pathsep.join([str(Path(functions.__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    assert done.stderr.splitlines()[-1].endswith("scripts need `if __name__ == '__main__':`.")


def test_a_missing_ray_is_reported_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'emofuse\[ray\]'"):
        list(run(TASKS, functions.double, executor=Ray()))


@pytest.mark.parametrize(
    ("home", "line"),
    [
        (
            ("/no/such/folder", {}, parallel.__version__),
            r"cannot work in /no/such/folder \(No such file or directory\)",
        ),
        ((os.getcwd(), {}, "0.0.1"), "here is 0.0.1; install the same on all"),
    ],
)
def test_a_machine_that_is_set_up_differently_is_reported_in_one_line(home, line):
    with pytest.raises(SettingsError, match=line):
        raise parallel._work_on_cluster(functions.double, 1, home)


def test_an_address_that_does_not_answer_is_reported_in_one_line():
    pytest.importorskip("ray", reason="needs ray: pip install 'emofuse[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SettingsError, match=f"--address 127.0.0.1:{port}: nothing answers"):
        list(run(TASKS, functions.double, executor=Ray(f"127.0.0.1:{port}")))
    with pytest.raises(SettingsError, match="give HOST:PORT"):
        list(run(TASKS, functions.double, executor=Ray("head")))


def test_more_threads_than_this_machine_has_are_refused_on_ray():
    pytest.importorskip("ray", reason="needs ray: pip install 'emofuse[ray]'")
    with pytest.raises(SettingsError, match=r"--threads 9999: this machine has \d+ cores"):
        list(run(TASKS, functions.double, executor=Ray(threads=9999)))


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    """Ray on this machine, whose processes find the functions of the tests."""
    pytest.importorskip("ray", reason="needs ray: pip install 'emofuse[ray]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(functions.__file__).parents[1]), *sys.path]))
    return Ray()


@pytest.mark.slow
def test_ray_returns_the_same_results_and_repeats_a_task_whose_process_is_killed(tmp_path, on_ray):
    actual = {r.task.name: r.value for r in run(TASKS, functions.double, executor=on_ray)}
    assert actual == {r.task.name: r.value for r in run(TASKS, functions.double)}
    (result,) = run([Task("dies once", tmp_path / "mark")], functions.kill_own_process_once, executor=on_ray)
    assert result.value == "done"
    (result,) = run([Task("v7.mp4", None)], functions.kill_own_process, executor=on_ray)
    assert isinstance(result.error, LostTaskError)
    assert str(result.error).startswith("v7.mp4: lost 3 times")


@pytest.mark.slow
def test_errors_on_ray_are_those_of_other_executors(on_ray):
    results = {r.task.name: r for r in run([Task("a", "user"), Task("b", "")], functions.fail, executor=on_ray)}
    assert str(results["a"].error) == "list.csv, line 3: no such clip."
    assert results["b"].value == 0
    with pytest.raises(KeyError, match="lost key") as caught:
        list(run([Task("a", "unexpected")], functions.fail, executor=on_ray))
    assert "parallel_tasks.py" in str(caught.value)


@pytest.mark.slow
def test_a_module_that_is_missing_on_a_machine_is_reported_in_one_line(on_ray, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(SettingsError, match=r"No module named '.*'; install emofuse on all machines"):
        list(run(TASKS, functions.double, executor=on_ray))


def test_a_process_ends_even_if_a_finaliser_swallows_the_exception_that_stops_it(monkeypatch):
    class Interrupted:
        def __del__(self) -> None:
            parallel._stop(signal.SIGTERM, None)

    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    Interrupted()
    assert ended == [1]


def test_interrupts_stay_blocked_while_the_first_process_of_a_program_starts():
    code = (
        "import signal; from multiprocessing import resource_tracker\n"
        "from emofuse.core.parallel import interrupts_blocked\n"
        "with interrupts_blocked():\n"
        "    resource_tracker.ensure_running()  # as the first start of a process does\n"
        "    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
