"""Predicting one file: decode it, push it through a session, and collect a `Prediction`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.core.files import decoded, file_digest, printable
from emofuse.core.statuses import OTHER_LANGUAGE
from emofuse.core.time import seconds, ticks
from emofuse.core.version import __version__
from emofuse.errors import MediaError, SettingsError
from emofuse.faces.bordered import BorderedDetector
from emofuse.faces.detector import Detector
from emofuse.inference.audio_feed import AudioFeed
from emofuse.inference.audio_stages import AudioStages, AudioStream, choose_audio_stages
from emofuse.inference.collector import Collector
from emofuse.inference.face_stages import FaceStages, FaceWindowStage, FrameTime, ScoreSmoother
from emofuse.inference.known_people import KnownPeople, read_known_people
from emofuse.inference.mouths import MouthSeconds
from emofuse.inference.orientation import AUTO, OrientationWatch, checked_rotation, upright_frames
from emofuse.inference.persons import PersonStage
from emofuse.inference.prediction import Prediction
from emofuse.inference.renumbering import FilePerson, PersonChoice, file_persons
from emofuse.inference.sampling import Sampling, lip_frames
from emofuse.inference.selection import Selection, listed_tracks
from emofuse.inference.sentences import SentenceScore, score_sentences
from emofuse.inference.session import Session, SessionOutput
from emofuse.inference.speakers import SpeakerEvidence
from emofuse.inference.transcripts import Listening, WordsSource, misplaced
from emofuse.media.container import MediaFile
from emofuse.media.photograph import FrameReader, PhotographReader, is_photograph
from emofuse.media.video import VideoReader
from emofuse.models import bundle as bundles
from emofuse.models.detectors import DEFAULT, choose_detector
from emofuse.models.face import FaceOutputsScorer, FaceScorer, FacesScorer
from emofuse.models.fusion import WINDOWS
from emofuse.runtime import Engine
from emofuse.speech.active_speaker import LEAST_RATE_HZ, ActiveSpeakerNetworks, VoiceChunks
from emofuse.systems import FACE, VOICE, WORDS, kind
from emofuse.words import Transcript
from emofuse.words.whisper import load_transcriber

_LIBRARIES = ("av", "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "opencv-python")
_OUTLASTS = ticks(1)  # audio that ends less than this after the video, such as the padding of a codec, adds no rows


@dataclass(frozen=True)
class Options:
    """How to predict: what decides the result (bundle, detector, rate, rotation), what the table shows of it, and how
    it is computed (engine).

    rate_hz: rows per second; None for one row per decoded frame.
    rotate: degrees clockwise by which videos are turned; None for what makes their faces upright.
    small_faces: whether the default detector searches larger images.
    min_confidence: rows below it have the emotion `uncertain`.
    per_modality: the table also has columns of each modality of the bundle.
    selection: the part of a file that is processed.
    persons: which persons of a file the table has. people: folder of photographs of people to name, if there is one.
    max_yaw: degrees by which a face may be turned to the side to be scored; None for any.
    words: where the words of a video come from.

    Raises:
        SettingsError: min_confidence is not from 0 to 1, or max_yaw not above 0 and up to 90.
    """

    bundle: str = "default"
    detector: str = DEFAULT
    rate_hz: Fraction | None = Fraction(5)
    engine: Engine = field(default_factory=Engine)
    min_confidence: float = 0.0
    per_modality: bool = False
    rotate: int | None = None
    small_faces: bool = False
    persons: PersonChoice = field(default_factory=PersonChoice)
    people: Path | None = None
    max_yaw: float | None = None
    selection: Selection = field(default_factory=Selection)
    words: WordsSource = field(default_factory=WordsSource)

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise SettingsError(f"--min-confidence {self.min_confidence:g}: give a number from 0 to 1.")
        if self.max_yaw is not None and not 0 < self.max_yaw <= 90:
            raise SettingsError(f"--max-yaw {self.max_yaw:g}: give degrees above 0 and up to 90.")


@dataclass(frozen=True)
class _FileRun:
    """One file on its way through a session. progress: called with the fraction that is done."""

    session: Session
    collector: Collector
    progress: Callable[[float], None]
    selection: Selection
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)  # of the file, for the metadata
    sharing: list[str] = field(default_factory=list)  # warnings that hold where several persons are in view

    def add(self, output: SessionOutput) -> None:
        """Collect an output of the session."""
        self.collector.add(self.selection.output(output))


@cache
def _libraries() -> dict[str, str]:
    """The versions of the libraries that decode and compute, of which results depend in their last digits."""
    found = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class Predictor:
    """Bundle, detector and engine, loaded once for any number of files.

    Raises:
        BundleError, SettingsError, WeightsError: an option names something that does not exist.
        DataError, SettingsError: a photograph of a person cannot be used.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.sampling = Sampling(options.rate_hz)
        self.bundle = bundles.load(options.bundle)
        self.scorer = self._face_scorer()
        self.heads = {key: head for key in self.bundle.faces if (head := self.bundle.window_head(key)) is not None}
        self.voice_scorers = {key: self.bundle.voice_scorer(options.engine, key) for key in self.bundle.voices}
        self.audio_stages: dict[str, AudioStages] = {
            key: choose_audio_stages(voice.separation, voice.activity, options.engine)
            for key, voice in self.bundle.voices.items()
        }
        self.detector: Detector | None = None
        if self.bundle.faces:
            self.detector = choose_detector(options.detector, options.engine, small_faces=options.small_faces)
        both = bool(self.bundle.faces and self.bundle.voices)
        self.active_speaker = ActiveSpeakerNetworks() if both else None
        self.known_people = None if options.people is None else self._known_people(options.people)
        self.words_scorer = self.bundle.words_scorer() if options.words else None
        if options.words and self.words_scorer is None:
            raise SettingsError(
                f"--transcript, --transcribe: bundle {self.bundle.name} does not score words; choose one that does."
            )
        if not options.words and self.bundle.modalities == (WORDS,):
            raise SettingsError(f"bundle {self.bundle.name} scores words only; give a --transcript or --transcribe.")
        model, threads = options.words.model, options.engine.threads
        self.transcriber = None if model is None else load_transcriber(model, threads=threads)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the result besides the file; its digest names the result on disk."""
        rate = self.options.rate_hz
        return {
            "emofuse": __version__,
            "libraries": _libraries(),
            "providers": self._providers,
            "bundle": self.bundle.identity,
            **self._stages,
            "rate_hz": "every frame" if rate is None else str(rate),
            "rotate": AUTO if self.options.rotate is None else self.options.rotate,
            **self._face_limits,
            **({} if self.options.selection == Selection() else {"selection": asdict(self.options.selection)}),
            **self._table_options,
            **({"people": self.known_people.digest} if self.known_people is not None else {}),
            **({"transcriber": self.transcriber.identity} if self.transcriber is not None else {}),
        }

    def content_digests(self, path: Path) -> dict[str, str]:
        """Digests of what decides the result of one file besides its own content: that of its transcript.

        Raises:
            DataError: the transcript that was given does not exist.
        """
        transcript = self.options.words.transcript_of(path)
        return {} if transcript is None else {"transcript": f"{transcript.name} {file_digest(transcript)}"}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the choices for this machine, in one line each."""
        stages = [stage.note for stage in self.audio_stages.values()]
        devices = [self.options.engine.fallback_note(provider) for provider in self._providers]
        return tuple(dict.fromkeys(filter(None, [*stages, *devices])))

    @property
    def _providers(self) -> list[str]:
        """The execution providers that the networks of the bundle run on."""
        return sorted({scorer.provider for scorer in (self.scorer, *self.voice_scorers.values()) if scorer is not None})

    @property
    def _table_options(self) -> dict[str, Any]:
        """The options of the table that differ from their defaults."""
        given, known = self.options, self.known_people
        options: dict[str, Any] = {"min_confidence": given.min_confidence, "per_modality": given.per_modality}
        options |= {"people": sorted(known.identities)} if known is not None else {}
        options |= {"persons": str(given.persons)} if given.persons != PersonChoice() else {}
        return {name: value for name, value in options.items() if value}

    @property
    def _face_limits(self) -> dict[str, float]:
        """Which faces are not scored, if any."""
        return {} if self.options.max_yaw is None or not self.bundle.faces else {"max_yaw": self.options.max_yaw}

    @property
    def _stages(self) -> dict[str, str]:
        """The stages that were chosen for this machine; the bundle does not contain them."""
        detector = {"detector": self.detector.identity} if self.detector else {}
        audio = {
            stage + key.removeprefix(VOICE): name
            for key, stages in self.audio_stages.items()
            for stage, name in stages.identity.items()
        }
        networks = self.active_speaker
        return detector | audio | ({} if networks is None else {"active_speaker": networks.identity})

    def _face_scorer(self) -> FaceScorer | FaceOutputsScorer | FacesScorer | None:
        bundle, engine = self.bundle, self.options.engine
        if len(bundle.faces) < 2:
            return next((bundle.face_scorer(engine, key) for key in bundle.faces), None)
        scorers = {key: scorer for key in bundle.faces if (scorer := bundle.face_scorer(engine, key)) is not None}
        single, windowed = ([m for m in bundle.modalities if kind(m) == wanted] for wanted in (FACE, WINDOWS))
        size = next(iter(bundle.faces.values())).crop.size
        return FacesScorer(scorers, single=single, windowed=[_network_of(m) for m in windowed], size=size)

    def _known_people(self, folder: Path) -> KnownPeople:
        stages = self._face_stages(None if self.detector is None else self._photograph_detector)
        if stages is None or self.bundle.person_threshold is None:
            raise SettingsError(
                f"--people: the bundle {self.bundle.name} {self.bundle.version} cannot tell persons apart; "
                "choose a bundle whose face network has an identity."
            )
        return read_known_people(folder, stages)

    def _face_stages(self, detector: Detector | None) -> FaceStages | None:
        if detector is None or self.scorer is None:
            return None
        crop = next(iter(self.bundle.faces.values())).crop  # of all networks
        return FaceStages(crop, detector, self.scorer, self.options.max_yaw)

    def _person_stage(self) -> PersonStage | None:
        threshold, known = self.bundle.person_threshold, self.known_people
        if threshold is None:
            return None
        return PersonStage(threshold, self.sampling, known=known.identities if known is not None else None)

    def session(self) -> Session:
        """A new session for one live video, which reports faces that are not upright."""
        session = self._session(self.detector)
        if session.faces is not None and self.detector is not None:
            session.faces.orientation = OrientationWatch(self.detector)
        return session

    @cached_property
    def _photograph_detector(self) -> Detector:
        """The detector of photographs, each of which is searched only once and so may take longer than a frame."""
        name = self.options.detector
        small_faces = self.options.small_faces or name == DEFAULT
        return BorderedDetector(choose_detector(name, self.options.engine, small_faces=small_faces))

    def _session(self, detector: Detector | None) -> Session:
        faces, audio, voices = None, dict[str, AudioStream](), None
        origin = self.options.selection.start
        if (stages := self._face_stages(detector)) is not None:
            smoothing = next(iter(self.bundle.faces.values())).smoothing  # of all networks
            single = any(kind(m) == FACE for m in self.bundle.modalities)
            faces = stages.stream(
                self.sampling,
                persons=self._person_stage(),
                smoother=ScoreSmoother(smoothing) if smoothing is not None and single else None,
                window_stages=list(self._window_stages()),
                mouths=None if self.active_speaker is None else MouthSeconds(self.active_speaker, origin),
            )
        for key, scorer in self.voice_scorers.items():
            if scorer is not None:
                audio[key] = self.audio_stages[key].stream(self.bundle.voices[key].windows, scorer)
        if self.active_speaker is not None and audio:
            key = next(iter(audio))
            rate_hz = self.bundle.voices[key].windows.rate_hz
            voices = VoiceChunks(self.active_speaker, self.audio_stages[key].activity.stream(rate_hz), rate_hz)
        return Session(self.sampling, faces=faces, audio=audio, voices=voices)

    def _window_stages(self) -> Iterator[FaceWindowStage]:
        columns = self.scorer.columns if isinstance(self.scorer, FacesScorer) else {}
        for modality in (m for m in self.bundle.modalities if kind(m) == WINDOWS):
            key = _network_of(modality)
            windows = self.bundle.faces[key].windows
            assert windows is not None
            head = self.heads[key].probabilities
            yield FaceWindowStage(windows, head, modality=modality, columns=columns.get(key, slice(None)))

    def collector(self, sentences: Sequence[SentenceScore] | None = None) -> Collector:
        """Collects the output of such a session, and the scores of sentences."""
        modalities = self.modalities(words=sentences is not None)
        networks, origin, bundle = self.active_speaker, self.options.selection.start, self.bundle
        return Collector(
            bundle.label_set,
            modalities=modalities,
            fusion=bundle.fusion,
            sentences=sentences,
            speakers=None if networks is None else SpeakerEvidence(networks.scale, networks.bias, origin=origin),
        )

    def modalities(self, *, words: bool) -> tuple[str, ...]:
        """The modalities of a video with or without known words."""
        return tuple(m for m in self.bundle.modalities if words or m != WORDS)

    def _transcript(self, path: Path, selection: Selection, progress: Callable[[float], None]) -> Transcript | None:
        """What is said in a video, if that is known or to be found out."""
        found = self.options.words.read(path)
        if found is not None or self.transcriber is None:
            return found
        activity = next((stages.activity for stages in self.audio_stages.values()), None)
        return Listening(self.transcriber, selection, activity, lambda: progress(0.0)).transcribe(path)

    def predict(self, path: str | Path, *, progress: Callable[[float], None] | None = None) -> Prediction:
        """Predict one file: a video, a photograph, or an audio file if the bundle has a voice modality.

        Args:
            progress: called with the fraction of the file that is done, 0 to 1.
        Raises:
            MediaError: the file cannot be read, or has neither of the streams that the bundle scores.
        """
        path = Path(path)
        photograph = is_photograph(path)
        if photograph and not self.bundle.faces:
            raise SettingsError(
                f"{printable(path)}: is a photograph, but bundle {self.bundle.name} scores only voices."
            )
        detector = self._photograph_detector if photograph else self.detector
        selection = Selection() if photograph else self.options.selection
        report = progress or (lambda _: None)
        transcript = None if photograph else self._transcript(path, selection, report)
        sentences = None
        if transcript is not None and self.words_scorer is not None:
            sentences = score_sentences(transcript, self.words_scorer)
        run = _FileRun(self._session(detector), self.collector(sentences), report, selection)
        size = self._process_photograph(run, path) if photograph else self._process(run, path)
        stages = {"detector": detector.identity, "photograph": True} if photograph and detector else self._stages
        metadata: dict[str, Any] = {"bundle": f"{self.bundle.name} {self.bundle.version}", **stages}
        if self.bundle.fusion is not None:
            metadata["modalities"] = list(self.modalities(words=transcript is not None))
        if self.options.rotate is not None:
            metadata["rotate"] = self.options.rotate
        metadata |= selection.seconds | run.facts | self._face_limits | self._table_options | {"warnings": run.warnings}
        name, persons = decoded(path.name), dict(enumerate(self._file_persons(run), start=1))
        prediction = run.collector.prediction(name, self.bundle.name, metadata, size=size, persons=persons)
        if not prediction.rows and selection.start:
            raise MediaError(f"{printable(path)}: ends before --start {seconds(selection.start):g} s; give less.")
        if not prediction.rows:
            raise MediaError(f"{printable(path)}: has no frame and no audio with a duration, so there is no row.")
        if transcript is not None:
            metadata["transcript"] = transcript.source
            run.warnings.extend(transcript.warnings)
            if note := misplaced(transcript, prediction.timeline, cut=selection.end is not None):
                run.warnings.append(note)
            run.warnings.extend(_of_language(sentences or ()))
        elif self.options.words and not photograph:
            run.warnings.append("has no transcript beside it, so no words were scored")
        if prediction.frozen is not None and prediction.frozen.any():
            rows = f"{int(prediction.frozen.sum())} of {len(prediction.frozen)} time steps"
            run.warnings.append(f"a frame stands still for long: {rows} are frozen and have no face scores")
        if (
            sum((prediction.face_found(p).astype(np.int64) for p in prediction.persons), np.zeros(1, np.int64)).max()
            > 1
        ):
            run.warnings.extend(run.sharing)
        options = self.options
        return replace(
            prediction,
            min_confidence=options.min_confidence,
            per_modality=options.per_modality,
            with_names=self.known_people is not None,
            media=path,
        )

    def _file_persons(self, run: _FileRun) -> list[FilePerson]:
        """The persons of a file whose session is closed."""
        stage = run.session.faces.persons if run.session.faces is not None else None
        identities = [] if stage is None else stage.identities
        threshold, choice = self.bundle.person_threshold, self.options.persons
        return file_persons(run.collector.faces, identities, threshold=threshold, choice=choice)

    def _process_photograph(self, run: _FileRun, path: Path) -> tuple[int, int]:
        """Push a photograph as the only frame of a video; returns its size."""
        with PhotographReader(path) as photograph:
            run.session.ignore_speakers()
            size = self._push_frames(run, photograph, [], self._photograph_detector)
            run.add(run.session.close(photograph.end))
            return size

    def _process(self, run: _FileRun, path: Path) -> tuple[int, int] | None:
        """Push the streams of a video or audio file; returns the size of its frames if faces are scored."""
        with MediaFile(path) as file:
            return self._process_streams(run, file)

    def _process_streams(self, run: _FileRun, file: MediaFile) -> tuple[int, int] | None:
        """Push the streams of a file that the bundle scores; returns the size of its frames if faces are scored."""
        voices, size, end = self.bundle.voices, None, 0
        has_audio = bool(voices) and file.has_audio
        video = self._opened_video(run, file, optional=has_audio)
        if video is None and self.sampling.rate_hz is None:
            found = "has no video that can be decoded" if run.warnings else "is an audio file"
            raise SettingsError(f"{printable(file.path)}: {found}, so --every-frame does not apply; use --rate.")
        with ExitStack() as stack:
            audio = list[AudioFeed]()
            for key in voices if has_audio else ():
                activity, rate_hz = self.audio_stages[key].activity, voices[key].windows.rate_hz
                audio.append(AudioFeed(file, run.session, activity, rate_hz, key, run.selection))
                stack.callback(audio[-1].close)
            if video is None or not self._shows_speakers(run, video, audio):
                run.session.ignore_speakers()
            if video is not None:
                stack.enter_context(video)
                if self.bundle.faces:
                    size = self._push_frames(run, video, audio, self.detector)
                else:  # only the times of the frames are needed
                    numbers = run.selection.frames(video.timeline, None)
                    times = (
                        enumerate(video.timeline)
                        if numbers is None
                        else zip(numbers.tolist(), video.timeline[numbers], strict=True)
                    )
                    run.add(run.session.push_frames(FrameTime(n, start, stop) for n, (start, stop) in times))
                end = run.selection.until(video.end)
                run.warnings.extend(video.warnings)
            frames_end = end or None
            ends = [self._push_audio(run, feed, end, file=file, faces=size is not None) for feed in audio]
            end = max(ends, default=end)
        if voices and not audio:
            run.warnings.append("has no audio, so the voice was not scored")
        taken = [file.audio_tracks[0] if feed.track is None else feed.track for feed in audio]
        self._list_tracks(run, file, taken + ([] if video is None else [video.track]))
        run.add(run.session.close(end, frames_end=frames_end))
        if voices:
            run.progress(1.0)
        return size

    def _list_tracks(self, run: _FileRun, file: MediaFile, taken: Sequence[int | None]) -> None:
        """List the tracks of a file, if there was a choice, with those that were taken."""
        kinds = Counter(track.kind for track in file.tracks)
        if max(kinds.values(), default=0) > 1:
            run.facts["tracks"] = listed_tracks(file, taken)

    def _opened_video(self, run: _FileRun, file: MediaFile, *, optional: bool) -> VideoReader | None:
        """The video of a file; without one, the reader explains what is missing. None where there is audio to score."""
        if optional and file.undecodable_video:
            run.warnings.append("only the voice was scored, its video is in a format that cannot be decoded here")
            return None
        if self.bundle.voices and not file.has_video and not file.undecodable_video:
            return None
        try:
            track = run.selection.video_stream(file)
            return VideoReader(file, threads=self.options.engine.decoder_threads, track=track)
        except MediaError as error:
            if not optional:
                raise
            reason = str(error).removeprefix(f"{printable(file.path)}: ")
            run.warnings.append(f"only the voice was scored, its video was not: {reason}")
            return None

    def _shows_speakers(self, run: _FileRun, video: VideoReader, audio: Sequence[AudioFeed]) -> bool:
        """Whether it can be found out who speaks; notes if that fails for the frame rate alone."""
        if self.active_speaker is None or not audio or len(video.timeline) < 2:
            return False
        rate = 1 / seconds(int(np.median(np.diff(video.timeline.start))))
        if rate < 0.9 * LEAST_RATE_HZ:
            run.sharing.append(
                f"{rate:.3g} frames per second do not show who speaks ({LEAST_RATE_HZ} are needed): "
                "the voice is shared among all in view"
            )
        return rate >= 0.9 * LEAST_RATE_HZ

    def _push_frames(
        self, run: _FileRun, video: FrameReader, audio: list[AudioFeed], detector: Detector | None
    ) -> tuple[int, int]:
        """Push the frames of a file, and what is ready of its audio; returns the size of the frames."""
        wanted = run.selection.frames(video.timeline, self.sampling.wanted(video.timeline))
        read = wanted
        if wanted is not None and run.session.follows_mouths:
            selected = run.selection.frames(video.timeline, None)
            read = np.union1d(wanted, lip_frames(video.timeline, selected))
        if self.options.rotate is None and detector is not None:
            stored = video.info.rotation
            frames, note = upright_frames(video, wanted, detector, read=read)
            run.warnings.extend([note] if note else [])
            if turned := (video.info.rotation - stored) % 360:
                run.facts["turned"] = turned
        else:
            video.turn(self.options.rotate or 0)
            frames = video.frames(read)
        for reached, output in chain([(0, SessionOutput())], run.session.outputs(frames)):
            run.add(output)
            for audio_output in chain.from_iterable(feed.outputs(reached) for feed in audio):
                run.add(audio_output)
            run.progress(reached / max(run.selection.until(video.end), 1))
        faces = run.session.faces
        return (faces and faces.canvas) or (video.info.width, video.info.height)

    def _push_audio(self, run: _FileRun, audio: AudioFeed, end: int, *, file: MediaFile, faces: bool) -> int:
        """Push what is left of the audio of a clip whose video ends at `end` (0: no video); returns where that ends."""
        for output in audio.outputs(None):
            run.add(output)
            if end and not faces:
                run.progress(min(audio.reached / end, 1.0))
        _warn(run, *audio.warnings)
        if audio.error is not None:
            if not faces:
                raise audio.error
            _warn(run, f"its audio cannot be read to its end, only faces are scored from there: {audio.error}")
        elif end and audio.reached > end + _OUTLASTS and self.sampling.rate_hz is not None:
            times = f"the video ends at {seconds(end):.1f} s, the audio at {seconds(audio.reached):.1f} s"
            _warn(run, f"{times}: rows after the video have no frame")
            end = audio.reached
        end = end or audio.reached
        if not end:
            raise MediaError(f"{printable(file.path)}: none of its audio can be decoded. Copy or record it again.")
        return end


