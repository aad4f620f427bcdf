"""The plan of a synthetic corpus: subjects, emotions and the modalities that express them, and planted problems.

Only numbers; nothing is rendered here. Times are seconds from the start of a video, emotions are names of AFFWILD2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2, UNLABELLED
from emofuse.errors import SettingsError

Ints = NDArray[np.int64]

SPLITS = ("train", "validation", "test")
RATES_HZ = (Fraction(15, 2), Fraction(15), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30),
            Fraction(60))  # fmt: skip
SIZE = (480, 270)
BACKGROUNDS = ("music", "pink", "babble", "hum")
SNRS_DB = (None, None, 20, 20, 10, 10, 5, 0)
_EASY_RATES_HZ, _EASY_SNRS_DB = RATES_HZ[:2], (None,)
_FEWEST, _SHORTEST_SECONDS = 3, 4.0
# Planted in the first videos of a shuffled split; +1 and -1 are surplus and missing lines of the label file.
_PROBLEMS = {"train": ("+1", "no-audio", "unlabelled", "out"), "validation": ("turned", "-1"), "test": ("turned",)}
_FACE_STRENGTHS, _VOICE_STRENGTHS = (0.3, 0.95), (0.75, 1.0)
# As in Aff-Wild2: neutral a little above half of the frames; fear, disgust and anger rare.
FREQUENCIES = {"disgust": 0.04, "fear": 0.045, "anger": 0.055, "surprise": 0.07, "sadness": 0.10, "happiness": 0.125}
BALANCED = dict.fromkeys(FREQUENCIES, 1 / (len(FREQUENCIES) + 1))
# Of seven segments with speech; including those of silent subjects, about half of the time both express the emotion.
_MODES_WITH_SPEECH = ("both", "voice", "both", "face", "both", "voice", "both")
_ENOUGH = 10  # segments, below which some classes are left out


@dataclass(frozen=True)
class ScriptSegment:
    """A stretch of time with one emotion of one subject.

    face, voice: the emotion that each of them expresses; voice is None while the subject does not speak.
    face_strength, voice_strength: the intensity, 0 to 1. labelled: whether the segment is annotated.
    """

    start: float
    end: float
    emotion: str = "neutral"
    face: str = "neutral"
    voice: str | None = "neutral"
    face_strength: float = 1.0
    voice_strength: float = 1.0
    labelled: bool = True


@dataclass(frozen=True)
class PlannedEntry:
    """One subject of one video. side: -1 on the left of the frame, 1 on the right, 0 alone.

    delay: of the annotation, in seconds. extra_lines: surplus of lines in the label file over frames.
    away: (start, end, "turned" or "out"), when the face is not visible.
    """

    name: str
    subject: int
    side: int
    segments: tuple[ScriptSegment, ...]
    delay: float
    extra_lines: int = 0
    away: tuple[float, float, str] | None = None


@dataclass(frozen=True)
class PlannedVideo:
    """One video; `snr_db` is None without background audio."""

    number: int
    name: str
    batch: str
    split: str
    rate_hz: Fraction
    frames: int
    entries: tuple[PlannedEntry, ...]
    has_audio: bool
    background: str
    snr_db: int | None

    @property
    def seconds(self) -> float:
        """Length of the video stream."""
        return float(self.frames / self.rate_hz)


def plan_corpus(videos: int, seconds: float, *, seed: int, easy: bool = False) -> tuple[PlannedVideo, ...]:
    """The plan of a corpus with a number of videos of a length in seconds.

    Args:
        easy: balanced emotions, no background audio, no frame rate above 15 Hz.
    Raises:
        SettingsError: fewer than 3 videos, or videos shorter than 4 s.

    >>> sorted({video.split for video in plan_corpus(3, 6.0, seed=0)})
    ['test', 'train', 'validation']
    """
    if videos < _FEWEST:
        raise SettingsError(f"a corpus of {videos} videos: give at least {_FEWEST}, one for each split.")
    if not (np.isfinite(seconds) and seconds >= _SHORTEST_SECONDS):
        raise SettingsError(f"a corpus of videos of {seconds:g} s: give at least {_SHORTEST_SECONDS:g} s.")
    rng = np.random.default_rng([seed, 0])
    drafts = _drafts(videos, seconds, rng, easy=easy)
    done: list[PlannedVideo] = []
    for split in SPLITS:
        members = _with_problems([video for video in drafts if video.split == split], videos, rng)
        done += _with_emotions(members, rng, easy=easy)
    return tuple(sorted(done, key=lambda video: video.number))


def frame_labels(entry: PlannedEntry, video: PlannedVideo) -> Ints:
    """The lines of an entry's label file, int64 [frames + entry.extra_lines]: index in AFFWILD2, -1 if unlabelled."""
    time = np.arange(video.frames) / float(video.rate_hz) - entry.delay
    starts = [segment.start for segment in entry.segments]
    at = np.maximum(np.searchsorted(starts, time, side="right") - 1, 0)
    index = AFFWILD2.encode(segment.emotion if segment.labelled else None for segment in entry.segments)
    labels = index[at]
    return np.append(labels, labels[-1:])[: video.frames + entry.extra_lines]


