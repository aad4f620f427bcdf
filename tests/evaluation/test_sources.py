from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.core.labels import AFFWILD2, AFFWILD2_8
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Clip, Scores
from emofuse.errors import DataError
from emofuse.evaluation.score_tables import write_scores
from emofuse.evaluation.sources import open_source
from emofuse.inference.prediction import Prediction
from emofuse.media.photograph import INSTANT

FRAMES = Timeline.steps(Fraction(30000, 1001), end=ticks(Fraction(90 * 1001, 30000)))
CLIP = Clip("v1", Path("videos/batch1/v1.mp4"))
LEFT, RIGHT = (Clip(f"v1_{side}", Path("videos/batch1/v1.mp4")) for side in ("left", "right"))


def random_scores(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(7), n)


def table(n: int = 3, **columns: object) -> pd.DataFrame:
    times = {"start": [0.2 * k for k in range(n)], "end": [0.2 * k + 0.2 for k in range(n)]}
    return pd.DataFrame(times | dict(zip(AFFWILD2.names, random_scores(n).T, strict=True)) | columns)


def read(path: Path | str, clip: Clip = CLIP, frames: Timeline = FRAMES, label_set=AFFWILD2) -> Scores | None:
    return open_source(path).scores(clip, frames, label_set)


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_tables_of_predict_are_read_frame_by_frame(tmp_path, form):
    expected = Scores(random_scores(90), FRAMES, AFFWILD2, np.arange(90) % 7 != 3, "default")
    prediction = Prediction("v1.mp4", FRAMES, np.arange(90), AFFWILD2, {1: expected})
    prediction.save(tmp_path / f"v1.{form}")
    found = read(tmp_path)
    assert found.timeline == FRAMES  # though the table has rounded seconds
    assert np.array_equal(found.valid, expected.valid)
    assert found.values == pytest.approx(expected.probabilities(), abs=1e-6)


def test_the_row_of_a_photograph_which_ends_where_it_begins_covers_it(tmp_path):
    expected = Scores(random_scores(1), INSTANT, AFFWILD2, np.ones(1, bool), "default")
    Prediction("a.jpg", INSTANT, np.zeros(1, np.int64), AFFWILD2, {1: expected}).save(tmp_path / "a.csv")
    found = read(tmp_path, Clip("sad/a", Path("sad/a.jpg")), INSTANT)
    assert found.timeline == INSTANT
    assert found.values == pytest.approx(expected.probabilities(), abs=1e-6)


def test_of_several_faces_in_a_photograph_the_largest_one_counts(tmp_path):
    faces = {n: Scores(random_scores(1, n), INSTANT, AFFWILD2, np.ones(1, bool), "default") for n in (1, 2, 3)}
    Prediction("a.jpg", INSTANT, np.zeros(1, np.int64), AFFWILD2, faces).save(tmp_path / "a.csv")
    persons = [{"person": n, "face_centre": [n / 4, 0.5], "face_height": h} for n, h in ((1, 0.1), (2, 0.5), (3, 0.2))]
    entry = {"file": str(tmp_path / "a.jpg"), "outputs": ["a.csv"], "persons": persons}
    (tmp_path / "summary.json").write_text(json.dumps({"files": [entry]}))
    found = read(tmp_path, Clip("a", tmp_path / "a.jpg"), INSTANT)
    assert found.values == pytest.approx(faces[2].probabilities(), abs=1e-6)


def test_written_scores_are_read_bit_for_bit(tmp_path):
    given = {
        "v1": Scores(random_scores(90), FRAMES, AFFWILD2, np.arange(90) % 5 != 0, "net"),
        "v2": Scores(
            random_scores(4, 1), Timeline.windows(ticks(4), ticks(2), end=ticks(8)), AFFWILD2, np.ones(4, bool), "net"
        ),
    }
    write_scores(tmp_path / "net.parquet", given)
    source = open_source(tmp_path / "net.parquet")
    assert source.system == "net"
    for name, scores in given.items():
        found = source.scores(Clip(name), FRAMES, AFFWILD2)
        assert found.timeline == scores.timeline
        assert np.array_equal(found.values, scores.values)
        assert np.array_equal(found.valid, scores.valid)
    assert source.scores(Clip("v3"), FRAMES, AFFWILD2) is None


