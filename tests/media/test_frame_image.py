"""What players show of a frame: square pixels, upright, SDR, on black, without combs, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from emofuse.media.frame_image import deinterlaced, oriented, turned
from emofuse.media.hdr import HDR_TRANSFERS, tone_mapped
from emofuse.media.video import VideoReader
from support.media_files import moving_bar, set_display_matrix, write_media


def disc(width: int, height: int, *, aspect: float = 1.0) -> np.ndarray:
    """A bright disc, squeezed so that it is round in pixels of the aspect ratio."""
    image = np.full((height, width, 3), 30, np.uint8)
    axes = (round(height * 0.4 / aspect), round(height * 0.4))
    cv2.ellipse(image, (width // 2, height // 2), axes, 0, 0, 360, (220, 200, 180), -1)
    return image


def extent(image: np.ndarray) -> tuple[int, int]:
    """Width and height of the bright part."""
    bright = image[:, :, 0] > 120
    return int(bright.any(axis=0).sum()), int(bright.any(axis=1).sum())


def encode(path: Path, parts: Sequence[Sequence[np.ndarray | av.VideoFrame]], **settings: Any) -> Path:
    """A file whose parts come from encoders of their own, one after the other, as a stream that changes on the way.

    settings: a value for all parts, or a list with one for each: codec, pix_fmt, aspect, options, container_aspect.
    """

    def setting(name: str, part: int, default: Any) -> Any:
        value = settings.get(name, default)
        return value[part] if isinstance(value, list) else value

    codec = settings.get("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec}")
    n = 0
    with av.open(str(path), "w") as container:
        stream = None
        for k, part in enumerate(parts):
            frames = [
                f if isinstance(f, av.VideoFrame) else av.VideoFrame.from_ndarray(f, format="rgb24") for f in part
            ]
            context = av.CodecContext.create(codec, "w")
            context.width, context.height = frames[0].width, frames[0].height
            context.pix_fmt = setting("pix_fmt", k, "yuv420p")
            context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
            context.options = {"bf": "0", **setting("options", k, {})}
            if aspect := setting("aspect", k, None):
                context.sample_aspect_ratio = aspect
            if stream is None:
                stream = container.add_stream(codec, rate=30)
                stream.width, stream.height, stream.pix_fmt = context.width, context.height, context.pix_fmt
                stream.codec_context.options = {"bf": "0"}
                if aspect := settings.get("container_aspect", aspect):
                    stream.codec_context.sample_aspect_ratio = aspect
                container.start_encoding()
            for frame in [*frames, None]:
                if frame is not None:
                    frame.pts, n = n, n + 1
                    frame.time_base = Fraction(1, 30)
                for packet in context.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
    return path


def images(path: Path) -> tuple[list[np.ndarray], list[str]]:
    with VideoReader(path) as video:
        found = [frame.rgb() for frame in video.frames()]
        return found, video.warnings


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(32, 11), Fraction(10, 11), Fraction(1, 2)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_pixels_that_are_not_square_are_stretched(tmp_path, name, aspect):
    path = encode(tmp_path / name, [[disc(288, 96, aspect=float(aspect))] * 12], aspect=aspect)
    found, warnings = images(path)
    width, height = extent(found[0])
    assert width == pytest.approx(height, rel=0.06)
    assert found[0].shape[0] >= 96
    assert found[0].shape[1] >= 288
    assert warnings == []
    with VideoReader(path) as video:
        assert (video.info.height, video.info.width) == found[0].shape[:2]


def test_the_aspect_ratio_of_pixels_may_change_on_the_way(tmp_path):
    parts = [[disc(96, 64, aspect=4 / 3)] * 8, [disc(96, 64, aspect=2)] * 8]
    found, _ = images(encode(tmp_path / "a.ts", parts, aspect=[Fraction(4, 3), Fraction(2)]))
    assert [image.shape for image in found] == [(64, 128, 3)] * 8 + [(64, 192, 3)] * 8
    assert all(np.ptp(extent(image)) <= 3 for image in found)


def test_pixels_that_cannot_be_true_are_counted_and_taken_as_square(tmp_path):
    found, warnings = images(encode(tmp_path / "a.mp4", [[disc(96, 64)] * 5], aspect=Fraction(20)))
    assert found[0].shape == (64, 96, 3)
    assert warnings == ["pixels of 20:1 cannot be true (frames: 5): square pixels were assumed"]


def test_square_pixels_are_made_before_the_frame_is_turned(tmp_path):
    path = encode(tmp_path / "a.mp4", [[disc(96, 64, aspect=1.5)] * 3], aspect=Fraction(3, 2))
    set_display_matrix(path, (0, 1, -1, 0))
    found, _ = images(path)
    assert found[0].shape == (144, 64, 3)
    assert np.ptp(extent(found[0])) <= 3


UPRIGHT, SIDEWAYS = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)], [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("matrix", UPRIGHT + SIDEWAYS)
def test_a_turn_follows_the_display_matrix(matrix, turn):
    image = np.arange(6).reshape(2, 3)
    expected = np.rot90(oriented(image, matrix), -turn // 90)
    assert np.array_equal(oriented(image, turned(matrix, turn)), expected)


def test_a_turned_video_has_the_size_and_rotation_of_its_frames(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(4, 64, 48))
    set_display_matrix(path, (0, 1, -1, 0))
    with VideoReader(path) as video:
        upright = [frame.rgb() for frame in video.frames()]
        for turn, rotation, size in ((90, 180, (64, 48)), (180, 0, (64, 48)), (90, 90, (48, 64))):
            video.turn(turn)
            assert (video.info.rotation, video.info.width, video.info.height) == (rotation, *size)
            for before, frame in zip(upright, video.frames(), strict=True):
                assert np.array_equal(frame.rgb(), np.rot90(before, -(rotation - 90) // 90))


def test_frames_of_each_size_are_returned_in_their_own(tmp_path):
    parts = [[disc(96, 64)] * 4, [disc(48, 32)] * 4, [disc(64, 96)] * 4]
    found, warnings = images(encode(tmp_path / "a.ts", parts))
    assert [image.shape[:2] for image in found] == [(64, 96)] * 4 + [(32, 48)] * 4 + [(96, 64)] * 4
    assert warnings == []


def test_rotation_that_changes_on_the_way_holds_from_key_frame_to_key_frame(tmp_path):
    """The encoder states the rotation with its key frames alone; key frames may be among those that are left out."""
    image = moving_bar(1, 96, 64)[0]
    path = encode(tmp_path / "a.ts", [[image] * 20, [np.rot90(image, -1).copy()] * 20, [image] * 20])
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.ts"), "w") as target:
        stream, sideways = target.add_stream_from_template(source.streams.video[0]), False
        turn = av.BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=90", source.streams.video[0])
        for n, packet in enumerate(p for p in source.demux(video=0) if p.size):
            sideways = 20 <= n < 40
            for kept in turn.filter(packet) if sideways else [packet]:
                kept.stream = stream
                target.mux(kept)
    with VideoReader(tmp_path / "b.ts") as video:
        for wanted in (None, np.arange(5, 60, 6)):
            for frame in video.frames(wanted):
                found = frame.rgb()
                assert found.shape == image.shape
                assert np.abs(found.astype(int) - image).mean() < 8


@pytest.mark.parametrize("matrix", ["YCgCo", "bt2020c", "smpte2085", "chroma-derived-nc", "ICtCp"])
def test_a_colour_matrix_that_cannot_be_converted_is_replaced_and_counted(tmp_path, matrix):
    plain = encode(tmp_path / "plain.mp4", [moving_bar(4)])
    frames = [av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p") for image in moving_bar(4)]
    tagged = encode(tmp_path / "a.ts", [frames], options={"x264-params": f"colormatrix={matrix}"})
    found, warnings = images(tagged)
    assert len(warnings) == 1
    assert warnings[0].startswith("the colour matrix ")
    assert "cannot be converted (frames: 4)" in warnings[0]
    for image, reference in zip(found, images(plain)[0], strict=True):
        assert np.abs(image.astype(int) - reference).mean() < 8


def test_transparent_parts_are_black(tmp_path):
    image = np.full((32, 48, 4), 200, np.uint8)
    image[:, :16, 3], image[:, 16:32, 3], image[:, 32:, 3] = 0, 128, 255
    path = encode(tmp_path / "a.mov", [[av.VideoFrame.from_ndarray(image, format="rgba")]], codec="png", pix_fmt="rgba")
    (found,), _ = images(path)
    assert found[0, [5, 20, 40]].tolist() == [[0] * 3, [100] * 3, [200] * 3]


def test_opaque_frames_with_alpha_keep_their_bytes(tmp_path):
    image = np.dstack([disc(48, 32), np.full((32, 48), 255, np.uint8)])
    path = encode(tmp_path / "a.mov", [[av.VideoFrame.from_ndarray(image, format="rgba")]], codec="png", pix_fmt="rgba")
    (found,), _ = images(path)
    assert np.array_equal(found, disc(48, 32))


def test_combs_of_interlaced_frames_are_removed_where_something_moves():
    first, second = moving_bar(2, 64, 48)
    second = np.roll(first, 6, axis=1)
    woven = first.copy()
    woven[1::2] = second[1::2]
    repaired = deinterlaced(woven)
    assert np.abs(repaired.astype(int) - first).mean() < 0.2 * np.abs(woven.astype(int) - first).mean()
    assert np.array_equal(repaired[::2], first[::2])
    assert np.array_equal(deinterlaced(first), first)  # nothing moves
    assert deinterlaced(first[:1]).shape == (1, 64, 3)
    assert deinterlaced(woven[:47]).shape == (47, 64, 3)


def test_only_frames_that_are_tagged_as_interlaced_are_deinterlaced(tmp_path):
    first = disc(96, 64)
    woven = first.copy()
    woven[1::2] = np.roll(first, 9, axis=1)[1::2]
    expected = {"progressive": woven, "interlaced": first}
    for name, options in {"progressive": {}, "interlaced": {"flags": "+ildct+ilme", "x264-params": "tff=1"}}.items():
        path = encode(tmp_path / f"{name}.mp4", [[woven] * 2], options={"qp": "10", **options})
        found = images(path)[0][0].astype(int)
        assert np.abs(found - expected[name]).mean() < 4


@pytest.mark.parametrize("tag", [16, 18])
def test_hdr_of_an_sdr_image_is_the_sdr_image(tag):
    """SDR at 100 nits, encoded with the transfer and back: nothing is left of HDR's darkness or paleness."""
    rng = np.random.default_rng(0)
    sdr = cv2.GaussianBlur(rng.integers(0, 256, (90, 160, 3), np.uint8), (0, 0), 3)
    sdr = cv2.normalize(sdr, None, 0, 255, cv2.NORM_MINMAX)
    to_bt2020 = np.array(
        [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
    )
    light = (sdr / 255.0) ** 2.4 @ to_bt2020.T  # hundreds of nits
    codes = np.arange(65536) / 65535
    if tag == 18:  # scene light of a display of 1000 nits
        luminance = (light @ [0.2627, 0.6780, 0.0593]) / 10
        light = light / 10 * np.maximum(luminance, 1e-9)[:, :, None] ** (1 / 1.2 - 1)
    encoded = np.searchsorted(HDR_TRANSFERS[tag].light(codes), light).astype(np.uint16)
    found = tone_mapped(encoded, HDR_TRANSFERS[tag])
    assert np.abs(found.astype(int) - sdr).mean() < 1.5


def test_highlights_of_hdr_stay_below_white_and_in_order():
    nits = np.linspace(0, 1000, 10_000).reshape(100, 100)
    codes = np.arange(65536) / 65535
    grey = np.searchsorted(HDR_TRANSFERS[16].light(codes), nits / 100).astype(np.uint16)
    found = tone_mapped(np.dstack([grey] * 3), HDR_TRANSFERS[16]).reshape(-1, 3)[:, 0].astype(int)
    assert np.all(np.diff(found) >= 0)
    assert 250 <= found[-1] <= 255
    assert found[6000] < 255
    at = int(np.searchsorted(nits.ravel(), 203 * 0.18))  # mid grey under a white of 203 nits
    assert found[at] == pytest.approx(255 * 0.18 ** (1 / 2.4), abs=4)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx264", "yuv420p10le", "mp4"),
        ("libx264", "yuv422p", "mp4"),
        ("libx264", "yuv444p", "mp4"),
        ("ffv1", "gray", "mkv"),
        ("libx264", "yuvj420p", "mp4"),
        ("ffv1", "yuv411p", "avi"),
        ("ffv1", "yuv410p", "avi"),
        ("ffv1", "gray16le", "mkv"),
        ("ffv1", "yuva444p", "mkv"),
        ("ffv1", "bgr0", "mkv"),
        ("rawvideo", "rgb555le", "avi"),
        ("rawvideo", "uyvy422", "mov"),
        ("prores_ks", "yuva444p10le", "mov"),
        ("qtrle", "argb", "mov"),
        ("gif", "rgb8", "gif"),
    ],
)
def test_every_pixel_format_has_the_right_colours(tmp_path, codec, pix_fmt, suffix):
    image = disc(96, 64)
    (found, *_), warnings = images(encode(tmp_path / f"a.{suffix}", [[image] * 2], codec=codec, pix_fmt=pix_fmt))
    expected = image.astype(int)
    if "gray" in pix_fmt:
        expected = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2).astype(int)
    level = {"rgb8": 20, "rgb555le": 8}.get(pix_fmt, 6)
    assert np.abs(found - expected).mean() < level
    assert warnings == []


