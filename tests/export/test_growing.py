"""Tables that grow while a session runs."""

from __future__ import annotations

import json
from contextlib import suppress

import pandas as pd
import pytest

from emofuse.core.files import own_outputs
from emofuse.errors import OutputError, SettingsError
from emofuse.export.growing import growing_table
from emofuse.export.reader import read_result_file

ROWS = pd.DataFrame(
    {
        "file": pd.Series(["=1+1.mp4", "=1+1.mp4"], dtype="str"),
        "person": pd.array([1, None], dtype="Int64"),
        "start": [0.0, 0.1 + 0.2],
        "end": [0.2, 0.4],
        "frame": pd.array([0, None], dtype="Int64"),
        "status": pd.Series(["ok", "no_face"], dtype="str"),
        "calm": [0.25, float("nan")],
        "tense": [0.75, float("nan")],
        "emotion": pd.Series(["tense", None], dtype="str"),
        "confidence": [0.75, float("nan")],
    }
)


@pytest.mark.parametrize("name", ["live.csv", "live.jsonl"])
def test_rows_can_be_read_while_the_table_grows(tmp_path, name):
    path = tmp_path / name
    with growing_table(path, ROWS[:0]) as append:
        for n in range(1, 4):
            append(ROWS)
            text = path.read_text("utf-8")
            assert text.endswith("\n")
            assert text.count("ok") == n


@pytest.mark.parametrize("name", ["live.csv", "live.jsonl", "live.parquet"])
def test_a_table_that_has_grown_is_a_result(tmp_path, name):
    with growing_table(tmp_path / name, ROWS[:0]) as append:
        append(ROWS[:1])
        append(ROWS[1:])
    (result,) = read_result_file(tmp_path / name)
    rows = pd.concat(result.blocks)
    assert result.labels == ("calm", "tense")
    assert result.metadata == {}
    assert rows.file.tolist() == ["=1+1.mp4"] * 2
    assert rows.person.fillna(0).tolist() == [1, 0]
    assert rows.start.tolist() == pytest.approx(ROWS.start.tolist())


def test_json_lines_hold_null_for_missing_values(tmp_path):
    with growing_table(tmp_path / "live.jsonl", ROWS[:0]) as append:
        append(ROWS)
    first, second = (json.loads(line) for line in (tmp_path / "live.jsonl").read_text().splitlines())
    assert first["file"] == "=1+1.mp4"
    assert second["emotion"] is None
    assert second["person"] is None


def test_half_a_line_of_a_killed_session_is_left_out_with_a_warning(tmp_path):
    path = tmp_path / "live.jsonl"
    with growing_table(path, ROWS[:0]) as append:
        append(ROWS)
    path.write_text(path.read_text()[:-9])
    (result,) = read_result_file(path)
    assert pd.concat(result.blocks).start.tolist() == [0.0]
    assert result.metadata == {"warnings": ["live.jsonl: its last line was cut off"]}


def test_unfinished_rows_of_a_killed_session_are_a_result(tmp_path):
    with suppress(SettingsError), growing_table(tmp_path / "live.parquet", ROWS[:0]) as append:
        append(ROWS)
        raise SettingsError("lost")
    (result,) = read_result_file(tmp_path / "live.parquet.unfinished.csv")
    assert sum(map(len, result.blocks)) == 2


def test_parquet_is_complete_at_the_end_and_until_then_a_csv_file_holds_the_rows(tmp_path):
    path = tmp_path / "live.parquet"
    with growing_table(path, ROWS[:0]) as append:
        append(ROWS)
        assert not path.exists()
        assert len(pd.read_csv(tmp_path / "live.parquet.unfinished.csv")) == 2
        append(ROWS)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["live.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.concat([ROWS, ROWS], ignore_index=True))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_failure_before_the_first_row_leaves_no_file(tmp_path, suffix):
    with pytest.raises(SettingsError), growing_table(tmp_path / f"live.{suffix}", ROWS[:0]):
        raise SettingsError("no camera")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "kept"), [("csv", "live.csv"), ("parquet", "live.parquet.unfinished.csv")])
def test_a_failure_after_rows_keeps_them(tmp_path, suffix, kept):
    with suppress(SettingsError), growing_table(tmp_path / f"live.{suffix}", ROWS[:0]) as append:
        append(ROWS)
        raise SettingsError("lost")
    assert len(pd.read_csv(tmp_path / kept)) == 2


def test_a_session_without_rows_is_a_table_without_rows(tmp_path):
    with growing_table(tmp_path / "live.parquet", ROWS[:0]):
        pass
    assert pd.read_parquet(tmp_path / "live.parquet").columns.tolist() == ROWS.columns.tolist()


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("live.csv", "live.csv: is there already"),
        ("live.parquet", "live.parquet: is there already"),
        ("live.parquet.unfinished.csv", "live.parquet.unfinished.csv: has the rows of a session that was killed"),
    ],
)
def test_nothing_that_is_there_is_replaced(tmp_path, there, named):
    name = "live.parquet" if "parquet" in there else there
    with own_outputs([tmp_path / there]):  # though emofuse has written it
        (tmp_path / there).write_text("rows")
    with (
        pytest.raises(SettingsError, match=f"{named}, and is not replaced; move it, or choose another name with --out"),
        growing_table(tmp_path / name, ROWS[:0]),
    ):
        pytest.fail("the block runs")
    assert (tmp_path / there).read_text() == "rows"


def test_a_table_that_was_written_during_the_session_is_not_replaced(tmp_path):
    path = tmp_path / "live.parquet"
    growing = growing_table(path, ROWS[:0])
    append = growing.__enter__()
    append(ROWS)
    path.write_text("of another command")
    with pytest.raises(OutputError, match=r"was written meanwhile, and is not replaced; the rows are in .*unfinished"):
        growing.__exit__(None, None, None)
    assert path.read_text() == "of another command"
    assert len(pd.read_csv(tmp_path / "live.parquet.unfinished.csv")) == 2


def test_no_other_command_replaces_the_table(tmp_path):
    path = tmp_path / "live.csv"
    with own_outputs([path]):
        path.write_text("of predict")
    path.rename(tmp_path / "kept.csv")
    with growing_table(path, ROWS[:0]) as append:
        append(ROWS)
    with pytest.raises(SettingsError, match="is not replaced"), own_outputs([path]):
        pytest.fail("the block runs")


def test_another_extension_is_one_line(tmp_path):
    with (
        pytest.raises(SettingsError, match=r"unknown; choose \.csv, \.jsonl, \.parquet"),
        growing_table(tmp_path / "x.xlsx", ROWS),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"), growing_table(tmp_path / "file" / "live.csv", ROWS[:0]):
        pass