def _network_of(modality: str) -> str:
    """The key of the network for faces of a modality."""
    return FACE + modality.removeprefix(kind(modality))


def _of_language(sentences: Sequence[SentenceScore]) -> Iterator[str]:
    """A warning if sentences are in another language."""
    foreign = [sentence for sentence in sentences if sentence.status == OTHER_LANGUAGE]
    if foreign:
        yield f"{len(foreign)} of {len(sentences)} sentences are in another language and were not scored"


def _warn(run: _FileRun, *lines: str) -> None:
    """Add lines that are not there yet, of several readers of one stream."""
    run.warnings.extend(line for line in dict.fromkeys(lines) if line not in run.warnings)


def predict(
    path: str | Path,
    *,
    bundle: str | Path = "default",
    detector: str = DEFAULT,
    rate_hz: float | Fraction = 5,
    every_frame: bool = False,
    threads: int = 0,
    device: str = "auto",
    min_confidence: float = 0.0,
    per_modality: bool = False,
    rotate: int | str = AUTO,
    small_faces: bool = False,
    persons: int | str = "auto",
    people: str | Path | None = None,
    max_yaw: float | None = None,
    start: float | str | None = None,
    end: float | str | None = None,
    video_track: int | str | None = None,
    audio_track: int | str | None = None,
    transcript: str | Path | None = None,
    transcribe: str | None = None,
) -> Prediction:
    """Emotions of every person in one video.

    Args:
        bundle: name of a bundled model, or the folder of a bundle.
        detector: "default", "yunet", or one of another package.
        rate_hz: rows per second.
        every_frame: one row per decoded frame instead.
        min_confidence: 0 to 1; rows below it have the emotion "uncertain".
        per_modality: the table also has columns of each modality of the bundle, such as `face_anger`; `modalities` of
            the prediction always has them as scores.
        rotate: degrees by which the video is turned clockwise: 0, 90, 180, 270, or "auto" until its faces are upright.
        small_faces: search larger images, in about four times the time.
        persons: "auto", the greatest number of persons, or "largest" for the one with the largest face alone.
        people: folder with photographs of people whose names the table is to have: one file or sub-folder per name.
        max_yaw: faces turned to the side by more degrees are not scored.
        start, end: of the part that is processed: seconds, or "mm:ss" or "hh:mm:ss". Default: the whole video.
        video_track, audio_track: number of a track among those of its kind, from 1, or its language, such as "deu".
        transcript: file with what is said (WebVTT, SRT, JSON of Whisper, TextGrid), whose words are scored too; or
            "auto" for the one of the same name beside the video.
        transcribe: name or folder of a Whisper model for faster-whisper, to transcribe the audio.
    Raises:
        EmofuseError: one line with the problem and its remedy.

    >>> predict("no-such-talk.mp4")
    Traceback (most recent call last):
    emofuse.errors.MediaError: no-such-talk.mp4: there is no such file. Check its name and folder.
    """
    rate = None if every_frame else checked_rate(rate_hz)
    engine, rotation = Engine(threads, device), checked_rotation(rotate)
    options = Options(str(bundle), detector, rate, engine, min_confidence, per_modality, rotation, small_faces)
    folder = None if people is None else Path(people)
    options = replace(options, persons=PersonChoice.parse(persons), people=folder, max_yaw=max_yaw)
    options = replace(options, selection=Selection.parse(start, end, video_track, audio_track))
    options = replace(options, words=WordsSource.parse(transcript, transcribe))
    return Predictor(options).predict(path)


def checked_rate(rate_hz: float | Fraction) -> Fraction:
    """A valid rate of rows as a fraction.

    Raises:
        SettingsError: it is not above 0 and up to 1000.
    """
    if not 0 < rate_hz <= 1000:
        raise SettingsError(f"--rate {rate_hz}: give a rate above 0 and up to 1000 rows per second.")
    return Fraction(rate_hz).limit_denominator(1001)
