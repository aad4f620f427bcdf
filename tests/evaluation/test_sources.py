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
