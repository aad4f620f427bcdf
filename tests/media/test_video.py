"""The video reader on small files encoded for each test; the reference is PyAV decoding packet by packet."""

from __future__ import annotations

import gc
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.errors import MediaError, ShapeError
from emofuse.media.audio import AudioReader
from emofuse.media.container import MediaFile
from emofuse.media.video import Frame, VideoReader
from support.media_files import B_FRAMES, decoded_frames, moving_bar, set_display_matrix, tone_burst, write_media

SECOND = TICKS_PER_SECOND
DATA = Path(os.environ.get("EMOFUSE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
KINDS = [
    ("h264.mp4", "libx264", B_FRAMES),
    ("h264.mkv", "libx264", B_FRAMES),
    ("h264.avi", "libx264", B_FRAMES),
    ("h264.ts", "libx264", B_FRAMES),
    ("h264.flv", "libx264", B_FRAMES),
    ("raw.h264", "libx264", B_FRAMES),
    ("hevc.mp4", "libx265", {"x265-params": "log-level=none"}),
    ("mpeg4.mp4", "mpeg4", {"bf": "2"}),
    ("mpeg4.avi", "mpeg4", {"bf": "2"}),
    ("mpeg2.ts", "mpeg2video", {"bf": "2"}),
    ("mpeg1.mpg", "mpeg1video", {}),
    ("mjpeg.avi", "mjpeg", {}),
    ("vp8.webm", "libvpx", {"deadline": "realtime"}),
    ("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ("wmv2.wmv", "wmv2", {}),
]


def read(path, wanted=None):
    with VideoReader(path) as video:
        return [(frame.index, frame.rgb()) for frame in video.frames(wanted)]


@pytest.mark.parametrize(("name", "codec", "options"), KINDS, ids=[k[0] for k in KINDS])
def test_the_timeline_has_one_interval_for_each_frame_that_decodes(tmp_path, name, codec, options):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_media(tmp_path / name, moving_bar(25), codec=codec, pix_fmt=pix_fmt, options=options)
    reference = decoded_frames(path)
    with VideoReader(path) as video:
        frames = list(video.frames())
        assert len(reference) == len(video.timeline) == 25
        assert [f.index for f in frames] == list(range(25))
        assert all(np.array_equal(f.rgb(), r) for f, r in zip(frames, reference, strict=True))
        assert [(f.start, f.end) for f in frames] == list(video.timeline)
        assert video.warnings == []
        assert video.end == video.timeline.end[-1]
        # A few milliseconds of rounding in Matroska, FLV and ASF; MPEG-4 in AVI is shown one frame after its dts.
        assert np.all(np.abs(np.diff(video.timeline.start) - SECOND // 30) <= ticks(0.001))
        assert video.end == pytest.approx(ticks(25 / 30), abs=ticks(0.035))


def test_constant_rate_times_are_exact_to_the_tick(tmp_path):
    path = write_media(
        tmp_path / "a.mp4",
        moving_bar(12),
        options=B_FRAMES,
        time_base=Fraction(1, 30000),
        times=[1001 * i for i in range(12)],
        rate=Fraction(30000, 1001),
    )
    with VideoReader(path) as video:
        assert video.timeline.start.tolist() == [23543520 * i for i in range(12)]
        assert video.end == 12 * 23543520


def test_variable_rate_frames_last_until_the_next_one(tmp_path):
    times = [0, 1, 4, 5, 6, 30, 31, 60, 61, 65]
    path = write_media(tmp_path / "a.mp4", moving_bar(10), options=B_FRAMES, times=times)
    with VideoReader(path) as video:
        assert video.timeline.start.tolist() == [SECOND // 30 * t for t in times]
        assert video.timeline.end[:-1].tolist() == video.timeline.start[1:].tolist()


@pytest.mark.parametrize("every", [1, 2, 3, 7, 29])
@pytest.mark.parametrize(("name", "codec", "options"), KINDS[:7], ids=[k[0] for k in KINDS[:7]])
def test_wanted_frames_equal_those_of_a_full_decode(tmp_path, name, codec, options, every):
    path = write_media(tmp_path / name, moving_bar(30), codec=codec, options=options)
    reference, wanted = decoded_frames(path), np.arange(every // 2, 30, every)
    found = read(path, wanted)
    assert [i for i, _ in found] == wanted.tolist()
    assert all(np.array_equal(image, reference[i]) for i, image in found)


def test_wanted_frames_of_variable_rate_equal_those_of_a_full_decode(tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, 40)).tolist()
    path = write_media(tmp_path / "a.mp4", moving_bar(40), options=B_FRAMES, times=times)
    reference, wanted = decoded_frames(path), np.array([1, 2, 6, 17, 18, 33, 39])
    found = read(path, wanted)
    assert [i for i, _ in found] == wanted.tolist()
    assert all(np.array_equal(image, reference[i]) for i, image in found)


def test_an_empty_list_of_wanted_frames_yields_none(tmp_path):
    assert read(write_media(tmp_path / "a.mp4", moving_bar(3)), np.empty(0, np.int64)) == []


@pytest.mark.parametrize("wanted", [[3, 2], [2, 2], [-1], [5]])
def test_wanted_frames_out_of_order_or_range_are_refused(tmp_path, wanted):
    path = write_media(tmp_path / "a.mp4", moving_bar(5))
    with pytest.raises(ShapeError, match="increasing indices from 0 to 4"):
        read(path, np.array(wanted))


def test_a_file_can_be_iterated_twice_at_the_same_time(tmp_path):
    with VideoReader(write_media(tmp_path / "a.mp4", moving_bar(6))) as video:
        pairs = zip(video.frames(), video.frames(), strict=True)
        assert [(a.index, b.index) for a, b in pairs] == [(i, i) for i in range(6)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_media_file_is_opened_once_for_video_and_once_for_audio(tmp_path, monkeypatch, name):
    path = write_media(tmp_path / name, moving_bar(30), options=B_FRAMES, audio=tone_burst(44100))
    opened, av_open = [], av.open
    monkeypatch.setattr(
        "av.open", lambda file, *args, **options: opened.append(file) or av_open(file, *args, **options)
    )
    with MediaFile(path) as file:
        with VideoReader(file) as video:
            assert len(list(video.frames())) == 30
        with AudioReader(file) as audio:
            assert sum(len(block.samples) for block in audio.blocks()) >= 16_000
    assert opened == [str(path)] * 2


def test_closing_the_reader_ends_its_iterations(tmp_path):
    with VideoReader(write_media(tmp_path / "a.mp4", moving_bar(6))) as video:
        frames = video.frames()
        next(frames)
    assert list(frames) == []


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("libx264", "yuv420p", (16, 16)),
        ("libx264", "yuv444p", (33, 17)),
        ("libx264", "yuv420p10le", (64, 48)),
        ("ffv1", "gray", (64, 48)),
        ("ffv1", "yuv420p", (33, 17)),
        ("ffv1", "gray10le", (33, 17)),
        ("ffv1", "bgr0", (33, 17)),
        ("ffv1", "yuv422p10le", (40, 17)),
    ],
)
def test_frames_of_any_size_and_pixel_format_become_rgb(tmp_path, codec, pix_fmt, size):
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[height // 2 :, width // 2 :] = (200, 40, 40), (230, 230, 230)
    options = {"qp": "1"} if codec == "libx264" else {}
    path = write_media(tmp_path / "a.mkv", [image] * 3, codec=codec, pix_fmt=pix_fmt, options=options)
    found = read(path)
    assert len(found) == 3
    assert all(p.shape == (height, width, 3) and p.dtype == np.uint8 and p.flags.c_contiguous for _, p in found)
    expected = image.astype(float)
    if pix_fmt.startswith("gray"):
        expected[:] = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    middle_of_quarters = np.ix_([height // 4, 3 * height // 4], [width // 4, 3 * width // 4])
    assert np.abs(found[1][1][middle_of_quarters] - expected[middle_of_quarters]).max() <= 6


def test_full_range_frames_keep_their_grey_levels(tmp_path):
    grey = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    path = write_media(tmp_path / "a.mp4", [grey], pix_fmt="yuvj420p", options={"qp": "1"})
    assert np.abs(read(path)[0][1].astype(int) - grey).max() <= 2


def test_a_video_of_one_frame_lasts_as_long_as_that_frame(tmp_path):
    with VideoReader(write_media(tmp_path / "a.mp4", moving_bar(1))) as video:
        assert list(video.timeline) == [(0, SECOND // 30)]
        assert [f.index for f in video.frames()] == [0]


# Matrices as phones write them, and the clockwise quarter turns that players apply (QuickTime file format).
@pytest.mark.parametrize(
    ("matrix", "turns"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)]
)
def test_rotated_videos_are_upright(tmp_path, matrix, turns):
    path = write_media(tmp_path / "a.mp4", moving_bar(2), options={"qp": "1"})
    stored = decoded_frames(path)[1]
    set_display_matrix(path, matrix)
    with VideoReader(path) as video:
        upright = [f.rgb() for f in video.frames()][1]
        assert np.array_equal(upright, np.rot90(stored, -turns))
        assert upright.flags.c_contiguous
        assert (video.info.height, video.info.width) == upright.shape[:2]
        assert video.info.rotation == 90 * turns


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [((-1, 0, 0, 1), np.fliplr), ((1, 0, 0, -1), np.flipud), ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1))],
)
def test_mirrored_videos_are_mirrored_back(tmp_path, matrix, expected):
    path = write_media(tmp_path / "a.mp4", moving_bar(2))
    stored = decoded_frames(path)[1]
    set_display_matrix(path, matrix)
    assert np.array_equal(read(path)[1][1], expected(stored))


def test_the_rotation_sign_agrees_with_pyav(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(90)  # counterclockwise
        container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_bar(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    with VideoReader(path) as video:
        assert (video.info.width, video.info.height, video.info.rotation) == (48, 64, 270)


def test_info_has_size_rotation_rate_codec_and_audio(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(30), audio=tone_burst(44100))
    with VideoReader(path) as video:
        info = video.info
    assert (info.width, info.height, info.rotation, info.rate_hz) == (64, 48, 0, 30)
    assert (info.codec, info.has_audio) == ("h264", True)


def test_time_zero_is_the_earliest_start_of_video_or_audio(tmp_path):
    late = [12 + i for i in range(20)]
    path = write_media(tmp_path / "a.mkv", moving_bar(20), times=late, audio=tone_burst(44100), audio_codec="pcm_s16le")
    with VideoReader(path) as video:
        assert video.timeline.start[0] == ticks(Fraction(4, 10))


def test_a_video_without_audio_begins_at_zero_whatever_its_first_timestamp(tmp_path):
    path = write_media(tmp_path / "a.ts", moving_bar(10), times=[3000 + i for i in range(10)])
    with VideoReader(path) as video:
        assert video.timeline.start[0] == 0


def test_frames_with_equal_timestamps_have_separate_intervals(tmp_path):
    # Matroska rounds to milliseconds, so two or three of these frames share each timestamp.
    frames = moving_bar(20)
    path = write_media(
        tmp_path / "a.mkv", frames, codec="mjpeg", pix_fmt="yuvj420p", time_base=Fraction(1, 2500), times=range(20)
    )
    with VideoReader(path) as video:
        assert len(video.timeline) == 20
        assert [f.index for f in video.frames()] == list(range(20))
        assert 1 in np.diff(video.timeline.start)
    found, reference = read(path, np.array([3, 4, 11])), decoded_frames(path)
    assert [i for i, _ in found] == [3, 4, 11]
    assert all(np.array_equal(image, reference[i]) for i, image in found)


def test_joined_recordings_whose_clock_restarts_are_read_in_full(tmp_path):
    single = write_media(tmp_path / "single.ts", moving_bar(60), options=B_FRAMES).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(single + single)
    with VideoReader(path) as video:
        assert [f.index for f in video.frames()] == list(range(120))
        assert video.end == ticks(4)
        assert "clock of the file restarts" in video.warnings[0]


def test_frames_before_the_start_of_an_edit_are_not_counted(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(20), codec="mpeg4", times=[i - 5 for i in range(20)])
    reference = decoded_frames(path)
    with VideoReader(path) as video:
        frames = list(video.frames())
        assert len(video.timeline) == len(frames) == len(reference) == 15
        assert video.timeline.start[0] == 0
        assert all(np.array_equal(f.rgb(), r) for f, r in zip(frames, reference, strict=True))


def test_a_cut_off_file_yields_its_frames_and_a_warning(tmp_path):
    frames = moving_bar(90)
    path = write_media(tmp_path / "a.mp4", frames, options=B_FRAMES, container_options={"movflags": "faststart"})
    data, whole = path.read_bytes(), decoded_frames(path)
    path.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    reference = decoded_frames(path)
    with VideoReader(path) as video:
        frames = list(video.frames())
        assert 10 < len(frames) == len(reference) < 90
        assert all(np.array_equal(f.rgb(), r) for f, r in zip(frames, reference, strict=True))
        # B-frames behind the cut leave a gap before the last frame, which keeps its time.
        assert all(np.array_equal(f.rgb(), whole[f.start * 30 // SECOND]) for f in frames[:-1])
        assert "the header promises 3.0 s: the file is cut off" in video.warnings[0]


def test_damaged_frames_do_not_change_the_times_of_the_others(tmp_path):
    path = write_media(tmp_path / "a.mkv", moving_bar(30), codec="ffv1", options={"slicecrc": "1"}, pix_fmt="yuv420p")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        broken = [p for p in container.demux(video=0) if p.size][10:12]
        for packet in broken:
            at = data.index(bytes(packet))
            data[at : at + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    with VideoReader(path) as video:
        found = {f.index: f.rgb() for f in video.frames()}
        assert sorted(found) == [i for i in range(30) if i not in (10, 11)]
        assert video.warnings == ["2 of 30 frames could not be decoded"]
        assert [f.index for f in video.frames(np.array([9, 10, 12]))] == [9, 12]
        assert "1 of 3 frames could not be decoded" in video.warnings
    assert np.abs(found[12].astype(int) - moving_bar(30)[12]).mean() < 8


def test_libav_prints_nothing_about_damaged_data(tmp_path, capfd):
    path = write_media(tmp_path / "a.mp4", moving_bar(40), options=B_FRAMES)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 1200
    data[start : start + 300] = bytes(range(100)) * 3
    path.write_bytes(data)
    capfd.readouterr()
    read(path)
    assert capfd.readouterr() == ("", "")


def reports(error: pytest.ExceptionInfo[MediaError], path: Path, *words: str) -> bool:
    text = str(error.value)
    return "\n" not in text and text.startswith(f"{path}: ") and all(word in text for word in words)


def kinds_of_streams(path: Path) -> tuple[bool, bool]:
    with MediaFile(path) as file:
        return file.has_video, file.has_audio


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MediaError) as error:
        VideoReader(tmp_path / "gone.mp4")
    assert reports(error, tmp_path / "gone.mp4", "no such file")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(MediaError) as error:
        VideoReader(tmp_path)
    assert reports(error, tmp_path, "is a folder")


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "empty (0 bytes)")


def test_a_text_file_named_mp4_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("Dear diary, this is not a video.\n" * 100)
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "is not a video or audio file")


def test_an_unfinished_recording_lacks_its_index(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(30))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "index (moov) is missing", "untrunc")


def test_a_file_cut_off_within_its_index_lacks_it(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(30))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") + 200])
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "index (moov) is missing")


def test_an_audio_file_has_no_video(tmp_path):
    path = write_media(tmp_path / "a.wav", audio=tone_burst(44100), audio_codec="pcm_s16le")
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "only audio")


def test_cover_art_is_not_video(tmp_path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        audio, cover = container.add_stream("libmp3lame", rate=44100, layout="mono"), container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        cover.codec_context.time_base = Fraction(1, 30)
        image = av.VideoFrame.from_ndarray(moving_bar(1)[0], format="rgb24")
        samples = av.AudioFrame.from_ndarray(tone_burst(44100)[None], format="fltp", layout="mono")
        samples.sample_rate = 44100
        for packet in [*cover.encode(image), *cover.encode(None), *audio.encode(samples), *audio.encode(None)]:
            container.mux(packet)
    assert len(av.open(str(path)).streams.video) == 1
    assert kinds_of_streams(path) == (False, True)
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "only audio")


def test_a_video_of_which_no_frame_decodes_is_refused(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(5))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - start)
    path.write_bytes(data)
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "no frame of its video can be decoded")


def test_a_file_without_read_permission_is_refused(tmp_path, monkeypatch):
    path = write_media(tmp_path / "a.mp4", moving_bar(2))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, whom chmod does not restrict
    with pytest.raises(MediaError) as error:
        VideoReader(path)
    assert reports(error, path, "no permission", "chmod")


def test_a_line_break_in_a_name_does_not_break_the_message(tmp_path):
    with pytest.raises(MediaError) as error:
        VideoReader(tmp_path / "two\nlines.mp4")
    assert "\n" not in str(error.value)


def test_a_media_file_knows_its_streams(tmp_path):
    both = write_media(tmp_path / "both.mp4", moving_bar(3), audio=tone_burst(44100))
    silent = write_media(tmp_path / "silent.mp4", moving_bar(3))
    assert (kinds_of_streams(both), kinds_of_streams(silent)) == ((True, True), (True, False))


def test_a_frame_from_memory_returns_its_image():
    image = moving_bar(1)[0]
    frame = Frame.from_rgb(image, index=3, start=10, end=20)
    assert (frame.index, frame.start, frame.end) == (3, 10, 20)
    assert np.array_equal(frame.rgb(), image)


def test_a_frame_from_memory_must_be_rgb():
    with pytest.raises(ShapeError, match=r"^Frame: .* give RGB, uint8"):
        Frame.from_rgb(np.zeros((4, 4)), index=0, start=0, end=1)


def test_real_clips_have_as_many_frames_as_their_timeline():
    clips = sorted((DATA / "clips").glob("*.mp4"))[::24]
    if not clips:
        pytest.skip(f"no real clips in {DATA}; set EMOFUSE_TEST_DATA")
    for path in clips:
        with VideoReader(path) as video:
            assert [f.index for f in video.frames()] == list(range(len(video.timeline)))
            assert video.warnings == []


def test_frames_are_freed_without_the_garbage_collector(tmp_path):
    path = write_media(tmp_path / "v.mp4", moving_bar(30))
    gc.collect()
    gc.disable()
    try:
        with VideoReader(path) as reader:
            for frame in reader.frames():
                frame.rgb()
            waiting = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert waiting <= 3  # the current one, and the first one of each pass, whose orientation was read
