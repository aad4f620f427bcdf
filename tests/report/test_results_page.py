from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emofuse.core.colour import COLOURS
from emofuse.core.statuses import FROZEN, NO_FACE, NO_FRAME, NO_VOICE, OK, TURNED, VOICE_ONLY
from emofuse.errors import DataError, OutputError, SettingsError
from emofuse.export import read_results
from emofuse.report.results import PageSettings, results_page, write_results_page
from emofuse.testing.writers import prediction
from support.result_tables import result

ROWS = [[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], None, [0.8, 0.1, 0.1]]


def content(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def values(text: str) -> list[int]:
    return list(base64.b64decode(text))


def test_the_page_has_the_rows_of_each_person_as_bytes():
    (file,) = content(results_page([result({1: ROWS}, names={1: "Ann"})], Path()))["files"]
    (person,) = file["persons"]
    assert (person["n"], person["step"], person["end"], person["name"]) == (4, 1, 4, "Ann")
    assert values(person["values"]) == [150, 75, 25, 50, 25, 175, 255, 255, 255, 200, 25, 25]
    assert [file["statuses"][code] for code in values(person["status"])] == ["ok", "ok", "no_face", "ok"]


def test_the_page_has_the_sentences_of_a_file_once():
    given = result({1: ROWS, 2: ROWS})
    said = {"words": ["</script>", "</script>", None, "Bye."], "words_status": ["ok", "ok", None, "other_language"]}
    blocks = [block.assign(**said) for block in given.blocks]
    (file,) = content(results_page([replace(given, blocks=blocks)], Path()))["files"]
    assert file["sentences"] == [
        {"start": 0, "end": 2, "text": "</script>", "status": "ok"},
        {"start": 3, "end": 4, "text": "Bye.", "status": "other_language"},
    ]
    (silent,) = content(results_page([given], Path()))["files"]
    assert silent["sentences"] == []


def test_the_page_shows_who_speaks_and_the_turns():
    given = result({1: ROWS, 2: ROWS})
    speaking = [[0.9, 0.2, np.nan, 0.8], [0.0, 0.1, 0.0, 0.0]]
    blocks = [block.assign(speaking=values) for block, values in zip(given.blocks, speaking, strict=True)]
    first, second = content(results_page([replace(given, blocks=blocks)], Path()))["files"][0]["persons"]
    assert values(first["speaking"]) == [225, 50, 255, 200]
    assert first["turns"] == [[0, 1], [3, 4]]
    assert second["turns"] == []
    (unknown, _) = content(results_page([given], Path()))["files"][0]["persons"]
    assert (unknown["speaking"], unknown["turns"]) == (None, None)


def test_totals_segments_and_transitions_of_a_person_by_hand():
    settings = PageSettings()
    (person,) = content(results_page([result({1: ROWS})], Path(), settings))["files"][0]["persons"]
    assert person["times"] == {"happiness": 2, "sadness": 1}
    assert person["transitions"] == [["happiness", "sadness", 1], ["sadness", "happiness", 1]]
    assert [(s["start"], s["end"], s["emotion"]) for s in person["segments"]] == [
        (0, 1, "happiness"),
        (1, 2, "sadness"),
        (3, 4, "happiness"),
    ]
    assert person["means"]["happiness"] == pytest.approx(1.6 / 3, abs=1e-4)
    assert person["quality"]["face"] == 0.75
    assert person["quality"]["unsure"] == 0
    assert person["quality"]["confidence"] == 0.7


def test_names_never_leave_their_element_and_nothing_is_fetched():
    name = '</script><b>"&.mp4'
    page = results_page([result({1: ROWS}, file=name)], Path())
    assert content(page)["files"][0]["name"] == name
    assert page.count("</script>") == 3
    assert "<b>" not in page.replace("<body>", "")
    assert not re.findall(r'(?:src|href)="', page)


def test_rows_beyond_the_budget_are_averaged(monkeypatch):
    monkeypatch.setattr("emofuse.report.results.content._BYTES", 16)
    shown = content(results_page([result({1: ROWS})], Path()))
    (person,) = shown["files"][0]["persons"]
    assert (shown["reduction"], person["n"], person["step"]) == (2, 2, 2)
    assert values(person["values"]) == [100, 50, 100, 200, 25, 25]


def test_a_three_hour_result_is_below_eight_megabytes():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(3), 3 * 3600 * 5).round(6).tolist()
    page = results_page([result({1: rows, 2: rows}, step=0.2)], Path())
    assert len(page) < 8e6
    assert content(page)["reduction"] == 1


def test_media_are_linked_from_the_page(tmp_path):
    media = tmp_path / "videos" / "50% ü#1.mp4"
    media.parent.mkdir()
    media.write_bytes(b"no video")
    (tmp_path / "reports").mkdir()
    path = write_results_page([result({1: ROWS}, media=media)], tmp_path / "reports" / "r.html")
    file = content(path.read_text("utf-8"))["files"][0]
    assert file["media"] == "../videos/50%25%20%C3%BC%231.mp4"
    assert file["persons"][0]["still"] is None


