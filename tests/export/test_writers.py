"""Writers of results: the contract of each, their content, and writers of other packages."""

from __future__ import annotations

import importlib.metadata as metadata
import json
from pathlib import Path

import pandas as pd
import pytest

from emofuse.cli.main import main
from emofuse.core import registry
from emofuse.core.files import write_bytes
from emofuse.errors import SettingsError
from emofuse.export import WRITERS, ExportOptions, ResultTable, Writer, checked_formats
from emofuse.testing import check_writer
from emofuse.testing.writers import prediction


def write_tab(table: ResultTable, path: Path) -> None:
    """A writer of another package: tab-separated values."""
    write_bytes(path, "".join(block.to_csv(index=False, sep="\t") for block in table.blocks).encode())


def write_names(table: ResultTable, path: Path) -> None:
    """A writer that violates the contract: it ignores the rows."""
    write_bytes(path, table.file.encode())


TAB = Writer(write_tab, ".tab")


@pytest.fixture
def tab(monkeypatch) -> None:
    points = metadata.EntryPoints([metadata.EntryPoint("tab", f"{__name__}:TAB", "emofuse.writers")])
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: TAB)
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


@pytest.mark.parametrize("name", ["csv", "json", "parquet", "elan", "praat", "webvtt", "srt", "boris"])
def test_a_built_in_writer_keeps_the_contract(name):
    check_writer(WRITERS[name])


def test_a_writer_that_ignores_the_rows_violates_the_contract():
    with pytest.raises(AssertionError, match="another emotion did not change the file"):
        check_writer(Writer(write_names, ".txt"))


def test_csv_has_one_header_and_the_rows_of_all_persons(tmp_path):
    read = pd.read_csv(prediction().save(tmp_path / "t.csv"), dtype={"person": "Int64", "frame": "Int64"})
    pd.testing.assert_frame_equal(read, prediction().table(), check_dtype=False)


def test_parquet_keeps_columns_and_types(tmp_path):
    pd.testing.assert_frame_equal(pd.read_parquet(prediction().save(tmp_path / "t.parquet")), prediction().table())


def test_json_has_metadata_labels_and_rows(tmp_path):
    content = json.loads(prediction().save(tmp_path / "t.json").read_text("utf-8"))
    assert (content["file"], content["bundle"]) == ('two, "people" ä.mp4', "synthetic 1")
    assert content["labels"] == ["neutral", "anger", "happiness"]
    assert [row["emotion"] for row in content["rows"][:4]] == [None, "neutral", "anger", "uncertain"]
    without, with_face = ([row[n] for n in ("x", "detector_score", "yaw", "pitch")] for row in content["rows"][:2])
    assert (without, with_face) == ([None] * 4, [0.25, 0.75, -20, None])


@pytest.mark.usefixtures("tab")
def test_a_writer_of_another_package_is_used_by_save_and_by_the_command(talk, tmp_path):
    assert "tab" in WRITERS
    check_writer(WRITERS["tab"])
    assert prediction().save(tmp_path / "t.tab").read_text("utf-8").startswith("file\tperson\t")
    words = ["predict", talk, "--out", tmp_path / "out", "--format", "tab", "--rate", 1]
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    assert not ended.value.code
    assert (tmp_path / "out" / f"{talk.stem}.tab").read_text("utf-8").startswith("file\tperson\t")


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(
        SettingsError, match=r"file format '\.txt': unknown.*; choose .*\.boris\.tsv, \.csv, \.eaf, \.json"
    ):
        prediction().save(tmp_path / "t.txt")


def test_blurring_faces_without_a_format_that_shows_them_is_refused():
    with pytest.raises(SettingsError, match="--blur-faces: no format shows faces; add --format annotated-video"):
        checked_formats(["csv", "elan"], ExportOptions(blur_faces=True))
    assert checked_formats(["csv", "annotated-video"], ExportOptions(blur_faces=True)) == ("csv", "annotated-video")