def test_classes_are_bound_by_name_in_any_order_and_case(tmp_path):
    given = table()
    shuffled = given[["surprise", "end", "fear", "start", "neutral", "sadness", "anger", "happiness", "disgust"]]
    shuffled.rename(columns=str.upper).to_csv(tmp_path / "v1.csv", index=False)
    assert read(tmp_path).values == pytest.approx(given[list(AFFWILD2.names)].to_numpy(), abs=1e-6)


def test_a_table_without_the_class_other_can_be_read_for_eight_classes(tmp_path):
    table().to_csv(tmp_path / "v1.csv", index=False)
    assert not read(tmp_path, label_set=AFFWILD2_8).values[:, 7].any()


def test_frames_can_be_given_by_number(tmp_path):
    table(frame=[4, 2, 7]).drop(columns=["start", "end"]).to_csv(tmp_path / "v1.csv", index=False)
    found = read(tmp_path)
    assert found.timeline == FRAMES[np.array([2, 4, 7])]
    assert found.values[0] == pytest.approx(random_scores(3)[1], abs=1e-6)


@pytest.mark.parametrize("name", ["Clip", "filename", "File Name", "path", "video"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_column_of_clips_has_alternative_names_and_separators(tmp_path, name, separator):
    given = table(**{name: "C:\\data\\batch1\\v1.mp4"})
    given.to_csv(tmp_path / "net.csv", index=False, sep=separator)
    found = read(tmp_path / "net.csv")
    assert found.values == pytest.approx(random_scores(3), abs=1e-6)


@pytest.mark.parametrize(("encoding", "first"), [("cp1252", "sep=;\n"), ("utf-16", "sep=;\n"), ("utf-8-sig", "")])
def test_tables_of_spreadsheet_programs_are_read(tmp_path, encoding, first):
    given = table(clip="Müller")
    text = given.to_csv(index=False, sep=";", decimal=",")
    (tmp_path / "net.csv").write_bytes((first + text).encode(encoding))
    assert read(tmp_path / "net.csv", Clip("Müller")).values == pytest.approx(random_scores(3), abs=1e-6)


def test_names_of_clips_keep_their_zeros(tmp_path):
    table(clip="007").to_csv(tmp_path / "net.csv", index=False)
    assert read(tmp_path / "net.csv", Clip("007")) is not None
    assert read(tmp_path / "net.csv", Clip("7")) is None


@pytest.mark.parametrize(
    "names",
    [
        ("neutral", "angry", "disgusted", "scared", "happy", "sad", "surprised"),
        ("NEU", "ANG", "DIS", "FEA", "HAP", "SAD", "Pleasant Surprise"),
        ("calm", "Anger", "disgust", "fearful", "joy", "Sadness", "ps"),
    ],
)
def test_headers_may_be_synonyms_of_the_classes(tmp_path, names):
    given = table().rename(columns=dict(zip(AFFWILD2.names, names, strict=True)))
    given.to_csv(tmp_path / "v1.csv", index=False)
    assert read(tmp_path / "v1.csv").values == pytest.approx(random_scores(3), abs=1e-6)


def test_two_columns_of_one_class_are_refused(tmp_path):
    table(joy=0.1).to_csv(tmp_path / "v1.csv", index=False)
    with pytest.raises(DataError, match="columns happiness and joy are both of the class happiness; keep one"):
        read(tmp_path / "v1.csv")


def test_times_may_be_minutes_and_seconds(tmp_path):
    table(start=["0:00", "0:00.5", "00:00:01"], end=["0:00.5", "0:01", "0:02"]).to_csv(tmp_path / "v1.csv", index=False)
    found = read(tmp_path / "v1.csv")
    assert [int(t) for t in found.timeline.start] == [0, ticks(0.5), ticks(1)]
    assert int(found.timeline.end[-1]) == ticks(2)


def test_missing_values_of_other_programs_are_no_scores(tmp_path):
    given = table().astype(object)
    given.loc[0, "fear"], given.loc[2, "anger"] = "n/a", "FIT_FAILED"
    given.to_csv(tmp_path / "v1.csv", index=False)
    assert read(tmp_path / "v1.csv").valid.tolist() == [False, True, False]


def test_an_excel_table_is_read(tmp_path):
    pytest.importorskip("openpyxl")
    table(clip="v1").to_excel(tmp_path / "net.xlsx", index=False)
    assert read(tmp_path / "net.xlsx").values == pytest.approx(random_scores(3), abs=1e-6)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"frame": [0, 1, 10**20]}, r"frames 0 to 1e\+20, but the video has 90; count them from 0"),
        ({"frame": [0, 1, 10**40]}, r"frames 0 to 1e\+40, but the video has 90"),
        ({"frame": [0, 1.5, 2]}, r"frame 1\.5 is not a whole number"),
        ({"start": [0, 0.1, 1e300], "end": [0.1, 0.2, 2e300]}, r"invalid times \(1e\+300 s\)"),
        ({"start": [0, 0.1, None], "end": [0.1, 0.2, 0.3]}, "a time is missing"),
        ({"start": [0, 0.1, "later"], "end": [0.1, 0.2, 0.3]}, "'later' is not a time: write seconds, mm:ss"),
        ({"start": [0, 1, 2], "end": [1, 2, 3], "fear": [0.1, 1e40, 0.1]}, r"a score is 1e\+40; give probabilities"),
        ({"start": [0, 1, 2], "end": [1, 2, 3], "fear": [0.1, np.inf, 0.1]}, "a score is inf; give probabilities"),
        ({"start": [0, 1, 2], "end": [1, 2, 3], "fear": [0.1, "x", 0.1]}, "a score is not a number"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_impossible_numbers_are_one_line(tmp_path, columns, message):
    given = table().drop(columns=["start", "end"]).assign(**columns)
    given.to_csv(tmp_path / "v1.csv", index=False)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "v1.csv")


