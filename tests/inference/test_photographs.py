"""Predictions of photographs, which are frames of the synthetic sample, with the default bundle and detector."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from emofuse.core.parallel import Here
from emofuse.errors import MediaError, SettingsError
from emofuse.inference.batch import plan, predict_files, write_summary
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.images import encode_jpeg
from emofuse.media.video import VideoReader
from emofuse.report.segments import headline, segment_table
from emofuse.report.timeline import draw_timeline


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(Options())


@pytest.fixture(scope="module")
def face(talk) -> np.ndarray:
    """A frame with a face, uint8 [180, 320, 3]."""
    with VideoReader(talk) as reader:
        return next(iter(reader.frames(np.array([30])))).rgb()


@pytest.fixture
def photograph(face, tmp_path):
    path = tmp_path / "anna.jpg"
    path.write_bytes(encode_jpeg(face))
    return path


def test_a_photograph_has_one_row_per_face_at_time_zero(predictor, photograph):
    prediction = predictor.predict(photograph)
    table = prediction.table()
    assert table[["file", "person", "start", "end", "frame", "status"]].values.tolist() == [
        ["anna.jpg", 1, 0.0, 0.0, 0, "ok"]
    ]
    assert prediction.metadata["warnings"] == []


def test_persons_are_numbered_from_left_to_right(predictor, face, tmp_path):
    (tmp_path / "group.jpg").write_bytes(encode_jpeg(np.tile(face, (1, 4, 1))))
    prediction = predictor.predict(tmp_path / "group.jpg")
    assert prediction.persons == [1, 2, 3, 4]
    across = [prediction.details[p].centre[0] for p in prediction.persons]
    assert across == pytest.approx([(n + across[0] * 4) / 4 for n in range(4)], abs=0.01)


@pytest.mark.parametrize("rotate", [None, 90])
def test_a_photograph_is_turned_until_its_face_is_upright_or_as_the_option_says(photograph, face, tmp_path, rotate):
    (tmp_path / "turned.jpg").write_bytes(encode_jpeg(np.ascontiguousarray(np.rot90(face))))
    turned = Predictor(Options(rotate=rotate)).predict(tmp_path / "turned.jpg")
    upright = Predictor(Options()).predict(photograph)
    note = "turned by 90 degrees clockwise, as its faces lie on their side"
    assert turned.metadata["warnings"] == ([note] if rotate is None else [])
    assert turned.details[1].centre == pytest.approx(upright.details[1].centre, abs=0.01)


@pytest.mark.parametrize("side", [1, 200])
def test_a_photograph_without_a_face_has_a_row_with_status_no_face(predictor, tmp_path, side):
    (tmp_path / "grey.jpg").write_bytes(encode_jpeg(np.full((side, side, 3), 128, np.uint8)))
    prediction = predictor.predict(tmp_path / "grey.jpg")
    assert prediction.table()["status"].tolist() == ["no_face"]
    assert prediction.persons == []


def test_every_frame_and_a_rate_change_nothing(predictor, photograph):
    expected = predictor.predict(photograph).table()
    for rate_hz in (None, Fraction(30)):
        assert Predictor(Options(rate_hz=rate_hz)).predict(photograph).table().equals(expected)


def test_a_photograph_is_recognised_without_a_suffix(predictor, photograph):
    assert predictor.predict(photograph.rename(photograph.with_suffix(""))).is_photograph


@pytest.mark.parametrize(
    ("content", "message"), [(b"hello", "is not an image"), (b"\xff\xd8\xff\xe0", "is damaged, cut")]
)
def test_a_file_that_is_no_photograph_is_refused_in_one_line(predictor, tmp_path, content, message):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(MediaError, match=rf"a\.jpg: {message}"):
        predictor.predict(tmp_path / "a.jpg")


def test_the_terminal_shows_no_times(predictor, photograph):
    prediction = predictor.predict(photograph)
    assert headline(prediction) == "anna.jpg: photograph, 1 person, faces by the default detector"
    assert [column.header for column in segment_table(prediction)[0].columns] == ["person", "emotion", "confidence"]


def test_videos_and_photographs_are_predicted_together_and_counted(photograph, talk, tmp_path):
    tasks = plan([talk, photograph], out=tmp_path / "out", options=Options(), plot=True)
    results = list(predict_files(tasks, executor=Here(), draw=draw_timeline, progress=_ignore, note=_ignore))
    summary = write_summary(results)
    assert (summary["done"], summary["photographs"]) == (2, 1)
    entry = next(e for e in json.loads((tmp_path / "out/summary.json").read_text())["files"] if e.get("photograph"))
    assert entry["outputs"] == ["anna.csv", "anna.png"]
    assert (entry["duration_seconds"], entry["steps"], entry["rows"]) == (0.0, 1, 1)


def test_a_plot_never_replaces_a_photograph(tmp_path):
    (tmp_path / "anna.png").touch()
    with pytest.raises(
        SettingsError, match=r"anna\.png: a result would replace this file; choose another --out folder"
    ):
        plan([tmp_path / "anna.png"], out=tmp_path, options=Options(), plot=True)


def _ignore(*_: object) -> None:
    pass
