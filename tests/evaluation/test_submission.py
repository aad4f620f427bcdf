from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2_8
from emofuse.errors import DataError, OutputError, SettingsError
from emofuse.evaluation.evaluate import Settings, evaluate
from emofuse.evaluation.sources import open_source
from emofuse.evaluation.submission import check, submit
from emofuse.evaluation.submission_formats import EDITIONS, check_submission, read_sample
from support.small_datasets import random_data, simulate_scores

HEADER = "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"


def data_and_source(name: str = "2020"):
    data = random_data(clips=4, frames=60)
    if EDITIONS[name].label_set is AFFWILD2_8:
        data = replace(data, label_set=AFFWILD2_8)
    return data, simulate_scores(data, "face", skill=1.0, seed=3, valid=0.8)


def write(tmp_path, name: str, **options):
    data, source = data_and_source(name)
    out = tmp_path / ("all.txt" if EDITIONS[name].single else "all")
    done = submit(data, [source], out, edition=EDITIONS[name], split="validation", **options)
    return data, source, out, done


@pytest.mark.parametrize("name", EDITIONS)
def test_a_submission_has_exactly_the_metrics_of_its_scores(tmp_path, name):
    data, source, out, _ = write(tmp_path, name)
    settings = Settings(resamples=50)
    before, after = evaluate(data, [source], settings), evaluate(data, [open_source(out)], settings)
    assert after.rows[0].estimates == before.rows[0].estimates
    assert np.array_equal(after.rows[0].counts, before.rows[0].counts)


@pytest.mark.parametrize("name", EDITIONS)
def test_a_written_submission_is_valid(tmp_path, name):
    data, _, out, _ = write(tmp_path, name)
    result = check(data, out, edition=EDITIONS[name], split="validation")
    assert (result.errors, result.notes) == ([], [])


def test_every_frame_has_a_row_and_filled_ones_are_counted(tmp_path):
    _, source, out, done = write(tmp_path, "2020")
    lines = (out / "v2.txt").read_text().splitlines()
    assert lines[0] == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
    assert len(lines) == 61
    assert all(line in set("0123456") for line in lines[1:])
    assert done.filled == sum((~s.valid).sum() for s in source.by_clip.values()) > 0
    assert (done.entries, done.frames) == (4, 240)


def test_a_seven_class_system_can_be_submitted_for_eight_classes_with_a_note(tmp_path):
    data, source = data_and_source("2020")
    done = submit(data, [source], tmp_path / "all", edition=EDITIONS["2022"], split="validation")
    assert done.notes == ["no frame is other: the data set and its systems do not have this class."]
    assert (
        (tmp_path / "all" / "v0.txt")
        .read_text()
        .startswith("Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n")
    )


def sample_file(tmp_path, rows):
    path = tmp_path / "sample.txt"
    path.write_text(HEADER + "\n" + "".join(f"{entry}/{n:05d}.jpg,\n" for entry, n in rows))
    return path


def test_a_sample_file_sets_rows_and_order(tmp_path):
    rows = [("v2", 5), ("v0", 1), ("v2", 4), ("v1", 61)]  # one more than the video has
    sample = read_sample(sample_file(tmp_path, rows))
    _, _, out, _ = write(tmp_path, "2024", sample=sample)
    lines = out.read_text().splitlines()
    assert lines[0] == HEADER
    assert [line.rpartition(",")[0] for line in lines[1:]] == [
        "v2/00005.jpg",
        "v0/00001.jpg",
        "v2/00004.jpg",
        "v1/00061.jpg",
    ]


@pytest.mark.parametrize("row", [("v1", 62), ("elsewhere", 1)])
def test_a_sample_row_without_a_frame_is_refused_and_nothing_is_written(tmp_path, row):
    sample = read_sample(sample_file(tmp_path, [("v0", 1), row]))
    with pytest.raises(DataError, match=r"not written, because it would be invalid: .*:3: label '-1'"):
        write(tmp_path, "2024", sample=sample)
    assert not (tmp_path / "all.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sample.txt"]


def test_an_entry_without_scores_is_refused_and_nothing_is_written(tmp_path):
    data, source = data_and_source()
    del source.by_clip["v3"]
    with pytest.raises(DataError, match="face has no scores for v3"):
        submit(data, [source], tmp_path / "all", edition=EDITIONS["2020"], split="validation")
    assert not list(tmp_path.iterdir())


def test_an_entry_without_valid_scores_is_neutral_with_a_note(tmp_path):
    data, source = data_and_source()
    source.by_clip["v3"] = replace(source.by_clip["v3"], valid=np.zeros(60, bool))
    done = submit(data, [source], tmp_path / "all", edition=EDITIONS["2020"], split="validation")
    assert done.notes == ["v3 has no scores: all its frames are neutral."]


def test_a_submission_replaces_an_earlier_one_as_a_whole(tmp_path):
    write(tmp_path, "2020")
    (tmp_path / "all" / "old.txt").write_text("")
    write(tmp_path, "2020")
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["v0.txt", "v1.txt", "v2.txt", "v3.txt"]
    assert [p.name for p in tmp_path.glob("[!.]*")] == ["all"]


