"""Small video and audio files, encoded for each test."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

B_FRAMES = {"x264-params": "bframes=3:b-adapt=0:b-pyramid=none:scenecut=0:keyint=24"}


def moving_bar(n: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames that all differ: a bright bar that moves over a background of changing grey."""
    frames = []
    for i in range(n):
        image = np.full((height, width, 3), 20 + i * 5 % 150, np.uint8)
        image[:, (i * 3) % width :][:, :8] = (250, 60, 60)
        frames.append(image)
    return frames


def tone_burst(rate: int, *, at: float = 0.5, length: float = 1.0) -> np.ndarray:
    """Silence with a 30 ms burst of a 1 kHz tone centred at `at` seconds; float32 [n]."""
    t = np.arange(round(rate * length)) / rate - at
    tone = 0.8 * np.cos(2 * np.pi * 1000 * t) * np.cos(np.pi * t / 0.03) ** 2
    return np.where(np.abs(t) < 0.015, tone, 0).astype(np.float32)


def write_media(
    path: Path,
    frames: Sequence[np.ndarray] = (),
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 30),
    rate: Fraction = Fraction(30),
    options: dict[str, str] | None = None,
    audio: np.ndarray | None = None,
    audio_codec: str = "aac",
    audio_rate: int = 44100,
    audio_start: float = 0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A file of frames (one size) and/or audio: float [channels, n] or [n]. `times` are pts in `time_base`."""
    for name, used in ((codec, len(frames) > 0), (audio_codec, audio is not None)):
        if used and name not in av.codecs_available:
            pytest.skip(f"this build of PyAV has no {name}")
    with av.open(str(path), "w", options=container_options or {}) as container:
        packets = []
        if len(frames):
            stream = container.add_stream(codec, rate=rate, options=dict(options or {}))
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = time_base
        if audio is not None:
            layout = "mono" if audio.ndim == 1 else "stereo"
            audio_stream = container.add_stream(audio_codec, rate=audio_rate, layout=layout)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i if times is None else times[i], time_base
            packets += stream.encode(frame)
        if len(frames):
            packets += stream.encode(None)
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(np.atleast_2d(audio), np.float32),
                format="fltp",
                layout=layout,
            )
            frame.sample_rate, frame.time_base = audio_rate, Fraction(1, audio_rate)
            frame.pts = round(audio_start * audio_rate)
            packets += audio_stream.encode(frame) + audio_stream.encode(None)
        for packet in packets:
            container.mux(packet)
    return path


def write_pcm(
    path: Path,
    pieces: Sequence[tuple[float, np.ndarray]],
    *,
    rate: int = 16000,
    layout: str | av.AudioLayout = "mono",
    frames: Sequence[np.ndarray] = (),
    times: Sequence[int] | None = None,
) -> Path:
    """PCM, one packet for each piece, [n] or [n, channels], with its start time in seconds, which need not follow from
    the samples before it; with video if there are `frames`, whose `times` are in thirtieths of a second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=30) if len(frames) else None
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        if video is not None:
            video.height, video.width = frames[0].shape[:2]
            video.codec_context.time_base = Fraction(1, 30)
            for i, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i if times is None else times[i], Fraction(1, 30)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        for n, (start, samples) in enumerate(pieces):
            packet = av.Packet((samples * 32767).astype("<i2").tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts, packet.dts = round(start * 1000), n
            packet.duration = round(len(samples) / rate * 1000)
            container.mux(packet)
    return path


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Overwrite the display matrix (a, b, c, d) in the track header of an MP4, as cameras write it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (v << 16 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def decoded_frames(path: Path) -> list[np.ndarray]:
    """RGB of every frame, decoded by PyAV in one thread, packet by packet; errors are ignored."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        for packet in container.demux(stream):
            try:
                frames += [frame.to_ndarray(format="rgb24") for frame in packet.decode()]
            except av.error.FFmpegError:
                continue
    return frames
