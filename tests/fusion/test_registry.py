from __future__ import annotations

import importlib.metadata as metadata

import pytest

from emofuse.errors import SettingsError
from emofuse.fusion import METHODS, method, registry


def test_methods_are_registered_under_their_own_names():
    assert list(METHODS) == ["mean", "swf", "mcwf", "swf-refined", "mcwf-refined", "log-pool", "stacking"]
    assert all(m.name == name for name, m in METHODS.items())


def test_an_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(SettingsError, match=r"fusion 'mcfw': unknown .did you mean 'mcwf'.*choose mean, swf, mcwf"):
        method("mcfw")


def offered(monkeypatch, value: str) -> None:
    points = metadata.EntryPoints([metadata.EntryPoint("theirs", value, registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


def test_a_method_of_another_package_is_found_by_its_entry_point(monkeypatch):
    offered(monkeypatch, "emofuse.fusion.weighted:Mean")
    assert method("theirs").name == "mean"


def test_a_package_that_does_not_load_is_named(monkeypatch):
    offered(monkeypatch, "no_such_package:fusion")
    with pytest.raises(SettingsError, match="no_such_package:fusion does not load"):
        method("theirs")