def test_media_are_embedded_only_if_they_are_there_and_small(tmp_path, monkeypatch):
    media, embed = tmp_path / "talk.mp4", PageSettings(embed=True)
    media.write_bytes(b"abc")
    page = results_page([result({1: ROWS}, media=media)], tmp_path, embed)
    assert content(page)["files"][0]["media"] == "data:video/mp4;base64,YWJj"
    with pytest.raises(SettingsError, match=r"--embed: talk\.mp4 is not where it was"):
        results_page([result({1: ROWS})], tmp_path, embed)
    monkeypatch.setattr("emofuse.report.results._MOST_EMBEDDED", 2)
    with pytest.raises(SettingsError, match=r"--embed: .* have 0 MB"):
        results_page([result({1: ROWS}, media=media)], tmp_path, embed)


def test_a_video_has_a_picture_of_each_person_and_of_segments(talk, tmp_path):
    import emofuse

    prediction = emofuse.predict(talk)
    path = prediction.report(tmp_path / "talk.html")
    file = content(path.read_text("utf-8"))["files"][0]
    assert file["persons"][0]["still"].startswith("data:image/jpeg;base64,")
    assert any(segment["still"] for segment in file["persons"][0]["segments"])
    assert path.read_bytes() == prediction.report(tmp_path / "again.html").read_bytes()


def test_results_without_persons_rows_or_duration_are_pages(tmp_path):
    photograph = result({1: [[0.6, 0.3, 0.1]]}, file="p.jpg")
    for block in photograph.blocks:
        block["end"] = block["start"]
    results = [result({None: ROWS}, file="voice.wav"), result({None: []}, file="empty.mp4"), photograph]
    voice, empty, image = content(results_page(results, tmp_path))["files"]
    assert (voice["kind"], voice["persons"][0]["person"], voice["persons"][0]["quality"]["face"]) == (
        "audio",
        None,
        None,
    )
    assert (empty["duration"], empty["persons"][0]["n"]) == (0, 0)
    assert (image["kind"], image["duration"], image["persons"][0]["times"]) == ("image", 0, {"happiness": 1})


def test_modalities_of_a_table_are_in_the_page():
    given = result({1: ROWS})
    for block in given.blocks:
        block[[f"face_windows_{n}" for n in given.labels]] = 0.5
    (person,) = content(results_page([given], Path()))["files"][0]["persons"]
    assert list(person["modalities"]) == ["face_windows"]


def test_results_of_one_name_and_long_names_are_told_apart(tmp_path):
    name = "😀/" * 40 + ".mp4"
    files = content(results_page([result({1: ROWS}, file=name), result({1: ROWS}, file=name)], tmp_path))["files"]
    assert [file["name"] for file in files] == [f"{name} (1)", f"{name} (2)"]


def test_no_results_and_a_folder_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(DataError, match="there are no results"):
        results_page([], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another"):
        write_results_page([result({1: ROWS})], tmp_path / "file" / "r.html")


def test_a_table_that_was_read_and_its_prediction_have_the_same_rows(tmp_path):
    read = read_results([prediction().save(tmp_path / "t.csv")])
    written = prediction().report(tmp_path / "r.html").read_text("utf-8")
    persons = [content(page)["files"][0]["persons"] for page in (written, results_page(read, tmp_path))]
    assert persons[0] == persons[1]


def test_a_notebook_shows_a_prediction():
    assert prediction()._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')


def test_a_dark_face_is_reported(tmp_path):
    import cv2

    for level, dark in ((20, True), (120, False)):
        cv2.imwrite(str(tmp_path / "p.png"), np.full((90, 90, 3), level, np.uint8))
        photograph = result({1: [[0.6, 0.3, 0.1]]}, file="p.png", media=tmp_path / "p.png")
        for block in photograph.blocks:
            block[["x", "y", "width", "height"]] = (0.25, 0.25, 0.5, 0.5)
        (person,) = content(results_page([photograph], tmp_path))["files"][0]["persons"]
        assert person["quality"]["dark"] is dark


def test_a_page_never_replaces_a_file_that_is_no_page(tmp_path):
    (tmp_path / "talk.mp4").write_bytes(b"video")
    with pytest.raises(SettingsError, match=r"talk\.mp4 is not the name of a page; give one that ends in \.html"):
        write_results_page([result({1: ROWS})], tmp_path / "talk.mp4")
    assert (tmp_path / "talk.mp4").read_bytes() == b"video"


def test_statuses_have_none_of_the_colours_of_emotions():
    style = (files("emofuse.report.results") / "page.css").read_text("utf-8")
    (light, dark) = re.findall(r":root \{([^}]*)\}", style)[:2]
    for scheme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        assert set(colours) == {OK, VOICE_ONLY, NO_FACE, NO_VOICE, NO_FRAME, TURNED, FROZEN}
        assert not set(colours.values()) & set(COLOURS)
