"""Names and merges of persons, as every reader of results follows them."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from emofuse.errors import DataError, OutputError
from emofuse.export import export_results, read_results
from emofuse.export.person_changes import PersonChanges, changes_path, read_changes, write_changes
from emofuse.testing.writers import prediction


@pytest.fixture
def table(tmp_path):
    return prediction().save(tmp_path / "two.csv")


def rows(persons, starts, statuses, confidences):
    columns = {"person": pd.array(persons, "Int64"), "start": starts, "status": statuses, "confidence": confidences}
    return pd.DataFrame({"file": "talk.mp4", **columns})


def test_of_two_rows_at_one_time_the_one_with_a_face_stays_then_the_more_confident_one():
    before = rows(
        [1, 1, 1, 1, 2, 2, 2, 2],
        [0, 1, 2, 3] * 2,
        ["voice_only", "ok", "ok", "no_face", "ok", "no_face", "ok", "turned"],
        [0.9, 0.2, 0.5, None, 0.3, None, 0.7, None],
    )
    after = PersonChanges(merge={2: 1}).apply(before)
    assert after["person"].tolist() == [1] * 4
    assert after["start"].tolist() == [0, 1, 2, 3]
    assert after["status"].tolist() == ["ok", "ok", "ok", "turned"]
    assert after["confidence"].tolist()[:3] == [0.3, 0.2, 0.7]


def test_rows_of_one_person_are_all_kept_and_rows_without_a_person_too():
    before = rows([1, 2, 3, None], [0, 0, 0, 0], ["ok"] * 4, [0.5] * 4)
    after = PersonChanges(merge={2: 1}).apply(before)
    assert after["person"].tolist() == [1, 3, pd.NA]


def test_merges_are_followed_to_their_ends():
    assert PersonChanges(merge={3: 2, 2: 1}).merge == {3: 1, 2: 1}
    with pytest.raises(DataError, match="merged into itself"):
        PersonChanges(merge={1: 2, 2: 1})


def test_names_are_a_column_after_the_person(table):
    write_changes(table, PersonChanges({1: "Anna"}))
    first, second = read_results([table])[0].blocks
    assert first.columns[2] == "name"
    assert set(first["name"]) == {"Anna"}
    assert second["name"].isna().all()


def test_exports_follow_the_changes(table, tmp_path):
    write_changes(table, PersonChanges({1: "Anna"}, {2: 1}))
    (path,) = export_results([table], formats=["webvtt"], out=tmp_path / "out")
    assert "<v person 1 Anna>" in path.read_text("utf-8")
    assert "person 2" not in path.read_text("utf-8")


def test_changes_beside_tables_are_not_taken_for_tables(table):
    write_changes(table, PersonChanges({1: "Anna"}))
    assert len(read_results([table.parent])) == 1


def test_without_changes_there_is_no_file(table):
    write_changes(table, PersonChanges({1: "Anna"}))
    assert read_changes(table) == PersonChanges({1: "Anna"})
    write_changes(table, PersonChanges())
    assert not changes_path(table).exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"names": []}', "is damaged"),
        ('{"names": {"first": "Anna"}}', "'first'"),
        ('{"names": {"1": ""}}', "is not a name"),
        ('{"names": {"1": 7}}', "7 is not a name"),
        ('{"merge": {"2": true}}', "True is not the number"),
        ('{"merge": {"2": 2}}', "merged into itself"),
        ('{"more": {}}', "'more' is neither"),
        ('{"names": {"9": "Anna"}}', "there is no person 9"),
    ],
)
def test_damaged_changes_are_an_error_of_one_line(table, content, problem):
    changes_path(table).write_text(content)
    with pytest.raises(DataError, match=problem) as error:
        read_results([table])
    assert "two.persons.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_changes_never_replace_the_table_of_another_result(tmp_path):
    prediction().save(tmp_path / "talk.persons.json")
    table = prediction().save(tmp_path / "talk.csv")
    assert read_changes(table) == PersonChanges()
    assert len(read_results([tmp_path])) == 2
    with pytest.raises(OutputError, match="the table of another result"):
        write_changes(table, PersonChanges({1: "Anna"}))
    assert "rows" in json.loads((tmp_path / "talk.persons.json").read_text("utf-8"))
