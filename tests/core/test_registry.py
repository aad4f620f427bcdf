from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from emofuse.core import registry
from emofuse.core.registry import Registry, find
from emofuse.errors import DataError, SettingsError


def test_an_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(SettingsError, match=r"--scale 'papr': unknown \(did you mean 'paper'\?\); choose tiny, paper"):
        find("papr", {"tiny": 1, "paper": 2}, "--scale")


def test_the_error_class_and_the_remedy_can_be_chosen():
    with pytest.raises(DataError, match=r"clip 'x': unknown; see `emofuse data check`\."):
        find("x", {"first": 1}, "clip", error=DataError, remedy="see `emofuse data check`.")


def test_a_name_is_registered_once():
    letters = Registry[int]("letter")
    letters.add("a", 1)
    with pytest.raises(ValueError, match="letter 'a' is registered twice"):
        letters.add("a", 2)


def test_entry_points_of_other_packages_are_found_listed_and_suggested(monkeypatch):
    others = [EntryPoint("tau", "math:tau", "group"), EntryPoint("broken", "math:no_such_name", "group")]
    monkeypatch.setattr(registry, "entry_points", lambda group: others if group == "group" else [])
    numbers = Registry[float]("number", "group")
    numbers.add("one", 1.0)
    assert list(numbers) == ["one", "broken", "tau"]
    assert numbers["tau"] == pytest.approx(6.2832, abs=1e-4)
    with pytest.raises(SettingsError, match=r"number 'taw': unknown \(did you mean 'tau'\?\); choose one, broken, tau"):
        numbers["taw"]
    with pytest.raises(SettingsError, match=r"number 'broken': math:no_such_name does not load .*install its package"):
        numbers["broken"]
