"""`emofuse predict` with a bundle of face and voice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from emofuse.inference.predictor import predict
from emofuse.report.timeline import draw_timeline
from support import spoken_words
from support.fused_bundles import write_bundle
from support.media_files import moving_bar, write_media
from support.speech_bundles import tone, write_wave


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("both"), {"face": 0.6, "voice": 0.4})


def test_the_detectors_and_rows_from_the_voice_alone_are_shown(run, bundle, talk):
    code, out, err = run("predict", talk, "--bundle", bundle, "--plot")
    assert (code, err) == (0, "")
    assert "talk.mp4: 6.0 s, 1 person, faces by the default detector, voice by energy" in out
    assert re.search(r" s  +\w+ voice only", out)
    assert Path("emofuse-results/talk.png").read_bytes().startswith(b"\x89PNG")


def test_the_transcript_is_named_beside_the_stages(run, talk, tmp_path):
    three = spoken_words.write_bundle(tmp_path, {"face": 0.5, "voice": 0.3, "words": 0.2})
    Path("said.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nI am so happy.\n")
    code, out, err = run("predict", talk, "--bundle", three, "--transcript", "said.srt")
    assert (code, err) == (0, "")
    assert "voice by energy, words by said.srt" in out
    code, _, err = run("predict", talk, "--bundle", three, "--transcript", "none.srt")
    assert (code, err) == (2, "emofuse: none.srt: no such file; give a transcript, or --transcript auto.\n")


def test_min_confidence_and_per_modality_apply_to_table_and_summary(run, bundle, talk):
    words = ("--bundle", bundle, "--min-confidence", 1, "--per-modality", "--json")
    entry = json.loads(run("predict", talk, *words)[1])["files"][0]
    table = pd.read_csv("emofuse-results/talk.csv")
    assert set(table.emotion) == {"uncertain"}
    assert {"face_fear", "voice_fear"} <= set(table.columns)
    assert (entry["modalities"], entry["min_confidence"], entry["per_modality"]) == (["face", "voice"], 1.0, True)


def test_a_confidence_above_one_is_refused(run, talk):
    code, out, err = run("predict", talk, "--min-confidence", 1.4)
    assert (code, out) == (2, "")
    assert err == "emofuse: --min-confidence 1.4: give a number from 0 to 1.\n"


def test_folders_are_searched_for_audio_files_too(run, bundle, tmp_path):
    write_wave(tmp_path / "in" / "a.wav", tone(2, 2.0, 0))
    code, out, _ = run("predict", tmp_path / "in", "--bundle", bundle)
    assert code == 0
    assert "a.wav: 2.0 s, voice by energy\n" in out


@pytest.mark.parametrize("loudness", [0.0, 1.0])
def test_a_plot_without_faces_is_drawn_with_and_without_a_voice(bundle, tmp_path, loudness):
    audio = loudness * tone(2, 2.0, 0, rate=44_100)
    path = write_media(tmp_path / "a.mkv", moving_bar(60), audio=audio.astype(np.float32), audio_codec="pcm_s16le")
    draw_timeline(predict(path, bundle=bundle), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("path", "missing"), [("a.wav", "no voice found"), ("a.mp4", "no face found")])
def test_an_empty_plot_states_what_was_not_found(bundle, tmp_path, monkeypatch, path, missing):
    shown: list[str] = []

    def record(figure: Figure, path: Path, **_: object) -> None:
        shown.extend(text.get_text() for axes in figure.axes for text in axes.texts)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", record)
    silent = {
        "a.wav": lambda p: write_wave(p, 0 * tone(2, 2.0, 0)),
        "a.mp4": lambda p: write_media(p, moving_bar(60)),
    }
    draw_timeline(predict(silent[path](tmp_path / path), bundle=bundle), tmp_path / "a.png")
    assert shown == [missing]


def test_an_audio_file_is_refused_by_a_bundle_without_a_voice_modality(run, tmp_path):
    bundle = write_bundle(tmp_path, {"face": 1.0})
    code, out, err = run("predict", write_wave(tmp_path / "a.wav", tone(2, 2.0, 0)), "--bundle", bundle)
    assert (code, out) == (2, "")
    assert err.startswith("emofuse: a.wav: ") or "a.wav: " in err
    assert "only audio" in err