def test_label_files_of_somebody_else_are_never_replaced(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "v0.txt").write_text("theirs")
    with pytest.raises(SettingsError, match="all: is there already, was not written by emofuse"):
        write(tmp_path, "2020")
    assert (tmp_path / "all" / "v0.txt").read_text() == "theirs"


@pytest.mark.parametrize("name", ["2020", "2024"])
def test_a_folder_with_other_files_is_never_replaced(tmp_path, name):
    keep = tmp_path / ("all.txt" if name == "2024" else "all") / "thesis.doc"
    keep.parent.mkdir()
    keep.write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.doc and is not replaced"):
        write(tmp_path, name)
    assert keep.read_text() == "years of work"


def test_several_systems_need_a_fusion(tmp_path):
    data, source = data_and_source()
    with pytest.raises(SettingsError, match="2 systems; give one, or the weights to fuse them with --fusion"):
        submit(data, [source, source], tmp_path / "all", edition=EDITIONS["2020"], split="validation")


def test_a_fused_submission_has_the_metrics_of_evaluate(tmp_path):
    data = random_data(clips=4, frames=60)
    sources = [
        simulate_scores(data, "face", skill=1, seed=4),
        simulate_scores(data, "voice", skill=1, seed=5, valid=0.7),
    ]
    result = evaluate(data, sources, Settings(fuse=("mcwf",), folds=2, resamples=20))
    submit(data, sources, tmp_path / "s", edition=EDITIONS["2020"], split="validation", fitted=result.fitted["mcwf"])
    again = evaluate(data, [open_source(tmp_path / "s")], Settings(resamples=20))
    assert np.array_equal(again.rows[0].counts, result.rows[2].counts)


def spoil(path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda out: (out / "v1.txt").unlink(), r"v1\.txt is missing"),
        (lambda out: (out / "x.txt").write_text(""), r"x\.txt does not belong to an entry"),
        (lambda out: spoil(out / "v1.txt", "Neutral,Anger", "Anger,Neutral"), r"v1\.txt:1: the header is 'Anger,"),
        (lambda out: (out / "v1.txt").write_text(""), r"v1\.txt:1: the header is 'nothing'"),
        (
            lambda out: spoil(out / "v1.txt", "Surprise\n", "Surprise\n-1\n"),
            r"v1\.txt:2: label '-1' is not one of 0 to 6",
        ),
        (lambda out: spoil(out / "v1.txt", "Surprise\n", "Surprise\n\n7\n"), r"v1\.txt:2: label '' .*; 1 more"),
        (lambda out: spoil(out / "v1.txt", "Surprise\n", "Surprise\n0\n0\n"), r"v1\.txt has 62 rows, its video 60"),
    ],
)
def test_every_error_of_a_folder_is_found(tmp_path, change, error):
    data, _, out, _ = write(tmp_path, "2020")
    change(out)
    with pytest.raises(AssertionError, match=error):
        assert check(data, out, edition=EDITIONS["2020"], split="validation").errors == []


def test_one_row_more_than_frames_is_a_note_and_not_an_error(tmp_path):
    data, _, out, _ = write(tmp_path, "2020")
    spoil(out / "v1.txt", "Surprise\n", "Surprise\n0\n")
    result = check(data, out, edition=EDITIONS["2020"], split="validation")
    assert result.errors == []
    assert result.notes == [
        "v1.txt has 61 rows, its video 60 frames; the organisers' frame count is sometimes one higher."
    ]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda out: spoil(out, "Other", "Contempt"), "the header is"),
        (lambda out: spoil(out, "v1/00001.jpg", "v1/00002.jpg"), "1 rows are duplicates"),
        (lambda out: spoil(out, "v1/00001.jpg", "first picture"), "'first picture' is not of the form entry/00001.jpg"),
        (lambda out: spoil(out, "v0/00001.jpg", "v9/00001.jpg"), "v9 is not an entry of the data set"),
        (lambda out: out.write_text(out.read_text().partition("v3/")[0]), "v3 has 0 rows, its video 60 frames"),
        (lambda out: out.write_text(""), "the header is 'nothing'"),
    ],
)
def test_every_error_of_a_single_file_is_found(tmp_path, change, error):
    data, _, out, _ = write(tmp_path, "2024")
    change(out)
    with pytest.raises(AssertionError, match=error):
        assert check(data, out, edition=EDITIONS["2024"], split="validation").errors == []


def test_rows_in_another_order_than_the_sample_are_an_error(tmp_path):
    _, _, out, _ = write(tmp_path, "2024")
    rows = read_sample(out)
    result = check_submission(out, EDITIONS["2024"], {}, sample=[*rows[1:], rows[0]])
    assert result.errors == ["all.txt: the rows are not in the order of the sample, or are duplicates."]


def test_a_folder_instead_of_a_file_is_an_error(tmp_path):
    assert "requires one text file" in check_submission(tmp_path, EDITIONS["2024"], {}).errors[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no rows"),
        (HEADER + "\nfirst\n", r"sample\.txt:2: 'first' does not begin with"),
        (None, "cannot be read"),
    ],
)
def test_an_invalid_sample_file_is_refused(tmp_path, content, message):
    path = tmp_path / "sample.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_sample(path)