def test_a_table_with_a_header_only_is_refused(tmp_path):
    table(clip="v1")[:0].to_csv(tmp_path / "net.csv", index=False)
    with pytest.raises(DataError, match=r"net\.csv: a table without rows"):
        read(tmp_path / "net.csv")


def test_a_table_says_which_clips_and_columns_it_has(tmp_path):
    table(clip="v2").to_csv(tmp_path / "net.csv", index=False)
    assert open_source(tmp_path / "net.csv").content() == f"{tmp_path}/net.csv has the clips v2"
    table(3, title="v2").to_csv(tmp_path / "net.csv", index=False)
    assert "net.csv has no column clip, and so only the clip net; its columns are start" in (
        open_source(tmp_path / "net.csv").content()
    )


def test_rows_without_a_clip_are_refused(tmp_path):
    table(clip=["v1", None, "v1"]).to_csv(tmp_path / "net.csv", index=False)
    with pytest.raises(DataError, match="1 of 3 rows name no clip"):
        read(tmp_path / "net.csv")


def test_valid_may_be_a_word(tmp_path):
    table(valid=["yes", "no", None]).to_csv(tmp_path / "v1.csv", index=False)
    assert read(tmp_path / "v1.csv").valid.tolist() == [True, False, False]


def test_a_row_with_an_empty_score_is_not_valid(tmp_path):
    given = table()
    given.loc[1, "fear"] = np.nan
    given.to_csv(tmp_path / "v1.csv", index=False)
    assert read(tmp_path).valid.tolist() == [True, False, True]


def test_the_most_frequent_person_is_that_of_the_clip(tmp_path):
    often, rarely = table(3, person=2, status="ok"), table(3, person=1, status=["ok", "no_face", "no_face"])
    pd.concat([rarely, often]).to_csv(tmp_path / "v1.csv", index=False)
    assert read(tmp_path).valid.all()