def planted_problems(videos: Sequence[PlannedVideo]) -> list[dict[str, str]]:
    """The deliberate problems of the corpus, as {"code", "item"} with codes of `datasets.problems`."""
    found = []
    for video in videos:
        found += [] if video.has_audio else [{"code": "no-audio", "item": video.name}]
        for entry in video.entries:
            kinds = {
                "off-by-one": entry.extra_lines != 0,
                "unlabelled": bool((frame_labels(entry, video) == UNLABELLED).any()),
                "no-face": entry.away is not None,
            }
            found += [{"code": code, "item": entry.name} for code, there in kinds.items() if there]
    return found


def _drafts(count: int, seconds: float, rng: np.random.Generator, *, easy: bool) -> list[PlannedVideo]:
    """Videos without emotions and problems: split, frame rate, subjects, turns of speech, background audio."""
    held = max(1, round(count / 4))
    order = rng.permutation(count)
    ranks = (0, count - 2 * held, count - held)
    splits = np.empty(count, "<U10")
    splits[order] = np.repeat(SPLITS, [count - 2 * held, held, held])
    # Pairs are in the first videos of each split in turn, so that no split has all of them.
    pairs = {int(order[ranks[k % 3] + k // 3]) for k in range(max(1, count // 6)) if k // 3 < held}
    rates = _shuffled(_EASY_RATES_HZ if easy else RATES_HZ, count, rng)
    backgrounds = _shuffled(BACKGROUNDS, count, rng)
    snrs = _shuffled(_EASY_SNRS_DB if easy else SNRS_DB, count, rng)
    subjects = _assign_subjects(splits.tolist(), pairs, rng)
    drafts = []
    for n in range(count):
        draft = PlannedVideo(
            number=n,
            name=f"{n + 1}-{round(rates[n])}-{SIZE[0]}x{SIZE[1]}" if n % 2 else f"video{n + 1}",
            batch=f"batch{1 + (n >= count / 2)}",
            split=str(splits[n]),
            rate_hz=rates[n],
            frames=round(Fraction(seconds) * rates[n]),
            entries=(),
            has_audio=True,
            background="none" if snrs[n] is None else backgrounds[n],
            snr_db=snrs[n],
        )
        drafts.append(replace(draft, entries=_entries(draft, subjects[n], rng)))
    return drafts


def _shuffled(cards: Sequence[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """`count` items in random order, with equal frequencies up to one."""
    deck = [cards[k] for k in rng.permutation(len(cards))] * (count // len(cards) + 1)
    return [deck[k] for k in rng.permutation(count)]


def _assign_subjects(splits: list[str], pairs: set[int], rng: np.random.Generator) -> list[list[int]]:
    """The subject numbers of each video; no subject is in two splits, some are in two videos."""
    subjects: list[list[int]] = [[] for _ in splits]
    first = 0
    for split in SPLITS:
        members = [n for n, name in enumerate(splits) if name == split]
        roles = [n for n in rng.permutation(members).tolist() for _ in range(1 + (n in pairs))]
        pool = max(2, round(0.8 * len(roles)))
        for turn, n in enumerate(roles):
            subjects[n].append(first + turn % pool)
        first += pool
    return subjects


def _entries(video: PlannedVideo, subjects: list[int], rng: np.random.Generator) -> tuple[PlannedEntry, ...]:
    longest = min(5.0, video.seconds / 3)
    lengths = rng.uniform(longest / 2, longest, int(np.ceil(2 * video.seconds / longest)))
    borders = np.concatenate([[0.0], np.cumsum(lengths)])
    inner = borders[borders < video.seconds - longest / 3]
    marks = np.append(inner, video.seconds).round(3).tolist()
    sides = (-1, 1) if len(subjects) == 2 else (0,)
    first = int(rng.integers(2))
    entries = []
    for k, (subject, side) in enumerate(zip(subjects, sides, strict=True)):
        # Two subjects take turns; a single one always talks.
        segments = tuple(
            ScriptSegment(start, end, voice="neutral" if side == 0 or (n + first) % 2 == k else None)
            for n, (start, end) in enumerate(pairwise(marks))
        )
        name = video.name + {-1: "_left", 0: "", 1: "_right"}[side]
        entries.append(PlannedEntry(name, subject, side, segments, delay=round(float(rng.uniform(0.1, 0.4)), 3)))
    return tuple(entries)


def _with_problems(videos: list[PlannedVideo], count: int, rng: np.random.Generator) -> list[PlannedVideo]:
    """The videos of one split with planted problems, at most one per video."""
    kinds = _PROBLEMS[videos[0].split] * max(1, count // 24)
    if count < 12:
        kinds = kinds[: len(videos) // 2]
    chosen = rng.permutation(len(videos))[: len(kinds)].tolist()
    for n, kind in zip(chosen, kinds, strict=False):
        video = videos[n]
        if kind == "no-audio":
            videos[n] = replace(video, has_audio=False, background="none", snr_db=None)
            continue
        k = int(rng.integers(len(video.entries)))
        entries = list(video.entries)
        entries[k] = _with_problem(entries[k], kind, rng)
        videos[n] = replace(video, entries=tuple(entries))
    return videos


def _with_problem(entry: PlannedEntry, kind: str, rng: np.random.Generator) -> PlannedEntry:
    if kind in ("+1", "-1"):
        return replace(entry, extra_lines=int(kind))
    if kind == "unlabelled":
        # Never the first segment: the delay of the annotation would extend a label into it.
        n = int(rng.integers(1, len(entry.segments)))
        segments = [replace(segment, labelled=k != n) for k, segment in enumerate(entry.segments)]
        return replace(entry, segments=tuple(segments))
    whole = entry.segments[-1].end
    length = min(3.0, 0.35 * whole)
    start = float(rng.uniform(0.3, whole - length - 0.3))
    return replace(entry, away=(round(start, 3), round(start + length, 3), kind))


def _with_emotions(videos: list[PlannedVideo], rng: np.random.Generator, *, easy: bool) -> list[PlannedVideo]:
    """The videos of one split with emotions, and the modalities that express them, assigned to their segments."""
    video_of = [video for video in videos for entry in video.entries for _ in entry.segments]
    segments = [segment for video in videos for entry in video.entries for segment in entry.segments]
    labelled = np.array([segment.labelled for segment in segments])
    frames = np.array([(s.end - s.start) * float(video.rate_hz) for s, video in zip(segments, video_of, strict=True)])
    emotions = np.array([draw_emotion(rng) for _ in segments], dtype=object)
    emotions[labelled] = assign_emotions(frames[labelled], rng, frequencies=BALANCED if easy else FREQUENCIES)
    audible = [video.has_audio and segment.voice is not None for segment, video in zip(segments, video_of, strict=True)]
    modes = assign_modes(emotions.tolist(), audible, rng)
    acted = iter([_acted(*row, rng) for row in zip(segments, emotions.tolist(), modes, strict=True)])
    return [replace(video, entries=tuple(_with_segments(entry, acted) for entry in video.entries)) for video in videos]


def _with_segments(entry: PlannedEntry, acted: Iterator[ScriptSegment]) -> PlannedEntry:
    return replace(entry, segments=tuple(next(acted) for _ in entry.segments))


def _acted(segment: ScriptSegment, emotion: str, mode: str, rng: np.random.Generator) -> ScriptSegment:
    return replace(
        segment,
        emotion=emotion,
        face=emotion if mode in ("both", "face") else "neutral",
        voice=segment.voice and (emotion if mode in ("both", "voice") else "neutral"),
        face_strength=round(float(rng.uniform(*_FACE_STRENGTHS)), 3),
        voice_strength=round(float(rng.uniform(*_VOICE_STRENGTHS)), 3),
    )


# -- emotions and modalities of segments ----------------------------------------------------------------------


def draw_emotion(rng: np.random.Generator) -> str:
    """A random emotion with the frequencies of Aff-Wild2."""
    weights = [*FREQUENCIES.values(), 1 - sum(FREQUENCIES.values())]
    return [*FREQUENCIES, "neutral"][int(rng.choice(len(weights), p=weights))]


def assign_emotions(
    frames: NDArray[Any], rng: np.random.Generator, *, frequencies: Mapping[str, float] = MappingProxyType(FREQUENCIES)
) -> list[str]:
    """An emotion for each segment, so that class frequencies over frames are met and every class occurs if possible.

    Args:
        frames: [segments], the number of frames of each, not necessarily whole.
        frequencies: of all emotions but neutral, the rarest first.

    >>> sorted(set(assign_emotions(np.full(20, 60.0), np.random.default_rng(0))))
    ['anger', 'disgust', 'fear', 'happiness', 'neutral', 'sadness', 'surprise']
    """
    emotions = ["neutral"] * len(frames)
    free: list[int] = rng.permutation(len(frames)).tolist()
    if len(frames) < _ENOUGH:
        for name in list(frequencies)[::-1][: len(frames) // 2]:
            emotions[free.pop()] = name
        return emotions
    for name, frequency in frequencies.items():
        missing = frequency * float(frames.sum())
        while True:
            fitting = [n for n in free if frames[n] <= 1.5 * missing]
            if not fitting and name in emotions:
                break
            chosen = fitting[0] if fitting else min(free, key=lambda n: float(frames[n]))
            free.remove(chosen)
            emotions[chosen] = name
            missing -= float(frames[chosen])
    return emotions


def assign_modes(emotions: Sequence[str], audible: Sequence[bool], rng: np.random.Generator) -> list[str]:
    """The modality that expresses the emotion of each segment, "both", "face" or "voice", in turn within each class.

    It is the face in segments that are not audible, and in neutral ones.

    >>> assign_modes(["fear", "fear", "fear"], [True, True, False], np.random.default_rng(1))
    ['both', 'voice', 'face']
    """
    modes = ["face"] * len(emotions)
    turn = 0
    for name in FREQUENCIES:
        with_speech = [n for n in range(len(emotions)) if emotions[n] == name and audible[n]]
        for n in rng.permutation(with_speech).tolist():
            modes[n] = _MODES_WITH_SPEECH[turn % len(_MODES_WITH_SPEECH)]
            turn += 1
    return modes
