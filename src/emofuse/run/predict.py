"""Predicting one file: decode, push through a session, gather a `Prediction`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from emofuse import __version__
from emofuse.errors import MediaError, SettingsError
from emofuse.media.audio import AudioReader
from emofuse.media.container import media_streams, shown
from emofuse.media.video import Frame, VideoReader
from emofuse.run.hearing import Hearing, choose_hearing
from emofuse.run.prediction import Collector, Prediction
from emofuse.run.session import Sampling, Session, Timed, Vision
from emofuse.run.windows import Windower
from emofuse.systems import bundle as bundles
from emofuse.systems.detectors import Chosen, choose_detector
from emofuse.systems.engine import Engine

_BLOCK_SECONDS = 10.0
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
        self.voice_scorer = self.bundle.voice_scorer(options.engine)
        self.hearing: Hearing | None = None
        if self.bundle.voice is not None:
            self.hearing = choose_hearing(self.bundle.voice.separation, self.bundle.voice.activity, options.engine)
        self.detector: Chosen | None = None
        if self.bundle.face is not None:
            self.detector = choose_detector(options.detector, options.engine)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the result besides the file: the digest of this names it on disk."""
        rate = self.options.rate_hz
        return {
            "emofuse": __version__,
            "bundle": self.bundle.identity,
            **self._parts,
            "rate_hz": "every frame" if rate is None else str(rate),
        }

    @property
    def _parts(self) -> dict[str, str]:
        """What was chosen for this machine and is not part of the bundle."""
        seeing = {"detector": self.detector.identity} if self.detector else {}
        return seeing | ({"hearing": self.hearing.identity} if self.hearing else {})

    def session(self) -> Session:
        """A new session for one video."""
        vision = windower = listener = None
        face = self.bundle.face
        if face is not None and self.detector is not None and self.scorer is not None:
            vision = Vision(face.crop, self.detector.detector, self.scorer)
            if face.window is not None and self.head is not None:
                windower = Windower(face.window, self.head.probabilities)
        if self.hearing is not None and self.bundle.voice is not None and self.voice_scorer is not None:
            listener = self.hearing.listener(self.bundle.voice.windows, self.voice_scorer)
        return Session(vision, sampling=self.sampling, windower=windower, listener=listener)

    def collector(self) -> Collector:
        """Gathers what such a session gives."""
        face = self.bundle.face
        return Collector(self.bundle.label_set, windowed=face is not None and face.window is not None, faces=bool(face))

    def predict(self, path: str | Path, *, progress: Callable[[float], None] | None = None) -> Prediction:
        """Predict one file: a video, or also sound alone if the bundle listens.

        Args:
            progress: called with the part of the file that is done, 0 to 1.
        Raises:
            MediaError: the file cannot be read, or lacks what the bundle judges.
        """
        path, tell = Path(path), progress or (lambda _: None)
        collector, session = self.collector(), self.session()
        judge = self._watch if self.bundle.face is not None else self._listen
        about = judge(path, session, collector, tell)
        size = about.pop("size", None)
        about = {"bundle": f"{self.bundle.name} {self.bundle.version}", **self._parts, **about}
        return collector.prediction(path.name, self.bundle.name, about, size=size)

    def _watch(
        self, path: Path, session: Session, collector: Collector, tell: Callable[[float], None]
    ) -> dict[str, Any]:
        with VideoReader(path, threads=self.options.engine.threads) as reader:
            frames = reader.frames(self.sampling.wanted(reader.timeline))
            for chunk in _chunks(frames, _CHUNK):
                collector.add(session.push(chunk))
                tell(chunk[-1].end / max(reader.end, 1))
            collector.add(session.close(reader.end))
            return {"warnings": list(reader.warnings), "size": (reader.info.width, reader.info.height)}

    def _listen(
        self, path: Path, session: Session, collector: Collector, tell: Callable[[float], None]
    ) -> dict[str, Any]:
        """Sound alone is judged; of a video the times of its frames are read, not its pictures."""
        assert self.bundle.voice is not None
        warnings, end = list[str](), 0
        picture, sound = media_streams(path)
        if picture:
            with VideoReader(path, threads=self.options.engine.threads) as video:
                for n, (start, stop) in enumerate(video.timeline):
                    collector.add(session.push([Timed(n, start, stop)]))
                warnings, end = list(video.warnings), video.end
        elif self.sampling.rate_hz is None:
            raise SettingsError(
                f"{shown(path)}: is sound alone, it has no frames; give --rate instead of --every-frame."
            )
        if not sound:
            warnings.append("has no sound, so nothing was heard")
        else:
            with AudioReader(path, rate_hz=self.bundle.voice.windows.rate_hz) as audio:
                for block in audio.blocks(_BLOCK_SECONDS):
                    collector.add(session.hear(block))
                    tell(min(block.end / end, 1.0) if end else 0.0)
                warnings += audio.warnings
                end = end or audio.end or 0
            if not end:
                raise MediaError(f"{shown(path)}: none of its sound can be decoded. Copy or record it again.")
        collector.add(session.close(end))
        tell(1.0)
        return {"warnings": warnings}


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