@pytest.fixture
def two_people(tmp_path) -> Path:
    """Persons 1 and 2 have different scores; by the summary, person 2 is on the left."""
    one, two = table(3, person=1, status="ok"), table(3, person=2, status="ok")
    two[list(AFFWILD2.names)] = random_scores(3, seed=9)
    pd.concat([one, two]).to_csv(tmp_path / "v1.csv", index=False)
    persons = [{"person": 1, "face_centre": [0.7, 0.4]}, {"person": 2, "face_centre": [0.3, 0.4]}]
    entry = {"file": "videos/batch1/v1.mp4", "outputs": ["v1.csv"], "persons": persons}
    (tmp_path / "summary.json").write_text(json.dumps({"files": [entry]}))
    return tmp_path


def test_left_and_right_are_identified_by_the_positions_of_faces(two_people):
    assert read(two_people, LEFT).values == pytest.approx(random_scores(3, seed=9), abs=1e-6)
    assert read(two_people, RIGHT).values == pytest.approx(random_scores(3), abs=1e-6)


def test_left_and_right_cannot_be_identified_without_the_summary(two_people):
    (two_people / "summary.json").unlink()
    with pytest.raises(DataError, match="does not say which person is v1_left"):
        read(two_people, LEFT)


def test_where_only_the_right_person_was_found_the_left_one_has_no_scores(two_people):
    table(3, person=1, status="ok").to_csv(two_people / "v1.csv", index=False)
    assert not read(two_people, LEFT).valid.any()
    assert read(two_people, RIGHT).valid.all()


def test_a_failed_prediction_is_reported(tmp_path):
    table().to_csv(tmp_path / "v2.csv", index=False)
    entry = {"file": "videos/batch1/v1.mp4", "status": "failed", "error": "v1.mp4: is empty."}
    (tmp_path / "summary.json").write_text(json.dumps({"files": [entry]}))
    with pytest.raises(DataError, match=r"the prediction of this file failed: v1\.mp4: is empty"):
        read(tmp_path)


def test_a_source_can_be_named(tmp_path):
    table().to_csv(tmp_path / "v1.csv", index=False)
    assert open_source(f"face={tmp_path}").system == "face"
    assert open_source(tmp_path).system == tmp_path.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["fear", "anger"]), r"v1\.csv: no column anger, fear; it has start, end, neutral"),
        (lambda t: t.drop(columns=["start"]), "no times; give columns start and end"),
        (lambda t: t.assign(end=0.0), "invalid times"),
        (lambda t: t.assign(fear=-1.0), r"v1: .* negative or not finite; give probabilities, not logits"),
        (lambda t: t.assign(fear="high"), r"v1: a score is not a number"),
        (lambda t: t.drop(columns=["start", "end"]).assign(frame=[0, 1, 90]), "frames 0 to 90, but the video has 90"),
    ],
)
def test_an_invalid_table_is_refused_in_one_line(tmp_path, change, message):
    change(table()).to_csv(tmp_path / "v1.csv", index=False)
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v1.csv", b"", "cannot be read as a table"),
        ("v1.parquet", b"no parquet", "cannot be read as a table"),
        ("v1.json", b"{}", "cannot be read as a table"),
        ("notes.md", b"", "holds no scores; expected"),
    ],
)
def test_a_file_without_scores_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(tmp_path / "nothing")


def test_of_the_formats_of_a_prediction_the_table_is_read_and_never_one_of_an_earlier_run(tmp_path):
    table().to_csv(tmp_path / "v1.csv", index=False)

    def predicted_as(*outputs: str) -> None:
        entry = {"file": str(CLIP.video), "status": "done", "outputs": outputs}
        (tmp_path / "summary.json").write_text(json.dumps({"files": [entry]}))

    predicted_as("v1.eaf", "v1.csv")
    assert read(tmp_path) is not None
    predicted_as("v1.vtt")
    with pytest.raises(DataError, match=r"v1\.mp4 was last predicted as v1\.vtt, which is no table"):
        read(tmp_path)
