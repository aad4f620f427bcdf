"""Files whose timestamps are wrong; the reference is the same file before its timestamps were changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.media.frame_index import FrameIndex
from emofuse.media.timestamps import believable_length, misplaced, placed, unconfirmed
from emofuse.media.video import VideoReader
from support.media_files import B_FRAMES, decoded_frames, moving_bar, tone_burst, write_media

SECOND = TICKS_PER_SECOND
NO_B_FRAMES = {"x264-params": "bframes=0"}
FRAMES = 90
AHEAD = [(name, by) for name in ("a.mp4", "a.mkv", "a.ts") for by in (1.0, 2.0, 60.0, 9568.0)]
AHEAD += [("a.mkv", 864_000.0)]  # MP4 stores the distance from dts to pts in 32 bits


def retimed(source: Path, target: Path, change: Callable[[int, av.Packet], None]) -> Path:
    """A copy of the packets; `change` is called with the number and packet of each frame in the order of decoding."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        streams = {s.index: written.add_stream_from_template(s) for s in read.streams}
        number = 0
        for packet in read.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                change(number, packet)
                number += 1
            packet.stream = streams[packet.stream.index]
            written.mux(packet)
    return target


def moved(numbers: range, by: float, *, dts: bool = False) -> Callable[[int, av.Packet], None]:
    def change(number: int, packet: av.Packet) -> None:
        if number in numbers:
            packet.pts += round(by / packet.time_base)
            if dts:
                packet.dts += round(by / packet.time_base)

    return change


def recording(tmp_path: Path, *, options: dict[str, str] | None = None, audio: bool = False) -> Path:
    samples = tone_burst(44100, length=FRAMES / 30) if audio else None
    return write_media(tmp_path / "right.mp4", moving_bar(FRAMES), options=options or B_FRAMES, audio=samples)


def check_every_frame_is_at_its_time(path: Path, right: Path) -> list[str]:
    """Returns the warnings."""
    reference = decoded_frames(right)
    with VideoReader(path) as video:
        frames = list(video.frames())
        assert [f.index for f in frames] == list(range(FRAMES))
        assert all(np.array_equal(f.rgb(), r) for f, r in zip(frames, reference, strict=True))
        expected = ticks(1) // 30 * np.arange(FRAMES)
        shift = video.timeline.start[0]  # of containers and codecs, a few hundredths of a second
        assert shift <= ticks(0.05)
        assert np.abs(video.timeline.start - shift - expected).max() <= ticks(0.002)
        assert video.end == pytest.approx(ticks(FRAMES / 30) + shift, abs=ticks(0.01))
        return video.warnings


@pytest.mark.parametrize("options", [B_FRAMES, NO_B_FRAMES], ids=["b-frames", "no-b-frames"])
@pytest.mark.parametrize(("name", "by"), AHEAD)
def test_two_timestamps_far_ahead_move_no_other_frame(tmp_path, options, name, by):
    right = recording(tmp_path, options=options)
    path = retimed(right, tmp_path / name, moved(range(40, 42), by))
    warnings = check_every_frame_is_at_its_time(path, right)
    assert [w for w in warnings if "timestamps" in w] == [
        "2 of 90 timestamps of its video are wrong: the times of these frames follow the frames beside them"
    ]


