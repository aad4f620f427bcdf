"""Parts of files: times, tracks, and what they change in predictions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emofuse.core.time import Timeline, seconds, ticks
from emofuse.errors import MediaError, SettingsError
from emofuse.inference.predictor import Options, Predictor
from emofuse.inference.selection import Selection, listed_tracks
from emofuse.inference.session import Step
from emofuse.media.audio import AudioBlock
from emofuse.media.container import MediaFile
from emofuse.media.video import VideoReader
from support.media_files import B_FRAMES, moving_bar, write_media


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("x", None), "--start x: is not a time; give seconds, mm:ss or hh:mm:ss"),
        (("-1", None), "--start -1: is not a time"),
        (("20", "0:10"), r"--end 0:10: is not after the start \(20 s\)"),
    ],
)
def test_impossible_times_are_one_line(given, message):
    with pytest.raises(SettingsError, match=message):
        Selection.parse(*given)


def test_the_first_frame_is_the_one_on_screen_at_the_start():
    timeline = Timeline.steps(10, end=ticks(2))
    part = Selection.parse(0.55, 0.8)
    assert part.frames(timeline, None).tolist() == [5, 6, 7]
    assert part.frames(timeline, np.array([0, 4, 6, 8])).tolist() == [4, 6]
    assert Selection(audio_track="2").frames(timeline, None) is None


def test_rows_at_the_ends_are_cut():
    steps = [Step(ticks(Fraction(k, 5)), ticks(Fraction(k + 1, 5)), k) for k in range(5)]
    rows = Selection.parse(0.3, 0.7)._steps(steps)
    assert [(seconds(s.start), seconds(s.end), s.frame) for s in rows] == [(0.3, 0.4, 1), (0.4, 0.6, 2), (0.6, 0.7, 3)]


def test_audio_of_a_part_begins_at_zero_and_has_no_gaps():
    part, samples = Selection.parse(0.25, 1.5), np.arange(20, dtype=np.float32) / 20
    blocks = [part.audio(AudioBlock(samples[k : k + 5], ticks(Fraction(k, 10)), 10)) for k in range(0, 20, 5)]
    kept = [block for block in blocks if block is not None]
    assert [seconds(block.start) for block in kept] == [0, 0.2, 0.7]
    np.testing.assert_array_equal(np.concatenate([block.samples for block in kept]), samples[3:15])


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(Options())


def part_of(predictor: Predictor, path: Path, selection: Selection):
    predictor.options = replace(predictor.options, selection=selection)
    return predictor.predict(path)


def test_rows_of_a_part_have_the_times_and_frames_of_the_file(predictor, talk):
    whole, part = part_of(predictor, talk, Selection()), part_of(predictor, talk, Selection.parse(0.5, 1.3))
    rows = part.table()
    assert (rows["start"].iloc[0], rows["end"].iloc[-1]) == (0.5, 1.3)
    assert part.duration_seconds == pytest.approx(0.8)
    assert (part.metadata["start"], part.metadata["end"]) == (0.5, 1.3)
    before = whole.table().set_index("start")
    assert rows["frame"].tolist()[1:] == before.loc[rows["start"].tolist()[1:], "frame"].tolist()
    assert set(rows["status"]) <= {"ok", "voice_only"}


def test_a_start_after_the_end_of_the_file_is_one_line(predictor, talk):
    with pytest.raises(MediaError, match=r"talk\.mp4: ends before --start 1000 s; give less"):
        part_of(predictor, talk, Selection.parse(1000))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_frames_from_late_on_are_those_of_a_full_pass(tmp_path, name):
    options = B_FRAMES | {"g": "48"} if name != "a.avi" else {}
    codec = "libx264" if name != "a.avi" else "mpeg4"
    path = write_media(tmp_path / name, moving_bar(400), codec=codec, options=options)
    with VideoReader(path) as video:
        full = {frame.index: frame.rgb() for frame in video.frames()}
    for wanted in ([300, 301, 310], [399], [260]):
        with VideoReader(path) as video:
            found = list(video.frames(np.array(wanted)))
        assert [frame.index for frame in found] == wanted
        assert all((frame.rgb() == full[frame.index]).all() for frame in found)


@pytest.fixture
def two_tracks(tmp_path) -> Path:
    """A video with two video tracks, and two audio tracks in English and German."""
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("mpeg4", rate=10) for _ in range(2)]
        for stream, width in zip(streams, (64, 96), strict=True):
            stream.width, stream.height = width, 48
        audio = [file.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(2)]
        for stream, language in zip(audio, ("eng", "ger"), strict=True):
            stream.metadata["language"] = language
        for stream in streams:
            for image in moving_bar(5, stream.width):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            file.mux(stream.encode(None))
        for stream in audio:
            packet = av.Packet(np.zeros(8000, "<i2").tobytes())
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 16000), 0, 0
            file.mux(packet)
    return path


def test_tracks_are_chosen_by_number_and_language(two_tracks):
    with MediaFile(two_tracks) as file:
        assert Selection(audio_track="GER").audio_stream(file) == Selection(audio_track="2").audio_stream(file) == 3
        assert Selection(video_track="2").video_stream(file) == 1
        assert Selection().audio_stream(file) is None
        with pytest.raises(MediaError, match=r"--audio-track fra: there is none; the file has 1 \(eng, pcm_s16le"):
            Selection(audio_track="fra").audio_stream(file)
        listed = listed_tracks(file, [0, 3])
    assert [(t["kind"], t["track"], t["language"], t["taken"]) for t in listed] == [
        ("video", 1, None, True),
        ("video", 2, None, False),
        ("audio", 1, "eng", False),
        ("audio", 2, "ger", True),
    ]


def test_the_tracks_that_were_taken_are_in_the_metadata(predictor, two_tracks):
    prediction = part_of(predictor, two_tracks, Selection(video_track="2", audio_track="ger"))
    taken = [(t["kind"], t["track"]) for t in prediction.metadata["tracks"] if t["taken"]]
    assert taken == [("video", 2), ("audio", 2)]
