"""Predicting one file: decode, push through a session, gather a `Prediction`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from emofuse import __version__
from emofuse.errors import SettingsError
from emofuse.media.video import Frame, VideoReader
from emofuse.run.prediction import Collector, Prediction
from emofuse.run.session import Sampling, Session
from emofuse.run.windows import Windower
from emofuse.systems import bundle as bundles
from emofuse.systems.detectors import Chosen, choose_detector
from emofuse.systems.engine import Engine

_CHUNK = 8  # frames pushed at once, so that the faces of several frames share a batch


@dataclass(frozen=True)
class Options:
    """How to predict: what decides the result (bundle, detector, rate), and how it is computed (engine).

    rate_hz: steps a second; None for one row per decoded frame.
    """

    bundle: str = "default"
    detector: str = "auto"
    rate_hz: Fraction | None = Fraction(5)
    engine: Engine = field(default_factory=Engine)


class Predictor:
    """Bundle, detector and engine, loaded once for any number of files.

    Raises:
        BundleError, SettingsError, WeightsError: an option names something that is not there.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.sampling = Sampling(options.rate_hz)
        self.bundle = bundles.load(options.bundle)
        self.scorer = self.bundle.face_scorer(options.engine)
        self.head = self.bundle.window_head()
        self.detector: Chosen = choose_detector(options.detector, options.engine)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the result besides the file: the digest of this names it on disk."""
        rate = self.options.rate_hz
        return {
            "emofuse": __version__,
            "bundle": self.bundle.identity,
            "detector": self.detector.identity,
            "rate_hz": "every frame" if rate is None else str(rate),
        }

    def session(self) -> Session:
        """A new session for one video."""
        windower = None
        if self.bundle.window is not None and self.head is not None:
            windower = Windower(self.bundle.window, self.head.probabilities)
        return Session(self.bundle.crop, self.detector.detector, self.scorer, sampling=self.sampling, windower=windower)

    def predict(self, path: str | Path, *, progress: Callable[[float], None] | None = None) -> Prediction:
        """Predict one video.

        Args:
            progress: called with the part of the video that is done, 0 to 1.
        Raises:
            MediaError: the file cannot be read as a video.
        """
        path = Path(path)
        collector = Collector(self.bundle.label_set, windowed=self.bundle.window is not None)
        session = self.session()
        with VideoReader(path, threads=self.options.engine.threads) as reader:
            frames = reader.frames(self.sampling.wanted(reader.timeline))
            for chunk in _chunks(frames, _CHUNK):
                collector.add(session.push(chunk))
                if progress is not None:
                    progress(chunk[-1].end / max(reader.end, 1))
            collector.add(session.close(reader.end))
            warnings, size = list(reader.warnings), (reader.info.width, reader.info.height)
        about = {
            "bundle": f"{self.bundle.name} {self.bundle.version}",
            "detector": self.detector.identity,
            "warnings": warnings,
        }
        return collector.prediction(path.name, self.bundle.name, about, size=size)


def predict(
    path: str | Path,
    *,
    bundle: str | Path = "default",
    detector: str = "auto",
    rate_hz: float | Fraction = 5,
    every_frame: bool = False,
    threads: int = 0,
    device: str = "auto",
) -> Prediction:
    """Emotions of every person in one video.

    Args:
        bundle: name of a bundle that ships, or the folder of one.
        detector: "yunet", "haar", or "auto" for YuNet if its weights can be had.
        rate_hz: rows a second.
        every_frame: one row for each decoded frame instead.
    Raises:
        EmofuseError: one line that says what is wrong and what to do.

    >>> predict("no-such-talk.mp4", detector="haar")
    Traceback (most recent call last):
    emofuse.errors.MediaError: no-such-talk.mp4: there is no such file. Check its name and folder.
    """
    rate = None if every_frame else checked_rate(rate_hz)
    return Predictor(Options(str(bundle), detector, rate, Engine(threads, device))).predict(path)


def checked_rate(rate_hz: float | Fraction) -> Fraction:
    """A rate of rows that makes sense.

    Raises:
        SettingsError: not above 0 or beyond 1000 a second.
    """
    if not 0 < rate_hz <= 1000:
        raise SettingsError(f"--rate {rate_hz}: give a rate above 0 and up to 1000 rows a second.")
    return Fraction(rate_hz).limit_denominator(1001)


def _chunks(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    while chunk := list(islice(frames, size)):
        yield chunk
