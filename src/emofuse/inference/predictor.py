"""Predicting one file: decode, push through a session, gather a `Prediction`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from emofuse.core.files import printable
from emofuse.core.prefetch import chunks, prefetch
from emofuse.core.version import __version__
from emofuse.errors import MediaError, SettingsError
from emofuse.inference.audio_stages import AudioStages, choose_audio_stages
from emofuse.inference.collector import Collector
from emofuse.inference.face_windows import Windower
from emofuse.inference.prediction import Prediction
from emofuse.inference.sampling import Sampling
from emofuse.inference.score_smoother import Smoother
from emofuse.inference.session import AT_ONCE, FaceStages, ScoredFace, Session, Timed
from emofuse.media.audio import AudioReader
from emofuse.media.container import media_streams
from emofuse.media.video import VideoReader
from emofuse.models import bundle as bundles
from emofuse.models.detectors import ChosenDetector, choose_detector
from emofuse.models.fusion import FACE, WINDOWS
from emofuse.runtime import Engine

_BLOCK_SECONDS = 10.0
_SEEING = 0.8  # the part of the work that looking is, where a file is listened to as well


@dataclass(frozen=True)
class Options:
    """How to predict: what decides the result (bundle, detector, rate), what is shown of it, and how it is computed
    (engine).

    rate_hz: steps a second; None for one row per decoded frame.
    min_confidence: rows below it have the emotion `uncertain`.
    per_modality: the table has columns of each modality of the bundle as well.

    Raises:
        SettingsError: min_confidence is not from 0 to 1.
    """

    bundle: str = "default"
    detector: str = "auto"
    rate_hz: Fraction | None = Fraction(5)
    engine: Engine = field(default_factory=Engine)
    min_confidence: float = 0.0
    per_modality: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise SettingsError(f"--min-confidence {self.min_confidence:g}: give a number from 0 to 1.")


@dataclass(frozen=True)
class _Fed:
    """A file on its way through a session; tell: called with the part of it that is done."""

    path: Path
    session: Session
    collector: Collector
    tell: Callable[[float], None]
    warnings: list[str] = field(default_factory=list)


class Predictor:
    """Bundle, detector and engine, loaded once for any number of files.

    Raises:
        BundleError, SettingsError, WeightsError: an option names something that is not there.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.sampling = Sampling(options.rate_hz)
        self.bundle = bundles.load(options.bundle)
        self.scorer = self.bundle.face_judge(options.engine)
        self.head = self.bundle.window_head()
        self.voice_scorer = self.bundle.voice_scorer(options.engine)
        self.audio_stages: AudioStages | None = None
        if (voice := self.bundle.voice) is not None:
            self.audio_stages = choose_audio_stages(voice.separation, voice.activity, options.engine)
        self.detector: ChosenDetector | None = None
        if self.bundle.face is not None:
            self.detector = choose_detector(options.detector, options.engine)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the result besides the file: the digest of this names it on disk."""
        rate = self.options.rate_hz
        return {
            "emofuse": __version__,
            "bundle": self.bundle.identity,
            **self._stages,
            "rate_hz": "every frame" if rate is None else str(rate),
            **self._shown,
        }

    @property
    def _shown(self) -> dict[str, Any]:
        """What of the result is shown, where that is not the usual."""
        least, each = self.options.min_confidence, self.options.per_modality
        return ({"min_confidence": least} if least else {}) | ({"per_modality": True} if each else {})

    @property
    def _stages(self) -> dict[str, str]:
        """What was chosen for this machine and is not part of the bundle."""
        found = {"detector": self.detector.identity} if self.detector else {}
        return found | (self.audio_stages.identity if self.audio_stages else {})

    def session(self) -> Session:
        """A new session for one video."""
        vision = windower = listener = None
        smoother: Smoother[ScoredFace] | None = None
        face, modalities = self.bundle.face, self.bundle.modalities
        if face is not None and self.detector is not None and self.scorer is not None:
            vision = FaceStages(face.crop, self.detector.detector, self.scorer, self.detector.parallel_map)
            if face.windows is not None and self.head is not None and WINDOWS in modalities:
                windower = Windower(face.windows, self.head.probabilities)
            if face.smoothing is not None and FACE in modalities:
                smoother = Smoother(face.smoothing)
        if self.audio_stages is not None and self.bundle.voice is not None and self.voice_scorer is not None:
            listener = self.audio_stages.listener(self.bundle.voice.windows, self.voice_scorer)
        return Session(vision, sampling=self.sampling, windower=windower, smoother=smoother, listener=listener)

    def collector(self) -> Collector:
        """Gathers what such a session gives."""
        return Collector(self.bundle.label_set, modalities=self.bundle.modalities, fusion=self.bundle.fusion)

    def predict(self, path: str | Path, *, progress: Callable[[float], None] | None = None) -> Prediction:
        """Predict one file: a video, or also sound alone if the bundle listens.

        Args:
            progress: called with the part of the file that is done, 0 to 1.
        Raises:
            MediaError: the file cannot be read, or lacks what the bundle judges.
        """
        path, tell = Path(path), progress or (lambda _: None)
        fed = _Fed(path, self.session(), self.collector(), tell)
        seen = self._seen(fed)
        about: dict[str, Any] = {"bundle": f"{self.bundle.name} {self.bundle.version}", **self._stages}
        if self.bundle.fusion is not None:
            about["modalities"] = list(self.bundle.modalities)
        about |= self._shown | {"warnings": fed.warnings}
        prediction = fed.collector.prediction(path.name, self.bundle.name, about, size=seen)
        options = self.options
        return replace(prediction, min_confidence=options.min_confidence, per_modality=options.per_modality)

    def _seen(self, fed: _Fed) -> tuple[int, int] | None:
        """Push all of a file that is judged; gives the size of the picture where faces are."""
        listens, looks, size, end = self.bundle.voice is not None, self.bundle.face is not None, None, 0
        picture, sound = media_streams(fed.path) if listens else (True, False)
        if picture:
            with VideoReader(fed.path, threads=self.options.engine.threads) as video:
                if looks:
                    size = self._watch(fed, video, share=_SEEING if sound else 1.0)
                else:  # the times of its frames are read, not its pictures
                    for n, (start, stop) in enumerate(video.timeline):
                        fed.collector.add(fed.session.push_frames([Timed(n, start, stop)]))
                end = video.end
                fed.warnings.extend(video.warnings)
        elif self.sampling.rate_hz is None:
            raise SettingsError(
                f"{printable(fed.path)}: is sound alone, it has no frames; give --rate instead of --every-frame."
            )
        if sound:
            end = self._listen(fed, end, done=_SEEING if size else 0.0)
        elif listens:
            fed.warnings.append("has no sound, so nothing was heard")
        fed.collector.add(fed.session.close(end))
        if listens:
            fed.tell(1.0)
        return size

    def _watch(self, fed: _Fed, video: VideoReader, *, share: float) -> tuple[int, int]:
        frames = video.frames(self.sampling.wanted(video.timeline))
        for chunk in prefetch(chunks(frames, AT_ONCE)):  # decoded while the last ones are judged
            fed.collector.add(fed.session.push_frames(chunk))
            fed.tell(share * chunk[-1].end / max(video.end, 1))
        return video.info.width, video.info.height

    def _listen(self, fed: _Fed, end: int, *, done: float) -> int:
        """Push the sound of a file whose picture ends at `end`, 0 where there is none; where the whole of it ends."""
        assert self.bundle.voice is not None
        try:
            with AudioReader(fed.path, rate_hz=self.bundle.voice.windows.rate_hz) as audio:
                for block in audio.blocks(_BLOCK_SECONDS):
                    fed.collector.add(fed.session.push_audio(block))
                    fed.tell(done + (1 - done) * (min(block.end / end, 1.0) if end else 0.0))
                fed.warnings.extend(audio.warnings)
                end = end or audio.end or 0
        except MediaError as error:
            if not done:
                raise
            fed.warnings.append(f"its sound cannot be read to its end, only its faces are judged there: {error}")
        if not end:
            raise MediaError(f"{printable(fed.path)}: none of its sound can be decoded. Copy or record it again.")
        return end


def predict(
    path: str | Path,
    *,
    bundle: str | Path = "default",
    detector: str = "auto",
    rate_hz: float | Fraction = 5,
    every_frame: bool = False,
    threads: int = 0,
    device: str = "auto",
    min_confidence: float = 0.0,
    per_modality: bool = False,
) -> Prediction:
    """Emotions of every person in one video.

    Args:
        bundle: name of a bundle that ships, or the folder of one.
        detector: "yunet", "haar", or "auto" for YuNet if its weights can be had.
        rate_hz: rows a second.
        every_frame: one row for each decoded frame instead.
        min_confidence: 0 to 1; rows below it have the emotion "uncertain".
        per_modality: the table also has columns of each modality of the bundle, such as `face_anger`; `modalities` of
            the prediction always has them as scores.
    Raises:
        EmofuseError: one line that says what is wrong and what to do.

    >>> predict("no-such-talk.mp4", detector="haar")
    Traceback (most recent call last):
    emofuse.errors.MediaError: no-such-talk.mp4: there is no such file. Check its name and folder.
    """
    rate = None if every_frame else checked_rate(rate_hz)
    options = Options(str(bundle), detector, rate, Engine(threads, device), min_confidence, per_modality)
    return Predictor(options).predict(path)


def checked_rate(rate_hz: float | Fraction) -> Fraction:
    """A rate of rows that makes sense.

    Raises:
        SettingsError: not above 0 or beyond 1000 a second.
    """
    if not 0 < rate_hz <= 1000:
        raise SettingsError(f"--rate {rate_hz}: give a rate above 0 and up to 1000 rows a second.")
    return Fraction(rate_hz).limit_denominator(1001)
