"""Live sources: files as if they were cameras, and streams that break off."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emofuse.core.time import seconds, ticks
from emofuse.errors import MediaError, SettingsError
from emofuse.media import live
from emofuse.media.live import Arrival, LiveSource, SourceSettings
from emofuse.media.live_address import Address, audio_address, video_address
from emofuse.media.video import VideoReader
from support.media_files import moving_bar, tone_burst, write_media, write_pcm

FAST = SourceSettings(fast=True)


def arrivals(source: LiveSource) -> list[Arrival]:
    return [a for a in source.arrivals() if a.frame is not None or a.audio is not None or a.notice is not None]


@pytest.fixture
def short(tmp_path) -> Path:
    return write_media(tmp_path / "short.mp4", moving_bar(30), audio=tone_burst(44100, at=0.5, length=1.0))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Pauses between attempts take no time, and there are few attempts."""
    monkeypatch.setattr(live, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(live, "_LONGEST_PAUSE", 0.0)


def test_a_file_that_is_read_fast_has_the_frames_and_times_of_the_video_reader(short):
    found = arrivals(LiveSource(video_address(str(short)), settings=FAST))
    frames = [a.frame for a in found if a.frame is not None]
    with VideoReader(short) as reader:
        expected = list(reader.frames())
    assert [(f.index, f.start) for f in frames] == [(f.index, f.start) for f in expected]
    assert all((one.rgb() == other.rgb()).all() for one, other in zip(frames, expected, strict=True))


def test_audio_is_where_it_is_in_the_file(short):
    found = arrivals(LiveSource(video_address(str(short)), settings=FAST))
    blocks = [a.audio for a in found if a.audio is not None]
    loudest = max(blocks, key=lambda block: np.abs(block.samples).max())
    peak = loudest.start / ticks(1) + np.abs(loudest.samples).argmax() / loudest.rate_hz
    assert peak == pytest.approx(0.5, abs=0.002)


def test_without_audio_only_frames_arrive(short):
    found = arrivals(LiveSource(video_address(str(short)), with_audio=False, settings=FAST))
    assert all(a.audio is None for a in found)
    assert len(found) == 30


def test_only_wanted_frames_arrive_and_the_others_are_not_dropped(short):
    source = LiveSource(video_address(str(short)), settings=replace(FAST, wanted=lambda start: start % ticks(0.2) == 0))
    frames = [a.frame for a in arrivals(source) if a.frame is not None]
    assert [f.index for f in frames] == [0, 6, 12, 18, 24]
    assert source.dropped == 0
    assert seconds(source.frames_end) == pytest.approx(1.0)


def test_the_newest_frame_takes_the_place_of_one_that_nobody_took(short):
    address = replace(video_address(str(short)), paced=False)  # it arrives at once
    source = LiveSource(address)
    reading = source.arrivals()
    for feed in source._feeds:
        feed.start()
        feed.join()
        feed.start = lambda: None
    frames = [a.frame for a in reading if a.frame is not None]
    assert [f.index for f in frames] == [29]
    assert source.dropped == 29


def test_recordings_joined_byte_by_byte_follow_each_other(tmp_path):
    """The timestamps of the second one step back to the first ones; those of the third jump by 10 minutes."""
    parts = []
    for first in (300, 0, 18_000):
        times, sound = range(first, first + 30), {"audio": tone_burst(44100), "audio_start": first / 30}
        parts.append(write_media(tmp_path / f"{first}.ts", moving_bar(30), times=times, **sound))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = arrivals(LiveSource(video_address(str(joined)), settings=FAST))
    starts = [a.frame.start for a in found if a.frame is not None]
    assert len(starts) > 80
    assert np.diff(starts).min() > 0
    assert np.diff(starts).max() < ticks(0.5)
    audio = [a.audio for a in found if a.audio is not None]
    assert audio[-1].end == pytest.approx(starts[-1], abs=ticks(0.5))


def test_a_stream_that_breaks_off_is_opened_again_and_its_frames_continue(short):
    address = replace(video_address(str(short)), finite=False, paced=False, patient=True)
    source = LiveSource(address)
    notices, starts = [], []
    for arrival in source.arrivals():
        notices += [arrival.notice] if arrival.notice is not None else []
        starts += [arrival.frame.start] if arrival.frame is not None else []
        if len(notices) >= 4:
            source.close()
            break
    assert starts == sorted(set(starts))
    assert notices[0].endswith(": waiting for data")
    assert notices[1].endswith(": lost (the stream ended); trying again")
    assert ": is back after " in notices[2]


def test_a_source_that_does_not_come_back_ends_with_a_line(short, monkeypatch, tmp_path):
    monkeypatch.setattr(live, "_GIVE_UP", 0.0)
    source = LiveSource(replace(video_address(str(short)), finite=False, paced=False, patient=True))
    found = arrivals(source)
    assert [a.notice for a in found if a.notice is not None] == [
        f"{short}: waiting for data",
        f"{short}: lost (the stream ended); trying again",
        f"{short}: has not come back; ending",
    ]
    assert source.lost


def test_a_video_on_a_server_ends_where_it_ends(short):
    found = arrivals(LiveSource(replace(video_address(str(short)), finite=False, paced=False)))
    assert [a.notice for a in found if a.notice is not None] == []


def test_a_file_that_is_cut_off_ends_there(tmp_path):
    path = write_media(tmp_path / "cut.mkv", moving_bar(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = [a.frame for a in arrivals(LiveSource(video_address(str(path)), settings=FAST)) if a.frame is not None]
    assert 5 < len(frames) < 60


def test_a_camera_that_is_not_there_is_one_line():
    source = LiveSource(Address("camera 7", "/dev/video7", "v4l2", silent=True))
    with pytest.raises(MediaError, match=r"camera 7: cannot be opened \(no such file or directory\)\. Check that"):
        arrivals(source)


def test_a_microphone_that_is_not_there_does_not_end_the_video(short):
    microphone = Address("microphone 7", str(short.parent / "none.wav"))
    source = LiveSource(video_address(str(short)), microphone, settings=FAST)
    reading = source.arrivals()
    found = [next(reading)]
    source._feeds[1].join()  # or the video may end before it is tried
    found += [a for a in reading if a.frame is not None or a.notice is not None]
    assert sum(a.frame is not None for a in found) == 30
    assert [a.notice for a in found if a.notice] == [
        "microphone 7: cannot be opened (no such file or directory). Check that it exists and is not in use."
    ]


def test_a_microphone_is_not_tried_if_there_is_no_camera(short, monkeypatch):
    tried, opened = [], av.open
    monkeypatch.setattr(av, "open", lambda url, **options: tried.append(url) or opened(url, **options))
    source = LiveSource(Address("camera 7", "/dev/video7", "v4l2", silent=True), Address("microphone", str(short)))
    with pytest.raises(MediaError, match="camera 7: cannot be opened"):
        arrivals(source)
    for feed in source._feeds:
        feed.join()
    assert tried == ["/dev/video7"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs ALSA")
def test_alsa_prints_nothing_about_a_microphone_that_is_not_there(capfd):
    with pytest.raises(MediaError, match="microphone hw:77: cannot be opened"):
        arrivals(LiveSource(None, audio_address("hw:77", "linux")))
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_no_media_file_is_one_line(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing to see")
    with pytest.raises(MediaError, match=r"notes\.txt: cannot be opened \(invalid data found when processing input\)"):
        arrivals(LiveSource(video_address(str(path))))


def test_a_file_without_video_has_audio_alone(tmp_path):
    path = write_pcm(tmp_path / "voice.wav", [(0, np.full(16000, 0.25))])
    found = arrivals(LiveSource(video_address(str(path)), settings=FAST))
    assert sum(len(a.audio.samples) for a in found) == 16000


def test_frames_are_turned(short):
    source = LiveSource(video_address(str(short)), settings=replace(FAST, turn=90))
    assert {a.frame.size for a in arrivals(source) if a.frame is not None} == {(48, 64)}


@pytest.mark.parametrize(
    ("text", "platform", "url", "form"),
    [
        ("2", "linux", "/dev/video2", "v4l2"),
        ("1", "darwin", "1:none", "avfoundation"),
        ("/dev/video0", "linux", "/dev/video0", "v4l2"),
        ("video=HD Webcam", "win32", "video=HD Webcam", "dshow"),
        ("udp://@:5004", "linux", "udp://@:5004", None),
        ("-", "linux", "pipe:0", None),
    ],
)
def test_sources_by_their_name(text, platform, url, form):
    address = video_address(text, platform)
    assert (address.url, address.format) == (url, form)


def test_a_camera_on_windows_needs_its_name():
    with pytest.raises(SettingsError, match="give the name of the camera as video=NAME"):
        video_address("0", "win32")
    with pytest.raises(SettingsError, match="give the name of the microphone as audio=NAME"):
        audio_address("default", "win32")


def test_passwords_are_in_no_message():
    assert video_address("rtsp://user:secret@cam.local/live").name == "rtsp://cam.local/live"


def test_a_clock_of_30_frames_is_kept_exactly(tmp_path):
    path = write_media(
        tmp_path / "ntsc.mp4", moving_bar(20), rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000)
    )
    found = arrivals(LiveSource(video_address(str(path)), settings=FAST))
    with VideoReader(path) as reader:
        assert [a.frame.start for a in found] == reader.timeline.start.tolist()
