"""Fusion methods by name."""

from __future__ import annotations

import importlib.metadata as metadata

import pytest

from emofuse.core import registry
from emofuse.errors import SettingsError
from emofuse.fusion import METHODS


def test_every_method_is_registered_under_its_own_name():
    assert sorted(METHODS) == ["log-pool", "mcwf", "mcwf-refined", "mean", "stacking", "swf", "swf-refined"]
    assert all(m.name == name for name, m in METHODS.items())


def test_an_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(SettingsError, match=r"fusion 'mcfw': unknown .did you mean 'mcwf'.*choose .*swf, mcwf"):
        METHODS["mcfw"]


def add_entry_point(monkeypatch, value: str) -> None:
    points = metadata.EntryPoints([metadata.EntryPoint("theirs", value, "emofuse.fusion")])
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


def test_a_method_of_another_package_is_found_by_its_entry_point(monkeypatch):
    add_entry_point(monkeypatch, "emofuse.fusion.weighted:Mean")
    assert METHODS["theirs"].name == "mean"
    assert "theirs" in METHODS


def test_a_package_that_does_not_load_is_named(monkeypatch):
    add_entry_point(monkeypatch, "no_such_package:fusion")
    with pytest.raises(SettingsError, match="no_such_package:fusion does not load"):
        METHODS["theirs"]
