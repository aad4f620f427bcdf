"""Cores by CPU affinity and cgroup quota, with files of cgroups made here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emofuse.core.cores import MOST_AT_ONCE, check_at_once, usable_cores
from emofuse.errors import SettingsError


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def machine(root: Path, membership: str, **files: str) -> Path:
    """A root folder with /proc/self/cgroup and files below /sys/fs/cgroup; `__` stands for `/`, `_dot_` for `.`."""
    for name, text in {"proc__self__cgroup": membership, **files}.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_cgroups_the_affinity_counts(tmp_path):
    assert usable_cores(tmp_path) == 8
    assert usable_cores(machine(tmp_path, "0::/user\n", sys__fs__cgroup__user__cpu_dot_max="max 100000\n")) == 8


@pytest.mark.parametrize(("quota", "cores"), [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1)])
def test_a_quota_of_cgroup_v2_is_rounded_up(tmp_path, quota, cores):
    assert usable_cores(machine(tmp_path, "0::/\n", sys__fs__cgroup__cpu_dot_max=quota)) == cores


def test_the_smallest_quota_of_all_groups_above_counts(tmp_path):
    files = {"sys__fs__cgroup__a__cpu_dot_max": "300000 100000", "sys__fs__cgroup__a__b__cpu_dot_max": "max 100000"}
    assert usable_cores(machine(tmp_path, "0::/a/b\n", **files)) == 3


def test_a_quota_of_cgroup_v1_is_found_where_the_path_is_that_of_the_host(tmp_path):
    folder = "sys__fs__cgroup__cpu__cpu_dot_cfs_"
    files = {f"{folder}quota_us": "400000\n", f"{folder}period_us": "100000\n"}
    membership = "7:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n"
    assert usable_cores(machine(tmp_path, membership, **files)) == 4
    files[f"{folder}quota_us"] = "-1\n"
    assert usable_cores(machine(tmp_path, membership, **files)) == 8


def test_many_cores_are_used_up_to_an_upper_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(512)))
    assert usable_cores(tmp_path) == MOST_AT_ONCE


def test_a_number_of_threads_far_above_the_cores_is_refused_in_one_line():
    check_at_once("--jobs", 64)
    with pytest.raises(SettingsError, match=r"^--jobs 100000: this process has \d core\(s\); give 0 .* to 64\.$"):
        check_at_once("--jobs", 100_000)