@pytest.mark.parametrize("by", [2.0, -1.5, 9568.0, -9568.0])
def test_one_packet_whose_pts_and_dts_are_wrong_is_no_restart_of_the_clock(tmp_path, by):
    path = write_media(tmp_path / "a.ts", moving_bar(FRAMES), options=NO_B_FRAMES)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        moved(range(50, 51), by, dts=True)(50, packets[50])
        index = FrameIndex.of(container, stream, packets, warnings := [])
    assert index.timeline.start.tolist() == [SECOND // 30 * n for n in range(FRAMES)]
    assert index.corrections.keys() == {50}
    assert "1 of 90 timestamps" in warnings[0]


@pytest.mark.parametrize("number", [0, FRAMES - 3, FRAMES - 1])
def test_a_first_or_last_frame_hours_ahead_ends_with_the_audio(tmp_path, number):
    right = recording(tmp_path, audio=True)
    path = retimed(right, tmp_path / "a.mkv", moved(range(number, number + 1), 9568.0))
    assert "1 of 90 timestamps" in check_every_frame_is_at_its_time(path, right)[0]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_first_frame_a_minute_before_all_others_does_not_delay_the_clip(tmp_path, name):
    right = recording(tmp_path, options=NO_B_FRAMES, audio=True)
    path = tmp_path / name
    with av.open(str(right)) as read, av.open(str(path), "w") as written:
        streams = {s.index: written.add_stream_from_template(s) for s in read.streams}
        first = True
        for packet in (p for p in read.demux() if p.dts is not None):
            later = 100 if packet.stream.type == "audio" or not first else 40
            first &= packet.stream.type == "audio"
            packet.pts += round(later / packet.time_base)
            packet.dts += round(later / packet.time_base)
            packet.stream = streams[packet.stream.index]
            written.mux(packet)
    with VideoReader(path) as video:
        assert [f.index for f in video.frames()] == list(range(FRAMES))
        assert video.timeline.start[1] <= ticks(0.1)
        assert video.end == pytest.approx(ticks(FRAMES / 30), abs=ticks(0.1))
        assert "1 of 90 timestamps" in video.warnings[0]


def test_an_edit_list_that_leaves_no_frame_is_ignored(tmp_path):
    right = recording(tmp_path, options=NO_B_FRAMES)
    path = retimed(right, tmp_path / "a.mp4", moved(range(1), 10_800.0))  # the muxer lets the edit begin there
    warnings = check_every_frame_is_at_its_time(path, right)
    assert warnings[0] == "its edit list leaves no frame to show, so edit lists are ignored"


def test_wanted_frames_of_a_file_with_a_wrong_timestamp_equal_those_of_a_full_decode(tmp_path):
    right = recording(tmp_path)
    path = retimed(right, tmp_path / "a.mp4", moved(range(40, 41), 2.0))
    reference, wanted = decoded_frames(right), np.arange(3, FRAMES, 6)
    with VideoReader(path) as video:
        found = {f.index: f.rgb() for f in video.frames(wanted)}
    assert sorted(found) == wanted.tolist()
    assert all(np.array_equal(image, reference[n]) for n, image in found.items())


@pytest.mark.parametrize("options", [B_FRAMES, NO_B_FRAMES], ids=["b-frames", "no-b-frames"])
def test_a_pause_of_the_recording_stays(tmp_path, options):
    times = [*range(45), *range(45 + 18_000, 90 + 18_000)]
    path = write_media(tmp_path / "a.mp4", moving_bar(FRAMES), options=options, times=times)
    with VideoReader(path) as video:
        assert video.timeline.start.tolist() == [SECOND // 30 * t for t in times]
        assert [f.index for f in video.frames()] == list(range(FRAMES))
        assert video.warnings == []


def test_a_pause_before_the_last_frames_stays(tmp_path):
    times = [*range(86), *range(386, 390)]
    path = write_media(tmp_path / "a.mp4", moving_bar(FRAMES), options=B_FRAMES, times=times)
    with VideoReader(path) as video:
        assert video.timeline.start.tolist() == [SECOND // 30 * t for t in times]
        assert video.warnings == []


def test_a_last_frame_that_claims_to_last_for_hours_ends_with_the_audio(tmp_path):
    right = write_media(tmp_path / "a.mkv", moving_bar(30), options=NO_B_FRAMES, audio=tone_burst(44100, length=3.0))
    with av.open(str(right)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        packets[-1].duration = round(7200 / stream.time_base)
        index = FrameIndex.of(container, stream, packets, [], lambda: ticks(3))
        assert index.timeline.end[-1] == ticks(3)
        index = FrameIndex.of(container, stream, packets, warnings := [])
        assert index.timeline.end[-1] == pytest.approx(ticks(1), abs=ticks(0.1))
        assert "1 of 30 timestamps" in warnings[0]


@pytest.mark.parametrize("second", ["no times", "no pts", "own pts"])
def test_two_packets_for_the_fields_of_a_frame_are_one_frame(tmp_path, second):
    path = write_media(tmp_path / "a.ts", moving_bar(60), options=B_FRAMES)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fields = []
        for p in (p for p in container.demux(stream) if p.size):
            half = p.duration // 2
            pts = p.pts + half if second == "own pts" else None
            dts = None if second == "no times" else p.dts + half
            fields.append(SimpleNamespace(pts=p.pts, dts=p.dts, duration=half, is_corrupt=False, is_discard=False))
            fields.append(SimpleNamespace(pts=pts, dts=dts, duration=half, is_corrupt=False, is_discard=False))
        index = FrameIndex.of(container, stream, fields, warnings := [])
    assert index.paired
    assert index.timeline.start.tolist() == [SECOND // 30 * n for n in range(60)]
    assert warnings == []


def test_b_frames_packed_with_the_frames_before_them_are_all_read(tmp_path):
    single = write_media(
        tmp_path / "single.avi", moving_bar(30), codec="mpeg4", options={"bf": "1", "sc_threshold": "0"}
    )
    reference, path = decoded_frames(single), tmp_path / "packed.avi"
    empty_frame = bytes.fromhex("000001b6534f")
    with av.open(str(single)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        packets = [bytes(p) for p in read.demux(video=0) if p.size]
        kinds = [data[data.index(b"\0\0\1\xb6") + 4] >> 6 for data in packets]  # 2: B-frame
        assert 2 in kinds
        packets[0] = packets[0].replace(b"\0\0\1\xb6", b"\0\0\1\xb2DivX503b1393p\0\0\1\xb6", 1)  # p: packed
        for n, (data, kind) in enumerate(zip(packets, kinds, strict=True)):
            followed = kinds[n + 1 : n + 2] == [2]
            packet = av.Packet(empty_frame if kind == 2 else data + packets[n + 1] if followed else data)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, n, n, kind == 0
            packet.time_base = read.streams.video[0].time_base
            written.mux(packet)
    with VideoReader(path) as video:
        frames = list(video.frames())
        assert [f.index for f in frames] == list(range(30))
        assert all(np.array_equal(f.rgb(), r) for f, r in zip(frames, reference, strict=True))
        assert np.all(np.abs(np.diff(video.timeline.start) - SECOND // 30) <= 1)
        assert video.warnings == []


def test_reordered_packets_are_not_misplaced():
    presented = np.arange(200)
    order = np.concatenate([[0], *([n + 3, n + 1, n, n + 2] for n in range(1, 197, 4))])
    assert not len(misplaced(presented[order] * 1001, reordered=True))


def test_a_wrong_time_takes_the_free_place_among_its_neighbours():
    times = np.array([0, 3, 1, 2, 6, 4, 900, 9, 7, 8, 12, 10, 11, *range(13, 90)])
    wrong = misplaced(times, reordered=True)
    assert wrong.tolist() == [6]
    assert placed(times, wrong, reordered=True)[6] == 5


def test_consecutive_wrong_times_are_spread_between_their_neighbours():
    times = np.array([0, 10, 20, 900, 905, 910, 60, 70, *range(80, 900, 10)])
    wrong = misplaced(times, reordered=False)
    assert wrong.tolist() == [3, 4, 5]
    assert placed(times, wrong, reordered=False)[3:6].tolist() == [30, 40, 50]


def test_a_gap_of_a_day_is_closed_if_nothing_confirms_it():
    start = np.append(np.arange(30), np.arange(30) + 864_000) * SECOND
    assert unconfirmed(start, audio_end=None).tolist() == [29]
    assert not len(unconfirmed(np.arange(40) * 86_400 * SECOND, audio_end=None))


def test_the_length_of_the_last_frame_is_believed_as_far_as_the_audio_goes():
    start = np.array([0, SECOND])
    assert believable_length(ticks(7200), start, audio_end=ticks(61)) == ticks(60)
    assert believable_length(ticks(7200), start, audio_end=None) == 0
    assert believable_length(ticks(600), start, audio_end=None) == ticks(600)