@pytest.mark.parametrize("size", [(33, 17), (3, 5), (1, 1)])
def test_odd_sizes_keep_every_pixel(tmp_path, size):
    image = np.full((size[1], size[0], 3), 120, np.uint8)
    found, _ = images(write_media(tmp_path / "a.mkv", [image] * 2, codec="ffv1", pix_fmt="bgr0"))
    assert np.array_equal(found[0], image)


def test_a_palette_has_the_right_colours(tmp_path):
    palette = np.zeros((256, 4), np.uint8)  # alpha, red, green, blue
    palette[3], palette[7] = (255, 200, 40, 10), (255, 20, 90, 160)
    numbers = np.full((32, 48), 3, np.uint8)
    numbers[:, 24:] = 7
    frame = av.VideoFrame.from_ndarray((numbers, palette), format="pal8")
    (found,), _ = images(encode(tmp_path / "a.mov", [[frame]], codec="png", pix_fmt="pal8"))
    assert found[0, [3, 40]].tolist() == [[200, 40, 10], [20, 90, 160]]


@pytest.mark.parametrize("still_first", [True, False])
def test_of_several_video_streams_the_one_that_is_processed_is_named(tmp_path, still_first):
    path, image = tmp_path / "a.mkv", disc(96, 64)
    kinds = [("mjpeg", "yuvj420p", 1), ("libx264", "yuv420p", 12)]
    with av.open(str(path), "w") as container:
        streams = []
        for codec, pix_fmt, n in kinds if still_first else kinds[::-1]:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
            streams.append((stream, n))
        for stream, n in streams:
            frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for _ in range(n)]
            for packets in [*map(stream.encode, frames), stream.encode(None)]:
                container.mux(packets)
    with VideoReader(path) as video:
        assert video.info.codec == "h264"
        assert len(video.timeline) == 12
        index = 1 if still_first else 0
        assert video.warnings == [f"has 2 video streams: only stream {index} (h264, 96x64) was processed"]
