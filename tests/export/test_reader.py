from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.errors import DataError
from emofuse.export import read_results
from emofuse.testing.writers import LABELS, prediction


@pytest.fixture
def table(tmp_path) -> Path:
    return prediction().save(tmp_path / "two.csv")


def edited(table: Path, **columns: object) -> Path:
    pd.read_csv(table).assign(**columns).to_csv(table, index=False)
    return table


@pytest.mark.parametrize("extension", ["csv", "parquet", "json"])
def test_what_was_written_is_read(extension, tmp_path):
    path = prediction().save(tmp_path / f"two.{extension}")
    (result,) = read_results([path])
    assert result.file == prediction().file
    assert result.labels == LABELS.names
    rows = pd.concat(result.blocks, ignore_index=True)
    written = prediction().table()
    pd.testing.assert_frame_equal(*(t.dropna(axis=1, how="all") for t in (rows, written)), check_dtype=False)


def test_the_blocks_are_the_persons_and_can_be_read_again(table):
    (result,) = read_results([table])
    assert [[b["person"].iloc[0] for b in result.blocks] for _ in range(2)] == [[1, 2], [1, 2]]


def test_spreadsheets_with_semicolons_and_decimal_commas_are_read(table):
    before = pd.read_csv(table)
    before.to_csv(table, index=False, sep=";", decimal=",")
    (result,) = read_results([table])
    assert pd.concat(result.blocks)["neutral"].tolist() == pytest.approx(before["neutral"].tolist(), nan_ok=True)


def test_the_summary_of_a_folder_names_its_tables_and_adds_their_metadata(table):
    other = prediction().save(table.with_name("not listed.csv"))
    (table.parent / "talk.mp4").write_bytes(b"")
    entry = {
        "file": str(table.parent / "talk.mp4"),
        "status": "done",
        "warnings": ["w"],
        "outputs": ["two.png", "two.csv"],
    }
    (table.parent / "summary.json").write_text(json.dumps({"files": [{"file": "bad", "status": "failed"}, entry]}))
    (result,) = read_results([table.parent])
    assert result.metadata["warnings"] == ["w"]
    assert result.media == table.parent / "talk.mp4"
    assert len(read_results([table, other])) == 2


def test_a_folder_without_a_summary_has_each_result_once(table):
    prediction().save(table.with_suffix(".parquet"))
    prediction().save(table.with_name("three.json"))
    assert len(read_results([table.parent])) == 2


def test_tables_of_several_files_that_were_joined_are_several_results(table):
    rows = pd.read_csv(table)
    pd.concat([rows, rows.assign(file="other.mp4")]).to_csv(table, index=False)
    assert [r.file for r in read_results([table])] == [prediction().file, "other.mp4"]


def test_a_result_without_rows_is_read(tmp_path):
    result = prediction()
    empty = {p: s.onto(Timeline.empty()) for p, s in result.scores.items()}
    path = replace(result, timeline=Timeline.empty(), frames=np.empty(0, np.int64), scores=empty, faces={}).save(
        tmp_path / "e.csv"
    )
    (read,) = read_results([path])
    assert read.file == "e"
    assert [len(block) for block in read.blocks] == [0]


def test_a_result_without_a_person_is_one_block(tmp_path):
    timeline = Timeline.steps(2, end=ticks(2))
    voice = Scores(np.ones((4, 3), np.float32), timeline, LABELS, np.ones(4, bool), "x")
    path = replace(prediction(), scores={0: voice}).save(tmp_path / "voice.csv")
    (block,) = read_results([path])[0].blocks
    assert block["person"].isna().all()


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"start": 9.0}, "row 1 is damaged .its start is after its end"),
        ({"neutral": 1.5}, "row 1 is damaged .a probability"),
        ({"person": 1.5}, "row 1 is damaged .the person"),
        ({"anger": "x"}, "column 'anger' is damaged"),
    ],
)
def test_a_damaged_table_is_one_line(table, columns, problem):
    with pytest.raises(DataError, match=problem):
        read_results([edited(table, **columns)])


def test_another_table_is_refused_by_the_column_that_it_lacks(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'file', found a, b"):
        read_results([path])


@pytest.mark.parametrize("line", ["{", "[1]", "7"])
def test_a_line_that_is_no_object_is_refused_by_its_number(tmp_path, line):
    path = tmp_path / "live.jsonl"
    path.write_text(f'{{"file": "x"}}\n{line}\n')
    with pytest.raises(DataError, match=r"live\.jsonl: cannot be read as a table \(line 2 is no JSON object\)"):
        read_results([path])


def test_a_table_that_is_cut_off_is_one_line(tmp_path):
    path = prediction().save(tmp_path / "two.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_results([path])


@pytest.mark.parametrize(
    "cut", [lambda lines: [*lines[:3], lines[3][:60]], lambda lines: [*lines[:3], "two.mp4,1", *lines[4:]]]
)
def test_a_row_with_fewer_columns_is_refused_by_its_number(tmp_path, cut):
    path = prediction().save(tmp_path / "two.csv")
    path.write_text("\n".join(cut(path.read_text().splitlines())))
    with pytest.raises(DataError, match=r"two\.csv: row 3 is damaged \(it has \d+ of 19 columns\)"):
        read_results([path])


def test_a_missing_path_and_an_empty_folder_are_one_line(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_results([tmp_path / "none"])
    with pytest.raises(DataError, match="holds no results"):
        read_results([tmp_path])
