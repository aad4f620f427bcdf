from __future__ import annotations

import pytest

from emofuse.cli.executors import ExecutorOptions, choose_executor
from emofuse.core.parallel import Here, Processes, Ray
from emofuse.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("rya", ExecutorOptions(), "--executor 'rya': unknown .did you mean 'ray'"),
        ("here", ExecutorOptions(jobs=2), "use --executor processes"),
        ("processes", ExecutorOptions(address="auto"), "only --executor ray takes an address"),
        ("processes", ExecutorOptions(threads=-1), "--threads -1: give 0"),
        ("processes", ExecutorOptions(threads=100_000), "--threads 100000: this process has"),
        (None, ExecutorOptions(jobs=100_000), "--jobs 100000: this process has"),
    ],
)
def test_contradictory_options_are_reported_in_one_line(name, options, line):
    with pytest.raises(SettingsError, match=line):
        choose_executor(name, options)


def test_without_executor_the_other_options_determine_it():
    assert choose_executor(None, ExecutorOptions(jobs=1)) == Here()
    assert choose_executor(None, ExecutorOptions(jobs=3, threads=6)) == Processes(3, 6)
    assert choose_executor(None, ExecutorOptions(address="head:6379")) == Ray("head:6379")
