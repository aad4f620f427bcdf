"""Predictions with a bundle that distinguishes persons: numbers over gaps and cuts, `--persons`, and `--people`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.errors import DataError, SettingsError
from emofuse.faces.bordered import BorderedDetector
from emofuse.inference.predictor import predict
from emofuse.inference.renumbering import PersonChoice
from emofuse.inference.summary import describe
from emofuse.media.video import VideoReader
from emofuse.models.bundle import load
from support.fused_bundles import predictor, use_square_detector
from support.identity_bundles import (
    PINK,
    RED,
    THRESHOLD,
    YELLOW,
    write_bundle,
    write_photograph,
    write_video,
)


@pytest.fixture(autouse=True)
def _squares(monkeypatch):
    use_square_detector(monkeypatch)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Red for 2 s, nobody for 5 s, yellow for 1 s, red and pink for 2 s."""
    path = tmp_path_factory.mktemp("video") / "three.mkv"
    return write_video(path, (2, (RED,)), (5, ()), (1, (YELLOW,)), (2, (RED, PINK)))


@pytest.fixture
def people(tmp_path) -> Path:
    write_photograph(tmp_path / "people" / "Rosa.png", RED)
    write_photograph(tmp_path / "people" / "Penny" / "1.png", PINK)
    write_photograph(tmp_path / "people" / "Penny" / "2.png", (210, 50, 210))
    (tmp_path / "people" / "notes.txt").write_text("who is who")
    return tmp_path / "people"


def seconds_of(prediction) -> dict[int, list[float]]:
    """Start and end of the time in which each person is found."""
    table = prediction.table()
    found = table[table.status == "ok"].groupby("person")
    return {int(p): [float(rows.start.min()), float(rows.end.max())] for p, rows in found}


def test_a_person_who_returns_has_one_number(bundle, video):
    prediction = predict(video, bundle=bundle)
    assert seconds_of(prediction) == {1: [0, 10], 2: [7, 8], 3: [8.2, 10]}
    assert prediction.scores[1].valid.sum() == 20


def test_without_an_identity_each_track_is_a_person(tmp_path, video):
    prediction = predict(video, bundle=write_bundle(tmp_path, threshold=None))
    assert len(prediction.persons) >= 3
    assert seconds_of(prediction)[1] == [0, 2]
    assert "one_person_confidence" not in describe(prediction)["persons"][0]


def test_the_threshold_is_part_of_the_bundle(bundle):
    assert load(bundle).person_threshold == THRESHOLD
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["modalities"]["face"]["identity"] == {"threshold": THRESHOLD}


def test_the_summary_describes_each_person(bundle, video):
    first, second, third = describe(predict(video, bundle=bundle))["persons"]
    assert (first["face_seconds"], second["face_seconds"], third["face_seconds"]) == (4, 1, 1.8)
    assert first["face_height"] == pytest.approx(32 / 96, abs=1e-4)
    assert first["one_person_confidence"] > 0.95
    assert "name" not in first


@pytest.mark.parametrize(("persons", "kept"), [("largest", [[0, 10]]), (1, [[0, 10]]), ("2", [[0, 10], [8.2, 10]])])
def test_persons_chooses_among_the_persons_of_the_file(bundle, video, persons, kept):
    prediction = predict(video, bundle=bundle, persons=persons)
    assert list(seconds_of(prediction).values()) == kept
    assert prediction.metadata["persons"] == str(persons)
    assert describe(prediction)["person_choice"] == str(persons)
    assert len(describe(prediction)["persons"]) == len(kept)


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_people_of_photographs_have_their_names_in_every_table(bundle, video, people, tmp_path, form):
    prediction = predict(video, bundle=bundle, people=people)
    assert [prediction.name(p) for p in prediction.persons] == ["Rosa", None, "Penny"]
    assert [entry["name"] for entry in describe(prediction)["persons"]] == ["Rosa", None, "Penny"]
    path = prediction.save(tmp_path / f"table.{form}")
    read = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "json": lambda p: pd.DataFrame(json.loads(p.read_text())["rows"]),
    }
    table = read[form](path)
    assert list(table.columns[:3]) == ["file", "person", "name"]
    names = table.groupby("person").name.first()
    assert (names[1], names[3]) == ("Rosa", "Penny")
    assert table[table.person == 2].name.isna().all()


