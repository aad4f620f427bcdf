"""A clip as Chromium's camera and microphone, which repeat it, and where in the clip a session began."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.signal import correlate, resample_poly

SMALL = (48, 36)  # of the images that are compared
AUDIO_RATE_HZ = 8000  # of the audio that is compared
MOST_DRIFT_SECONDS = 1.0
FRAME, AUDIO = 1, 2


@dataclass(frozen=True)
class Capture:
    """What the fake devices play: a video without audio, and audio, of equal length in seconds."""

    video: Path
    audio: Path
    seconds: float

    @property
    def options(self) -> tuple[str, ...]:
        """Options of Chromium."""
        return (
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={self.video}",
            f"--use-file-for-fake-audio-capture={self.audio}",
        )


def capture_of(clips: Sequence[Path], folder: Path, *, video: str = "null") -> Capture:
    """Clips one after the other, with a filter of ffmpeg for the video."""
    inputs = [word for clip in clips for word in ("-i", str(clip))]
    streams = "".join(f"[{n}:v][{n}:a]" for n in range(len(clips)))
    joined = f"{streams}concat=n={len(clips)}:v=1:a=1[joined][sound];[joined]{video}[shown]"
    made = folder / "joined.mkv"
    run_ffmpeg(*inputs, "-filter_complex", joined, "-map", "[shown]", "-map", "[sound]", "-c:v", "ffv1",
               "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-ar", "48000", "-ac", "1", made)  # fmt: skip
    with av.open(made) as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(stream))
        assert stream.average_rate is not None
        seconds = float(count / stream.average_rate)
    camera, microphone = folder / "camera.y4m", folder / "microphone.wav"
    run_ffmpeg("-i", made, "-map", "0:v", camera)
    run_ffmpeg("-i", made, "-map", "0:a", "-af", f"apad,atrim=0:{seconds}", microphone)
    return Capture(camera, microphone, seconds)


def run_ffmpeg(*words: Any) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("needs ffmpeg")
    subprocess.run([ffmpeg, "-v", "error", "-y", *map(str, words)], check=True)


@dataclass
class Traffic:
    """What a page sent and received in a live session."""

    frames: list[tuple[float, bytes]] = field(default_factory=list)  # seconds, JPEG
    audio: list[tuple[float, int, np.ndarray]] = field(default_factory=list)  # seconds, rate, samples
    received: list[str] = field(default_factory=list)

    def listen(self, page: Any) -> None:
        """Record the WebSockets that a page of Playwright opens from now on."""

        def opened(socket: Any) -> None:
            socket.on("framesent", self._sent)
            socket.on("framereceived", lambda payload: self.received.append(payload))

        page.on("websocket", opened)

    def _sent(self, payload: str | bytes) -> None:
        if isinstance(payload, str):
            return
        kind, milliseconds = payload[0], struct.unpack_from("<d", payload, 1)[0]
        if kind == FRAME:
            self.frames.append((milliseconds / 1000, payload[9:]))
        elif kind == AUDIO:
            rate = struct.unpack_from("<I", payload, 9)[0]
            self.audio.append((milliseconds / 1000, rate, np.frombuffer(payload[13:], "<f4")))


def video_clock(traffic: Traffic, capture: Capture) -> tuple[float, float]:
    """The time in the clip at the start of the session, and how fast it is played: Chromium plays files too slowly."""
    known, times = [], []
    with av.open(capture.video) as container:
        for frame in container.decode(video=0):
            known.append(_small(frame))
            times.append(float(frame.time or 0))
    stored, starts = np.stack(known), np.array(times)
    sent, phases = np.array([time for time, _ in traffic.frames]), []
    for time, jpeg in traffic.frames:
        with av.open(io.BytesIO(jpeg)) as container:
            image = _small(next(container.decode(video=0)))
        nearest = int(np.abs(stored - image).mean(axis=1).argmin())
        phases.append((starts[nearest] - time) % capture.seconds)
    middle = _middle(np.array(phases), capture.seconds)
    away = _around(np.array(phases) - middle, capture.seconds)
    near = np.abs(away - np.median(away)) < MOST_DRIFT_SECONDS  # frames of a clip may resemble others
    drift, offset = np.polyfit(sent[near], away[near], 1)
    return float((middle + offset) % capture.seconds), float(1 + drift)


def audio_start(traffic: Traffic, capture: Capture) -> float:
    """The time in the audio at the start of the session, by blocks of two seconds."""
    with av.open(capture.audio) as container:
        stream = container.streams.audio[0]
        clip = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(stream)]) / 32768
        played = resample_poly(clip, AUDIO_RATE_HZ, stream.rate)
    twice = np.concatenate([played, played])
    phases, begin, collected = [], 0.0, np.empty(0, np.float32)
    for time, rate, samples in traffic.audio:
        if not len(collected):
            begin = time
        collected = np.concatenate([collected, resample_poly(samples, AUDIO_RATE_HZ, rate)])
        if len(collected) < 2 * AUDIO_RATE_HZ:
            continue
        best = int(correlate(twice, collected, "valid").argmax())
        phases.append((best / AUDIO_RATE_HZ - begin) % capture.seconds)
        collected = np.empty(0, np.float32)
    return _middle(np.array(phases), capture.seconds)


def reference(traffic: Traffic, capture: Capture, path: Path, *, seconds: float) -> Path:
    """A file of what the devices played during a session."""
    video, speed = video_clock(traffic, capture)
    audio = audio_start(traffic, capture)
    run_ffmpeg("-stream_loop", "-1", "-i", capture.video, "-stream_loop", "-1", "-i", capture.audio, "-filter_complex",
               f"[0:v]trim=start={video},setpts=(PTS-STARTPTS)/{speed},trim=duration={seconds}[v];"
               f"[1:a]atrim=start={audio},asetpts=PTS-STARTPTS,atrim=duration={seconds}[a]",
               "-map", "[v]", "-map", "[a]", "-t", seconds, "-fps_mode", "passthrough",
               "-c:v", "ffv1", "-c:a", "pcm_s16le", path)  # fmt: skip
    return path


def _small(frame: av.VideoFrame) -> np.ndarray:
    return frame.reformat(*SMALL, format="gray").to_ndarray().astype(np.int16).ravel()


def _middle(phases: np.ndarray, seconds: float) -> float:
    """The median of times that repeat after some seconds."""
    middle = np.angle(np.exp(2j * np.pi * phases / seconds).sum()) / (2 * np.pi) * seconds
    return float((middle + np.median(_around(phases - middle, seconds))) % seconds)


def _around(times: np.ndarray, seconds: float) -> np.ndarray:
    return (times + seconds / 2) % seconds - seconds / 2
