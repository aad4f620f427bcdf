"""Rewritten videos: the times of all frames, the packets of audio, and what was drawn."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.errors import MediaError, OutputError
from emofuse.media.rewrite import VideoPart, rewrite_video
from emofuse.media.video import VideoReader
from support.media_files import moving_bar, tone_burst, write_media


def nothing(frame: object, image: np.ndarray) -> None:
    pass


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """The time in seconds and the content of each audio packet."""
    with av.open(str(path)) as file:
        (stream,) = file.streams.audio
        return [(p.pts * p.time_base, bytes(p)) for p in file.demux(stream) if p.size]


def starts(path: Path) -> np.ndarray:
    with VideoReader(path) as video:
        assert not video.warnings
        return np.append(video.timeline.start, video.end)


@pytest.mark.parametrize(
    ("name", "time_base", "times"),
    [
        ("constant.mp4", Fraction(1001, 30000), [0, 1, 2, 3, 4, 5]),
        ("variable.mp4", Fraction(1, 90000), [0, 3003, 3500, 12000, 30000, 100001]),
        ("variable.mkv", Fraction(1, 1000), [0, 33, 67, 120, 121, 900]),
    ],
)
def test_every_frame_keeps_its_time(tmp_path, name, time_base, times):
    source = write_media(tmp_path / name, moving_bar(6), times=times, time_base=time_base, rate=Fraction(30))
    rewrite_video(source, tmp_path / "out.mp4", nothing)
    assert np.abs(starts(tmp_path / "out.mp4")[:-1] - starts(source)[:-1]).max() <= 1
    with VideoReader(source) as before, VideoReader(tmp_path / "out.mp4") as after:
        pairs = list(zip(before.frames(), after.frames(), strict=True))
    for old, new in pairs:
        assert np.abs(old.rgb().astype(int) - new.rgb()).mean() < 6


def test_the_last_frame_keeps_its_length(tmp_path):
    source = write_media(tmp_path / "a.mp4", moving_bar(5), rate=Fraction(10), time_base=Fraction(1, 10))
    rewrite_video(source, tmp_path / "out.mp4", nothing)
    assert starts(tmp_path / "out.mp4")[-1] == starts(source)[-1]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mp4", "mp3"), ("a.mkv", "flac"), ("a.ts", "aac")])
def test_packets_of_audio_are_copied(tmp_path, name, codec):
    audio = tone_burst(44100, length=1.0)
    source = write_media(tmp_path / name, moving_bar(30), audio=audio, audio_codec=codec)
    rewrite_video(source, tmp_path / "out.mp4", nothing)
    before, after = audio_packets(source), audio_packets(tmp_path / "out.mp4")
    strip = 7 if name.endswith(".ts") else 0  # the header of each packet, which MP4 does not have
    assert [content for _, content in after] == [content[strip:] for _, content in before]
    offset = before[0][0] - after[0][0]
    assert all(abs(a - b - offset) < Fraction(1, 900) for (a, _), (b, _) in zip(before, after, strict=True))


def test_audio_that_begins_later_stays_in_step(tmp_path):
    source = write_media(tmp_path / "a.mp4", moving_bar(30), audio=tone_burst(44100), audio_start=0.5)
    rewrite_video(source, tmp_path / "out.mp4", nothing)
    assert audio_packets(tmp_path / "out.mp4")[0][0] == pytest.approx(audio_packets(source)[0][0], abs=0.001)


def test_audio_that_mp4_does_not_play_becomes_aac(tmp_path):
    source = write_media(tmp_path / "a.mkv", moving_bar(30), audio=tone_burst(44100), audio_codec="pcm_s16le")
    rewrite_video(source, tmp_path / "out.mp4", nothing)
    with av.open(str(tmp_path / "out.mp4")) as file:
        (stream,) = file.streams.audio
        assert stream.codec_context.name == "aac"
        samples = np.concatenate([f.to_ndarray() for f in file.decode(stream)], axis=1)[0]
    assert np.abs(samples).argmax() / 44100 == pytest.approx(0.5, abs=0.03)


def test_what_is_drawn_is_in_the_frames(tmp_path):
    def mark(frame, image):
        image[:16, :16] = (255, 255, 255) if frame.index % 2 else (0, 0, 0)

    source = write_media(tmp_path / "a.mp4", moving_bar(6))
    rewrite_video(source, tmp_path / "out.mp4", mark)
    with VideoReader(tmp_path / "out.mp4") as video:
        levels = [frame.rgb()[4:12, 4:12].mean() for frame in video.frames()]
    assert levels == pytest.approx([0, 255] * 3, abs=8)


def test_turned_videos_and_odd_sizes_are_upright_and_even(tmp_path):
    source = write_media(tmp_path / "a.mkv", moving_bar(3, 63, 49), codec="ffv1", pix_fmt="bgr0")
    rewrite_video(source, tmp_path / "out.mp4", nothing, part=VideoPart(turn=90))
    with VideoReader(tmp_path / "out.mp4") as video:
        assert (video.info.width, video.info.height) == (48, 62)


def test_a_part_begins_at_zero_with_the_frame_on_screen_and_its_audio(tmp_path):
    audio = tone_burst(44100, at=0.6)
    source = write_media(tmp_path / "a.mp4", moving_bar(10), rate=Fraction(10), time_base=Fraction(1, 10), audio=audio)
    part = VideoPart(start=ticks(0.25), end=ticks(0.75))
    rewrite_video(source, tmp_path / "out.mp4", nothing, part=part)
    times = starts(tmp_path / "out.mp4") / ticks(1)
    assert times == pytest.approx([0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.5], abs=0.051)
    kept = [content for time, content in audio_packets(source) if 0.25 <= time < 0.75]
    assert [content for _, content in audio_packets(tmp_path / "out.mp4")] == kept


def test_equal_videos_have_equal_bytes_and_progress_ends_at_one(tmp_path):
    source = write_media(tmp_path / "a.mp4", moving_bar(10), audio=tone_burst(44100))
    fractions = list[float]()
    for name in ("one.mp4", "two.mp4"):
        rewrite_video(source, tmp_path / name, nothing, progress=fractions.append)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert fractions[9] == 1.0


def test_an_error_while_drawing_leaves_no_file(tmp_path):
    def fail(frame, image):
        raise KeyboardInterrupt

    source = write_media(tmp_path / "a.mp4", moving_bar(3))
    with pytest.raises(KeyboardInterrupt):
        rewrite_video(source, tmp_path / "out.mp4", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_problems_are_one_line(tmp_path):
    source = write_media(tmp_path / "a.mp4", moving_bar(3))
    with pytest.raises(MediaError, match=r"b\.mp4: there is no such file"):
        rewrite_video(tmp_path / "b.mp4", tmp_path / "out.mp4", nothing)
    with pytest.raises(OutputError, match="choose another"):
        rewrite_video(source, source / "out.mp4", nothing)