def test_a_video_without_a_face_has_an_empty_name(bundle, people, tmp_path):
    prediction = predict(write_video(tmp_path / "empty.mkv", (2, ())), bundle=bundle, people=people)
    assert prediction.table().name.isna().all()


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ((None,), "no face was found; give one that shows the person from the front"),
        ((RED, PINK), "2 faces were found; cut it to the face of the person who has this name"),
    ],
)
def test_a_photograph_of_nobody_or_of_two_people_is_named(bundle, video, people, faces, message):
    path = write_photograph(people / "Xenia.png", *faces)
    with pytest.raises(SettingsError) as error:
        predict(video, bundle=bundle, people=people)
    assert str(error.value) == f"--people {path}: {message}."


def test_one_photograph_under_two_names_is_refused_with_both(bundle, video, people):
    (people / "Zoe.png").write_bytes((people / "Rosa.png").read_bytes())
    with pytest.raises(SettingsError, match=r"--people .*people: Rosa and Zoe have the same photograph; remove one"):
        predict(video, bundle=bundle, people=people)


def test_people_are_searched_by_the_detector_of_photographs(bundle, people, monkeypatch):
    searched = []

    class Recorder(BorderedDetector):
        def __call__(self, image):
            searched.append(image.shape)
            return super().__call__(image)

    monkeypatch.setattr("emofuse.inference.predictor.BorderedDetector", Recorder)
    assert len(predictor(bundle, people=people).known_people.identities) == 2
    assert len(searched) == 3


def test_a_damaged_photograph_is_named(bundle, video, people):
    (people / "Xenia.jpg").write_bytes(b"\xff\xd8 not an image")
    with pytest.raises(DataError, match=r"--people: .*Xenia.jpg: is not an image; copy it again"):
        predict(video, bundle=bundle, people=people)


@pytest.mark.parametrize(
    ("folder", "message"), [("none", "not a folder that can be read"), ("empty", "no photographs in it")]
)
def test_a_folder_without_photographs_is_refused(bundle, video, tmp_path, folder, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=message):
        predict(video, bundle=bundle, people=tmp_path / folder)


def test_a_bundle_that_cannot_tell_persons_apart_cannot_name_them(tmp_path, video, people):
    with pytest.raises(SettingsError, match="--people: the bundle colours 1 cannot tell persons apart"):
        predict(video, bundle=write_bundle(tmp_path / "old", threshold=None), people=people)


def test_other_photographs_and_another_choice_are_other_results(bundle, people):
    def identity(**options: object) -> dict:
        return predictor(bundle, **options).identity

    before, again = identity(people=people), identity(people=people)
    assert before == again != identity()
    write_photograph(people / "Rosa.png", (190, 40, 40))
    assert identity(people=people) != before
    assert identity() != identity(persons=PersonChoice(1))


def test_live_sessions_and_files_number_alike(bundle, video):
    found = predictor(bundle)
    session, numbers = found.session(), []
    with VideoReader(video) as reader:
        for frame in reader.frames():
            numbers += [(f.frame, f.person) for f in session.push_frames([frame]).faces]
        numbers += [(f.frame, f.person) for f in session.close(reader.end).faces]
    prediction = predict(video, bundle=bundle)
    expected = [
        (int(frame), person)
        for person in prediction.persons
        for frame in prediction.frames[np.flatnonzero(prediction.face_found(person))]
    ]
    assert sorted(numbers) == sorted(expected)
