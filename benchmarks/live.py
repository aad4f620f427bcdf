"""Live sessions: latency, frames per second, memory over time, and agreement with `predict`.

    python benchmarks/live.py CLIPS speed        # frames in memory, one after the other, 1 and 2 persons at 640x480
    python benchmarks/live.py CLIPS latency      # a file at its own speed: from the arrival of a frame to its result
    python benchmarks/live.py CLIPS memory       # 30 minutes of frames and audio, pushed faster than real time
    python benchmarks/live.py CLIPS agreement    # rows of a live session against `predict`, on every clip

CLIPS is a folder of talking-head clips with audio. CPU times count all threads; on a machine with other load they are
more reliable than wall-clock times.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emofuse.core.time import seconds, ticks
from emofuse.inference.live import LiveSession
from emofuse.inference.live_run import LiveRun, source_settings
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.media.audio_clock import sample_time
from emofuse.media.encode import write_video
from emofuse.media.live import LiveSource
from emofuse.media.live_address import video_address
from emofuse.media.video import Frame, VideoReader

WIDTH, HEIGHT, RATE = 640, 480, 16_000
FRAME = ticks(Fraction(1, 30))


@dataclass(frozen=True)
class Recording:
    """Frames uint8 [n, 480, 640, 3] at 30 per second and mono audio at 16 kHz, as long as each other."""

    frames: list[NDArray[np.uint8]]
    audio: NDArray[np.float32]

    def pushes(self, count: int) -> Iterator[tuple[Frame, AudioBlock]]:
        """`count` frames and the audio over each, from the start again after the end."""
        size = RATE // 30
        for n in range(count):
            k = n % len(self.frames)
            start = n * FRAME
            sound = self.audio[k * size : (k + 1) * size]
            frame = Frame.from_rgb(self.frames[k], index=n, start=start, end=start + FRAME)
            yield frame, AudioBlock(np.resize(sound, size), sample_time(n * size, RATE), RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("what", choices=sorted(COMMANDS))
    parser.add_argument("--minutes", type=float, default=30.0, help="of video in the measurement of memory")
    options = parser.parse_args()
    COMMANDS[options.what](options)


def speed(options: argparse.Namespace) -> None:
    """Every frame is processed, so that there is one time for each."""
    predictor = Predictor(Options(rate_hz=Fraction(30)))
    for persons, recording in recordings(options.clips).items():
        session, walls, count = LiveSession(predictor), list[float](), 600
        cpu = 0.0
        for n, (frame, block) in enumerate(recording.pushes(count + 60)):
            session.push_audio(block)
            wall, before = time.perf_counter(), time.process_time()
            session.push_frame(frame)
            if n >= 60:
                walls.append(time.perf_counter() - wall)
                cpu += time.process_time() - before
        middle, late = np.quantile(walls, [0.5, 0.95])
        print(
            f"{persons} person(s): {1 / np.mean(walls):.0f} frames/s, {1000 * cpu / count:.1f} ms of CPU per frame, "
            f"push of a frame: median {1000 * middle:.1f} ms, 95th percentile {1000 * late:.1f} ms"
        )


def latency(options: argparse.Namespace) -> None:
    """At the default rate of 5 rows per second, through the thread that decodes."""
    predictor = Predictor(Options())
    for persons, recording in recordings(options.clips).items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            frames = recording.frames[: 30 * 30]
            audio = recording.audio[: len(frames) * RATE // 30]
            write_video(path, frames, rate_hz=Fraction(30), audio=audio, audio_rate_hz=RATE)
            session = LiveSession(predictor)
            run = LiveRun(session, LiveSource(video_address(str(path)), settings=source_settings(session)))
            ages = [event.age for event in run.events() if event.update is not None and event.age]
        middle, late = np.quantile(ages, [0.5, 0.95])
        state = run.state
        print(
            f"{persons} person(s): latency median {1000 * middle:.0f} ms, 95th percentile {1000 * late:.0f} ms, "
            f"{state.frames} frames processed, {state.dropped} dropped"
        )


def memory(options: argparse.Namespace) -> None:
    """Frames of every clip in turn, so that persons change."""
    predictor = Predictor(Options())
    parts = list(recordings(options.clips).values())
    session, begun, size = LiveSession(predictor), time.perf_counter(), RATE // 30
    total, rows = round(options.minutes * 60 * 30), 0
    for n in range(total):
        recording = parts[n // 1800 % len(parts)]
        k = n % len(recording.frames)
        start = n * FRAME
        sound = np.resize(recording.audio[k * size : (k + 1) * size], size)
        update = session.push_audio(AudioBlock(sound, sample_time(n * size, RATE), RATE))
        rows += 0 if update.rows is None else len(update.rows)
        if session.uses(start):
            image = recording.frames[k]
            update = session.push_frame(Frame.from_rgb(image, index=n, start=start, end=start + FRAME))
            rows += 0 if update.rows is None else len(update.rows)
        if (n + 1) % (total // 6) == 0:
            passed = time.perf_counter() - begun
            print(
                f"{seconds(start) / 60:5.1f} min: {resident() / 2**20:.0f} MB, {rows} rows, "
                f"{seconds(start) / passed:.1f} times real time",
                flush=True,
            )


def agreement(options: argparse.Namespace) -> None:
    """A live session reads each file as fast as possible. Rows before the first face have no person there."""
    predictor = Predictor(Options())
    labels = list(predictor.bundle.label_set.names)
    total = alike = before = 0
    largest = 0.0
    for path in sorted(options.clips.glob("*.mp4")):
        session = LiveSession(predictor, path.name)
        run = LiveRun(session, LiveSource(video_address(str(path)), settings=source_settings(session, fast=True)))
        parts = [e.update.rows for e in run.events() if e.update is not None and e.update.rows is not None]
        live = pd.concat(parts, ignore_index=True)
        before += int(live.person.isna().sum())
        whole = predictor.predict(path).table()
        both = whole.merge(live.fillna({"person": 1}), on=["person", "start"], how="outer", suffixes=("", " live"))
        same = both["status live"].notna() & (both.status == both["status live"])
        same &= both.emotion.fillna("") == both["emotion live"].fillna("")
        total, alike = total + len(both), alike + int(same.sum())
        difference = np.abs(both[labels].to_numpy() - both[[f"{label} live" for label in labels]].to_numpy())
        largest = max(largest, float(np.nanmax(difference)))
    print(
        f"{alike} of {total} rows have the status and emotion of predict, largest difference of a probability "
        f"{largest:.6f}; {before} of them are before the first face and have no person"
    )


COMMANDS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "speed": speed,
    "latency": latency,
    "memory": memory,
    "agreement": agreement,
}


def recordings(clips: Path) -> dict[int, Recording]:
    """One person, and two persons side by side: the clips of different speakers, one after the other."""
    paths = sorted(clips.glob("*.mp4"))
    one = joined([read(path, WIDTH) for path in paths[::36]])
    left, right = (joined([read(path, WIDTH // 2) for path in paths[k::36]]) for k in (0, 18))
    beside = [np.hstack(pair) for pair in zip(left.frames, right.frames, strict=False)]
    return {1: one, 2: Recording(beside, left.audio)}


def read(path: Path, width: int) -> Recording:
    with VideoReader(path) as video:
        frames = [fitted(frame.rgb(), width) for frame in video.frames()]
    with AudioReader(path, rate_hz=RATE) as audio:
        sound = np.concatenate([block.samples for block in audio.blocks()])
    return Recording(frames, np.resize(sound, len(frames) * RATE // 30))


def fitted(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """The middle of an image in this width and the common height."""
    height, before = image.shape[:2]
    kept = min(before, round(height * width / HEIGHT))
    left = (before - kept) // 2
    return np.asarray(cv2.resize(image[:, left : left + kept], (width, HEIGHT)), np.uint8)


def joined(parts: list[Recording]) -> Recording:
    frames = list(itertools.chain.from_iterable(part.frames for part in parts))
    return Recording(frames, np.concatenate([part.audio for part in parts]))


def resident() -> int:
    """Memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
