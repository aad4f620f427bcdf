"""The jobs of a Table 1: every network once, in its folder, from the weights that are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from emofuse.errors import SettingsError
from emofuse.experiments.table1 import Plan, Table1Request, plan
from emofuse.experiments.trial import Trial
from emofuse.systems.paper import TABLE1
from support.small_datasets import InMemoryData

DATA = InMemoryData({"a": [0, 1]})


def planned(*, rows=(), changes=None, **asked) -> Plan:
    return plan(Table1Request(Trial(Path("aw"), Path("out"), **asked), rows, changes or {}), DATA)


def test_all_ten_rows_need_five_systems_of_which_two_share_a_network():
    found = planned()
    assert [row.name for row in found.rows] == list(TABLE1)
    assert list(found.jobs) == ["vggface2", "vggface2-svm", "vggfer-kelm", "cnn1d-lstm", "pann"]
    assert {n: p.parent for n, p in found.jobs.items() if p.parent} == {"vggface2-svm": "vggface2"}
    assert found.jobs["vggface2-svm"].definition.fit.epochs == 0


def test_a_row_needs_only_its_systems_and_a_network_without_its_parent_is_trained():
    found = planned(rows=("mcwf-best",))
    assert list(found.jobs) == ["vggface2-svm", "cnn1d-lstm"]
    assert found.jobs["vggface2-svm"].parent is None
    assert found.jobs["vggface2-svm"].definition.fit.epochs > 0


def test_a_mistyped_row_suggests_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'mcwf-best'"):
        planned(rows=("mcfw-best",))


def test_an_unknown_scale_is_refused():
    with pytest.raises(SettingsError, match="choose tiny, paper"):
        planned(scale="huge")


def test_at_paper_scale_all_missing_weights_are_listed_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOFUSE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SettingsError) as refused:
        planned(scale="paper")
    message = str(refused.value)
    for name in ("vggface2:", "vggfer:", "pann-16k:", "--weights NAME=FILE", "--from-scratch"):
        assert name in message
    assert message.count("vggface2: ") == 1  # two rows need it


def test_imported_weights_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOFUSE_WEIGHTS", str(tmp_path))
    (tmp_path / "vggface2.safetensors").write_bytes(b"weights")
    assert planned(scale="paper", rows=("vggface2",)).jobs["vggface2"].weights == tmp_path / "vggface2.safetensors"


def test_from_scratch_needs_no_weights_and_adds_a_note(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOFUSE_WEIGHTS", str(tmp_path))
    found = planned(scale="paper", from_scratch=True)
    assert all(p.weights is None for p in found.jobs.values())
    assert any(note.startswith("pann: from random weights") for note in found.notes)
    assert found.jobs["vggfer-kelm"].definition.fit.epochs > 0


def test_a_system_can_be_replaced_and_single_settings_changed():
    found = planned(rows=("vggface2",), changes={"vggface2": "mobile", "vggface2.net.tiny": "true"})
    definition = found.jobs["vggface2"].definition
    assert (definition.name, definition.net.tiny) == ("mobile", True)
    assert "vggface2: replaced by mobile." in found.notes


def test_a_change_of_a_system_of_no_row_is_refused():
    with pytest.raises(SettingsError, match=r"--set pan\.fit\.lr: not a system of these rows .did you mean 'pann'"):
        planned(changes={"pan.fit.lr": "1"})


def test_folder_names_depend_on_weights_settings_and_seed(tmp_path):
    one, two = (tmp_path / name for name in ("one", "two"))
    one.write_bytes(b"1")
    two.write_bytes(b"2")

    def folder(**asked) -> Path:
        return planned(scale="paper", rows=("vggface2", "vggface2-svm"), **asked).systems.folder("vggface2-svm")

    first = folder(weights={"vggface2": one})
    assert first == folder(weights={"vggface2": one})
    assert first != folder(weights={"vggface2": two})
    assert first != folder(weights={"vggface2": one}, changes={"vggface2-svm.head.C": "1"})
    assert first != folder(weights={"vggface2": one}, seed=1)
