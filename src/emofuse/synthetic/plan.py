"""What happens when in a synthetic corpus: who is in which video, what they feel, what shows it, and the warts.

Pure numbers, nothing is drawn here. Times are seconds from the start of a video; emotions are names of AFFWILD2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2, UNLABELLED
from emofuse.errors import SettingsError
from emofuse.synthetic.assignment import EVEN, SHARES, deal_emotions, deal_modes, draw_emotion

Ints = NDArray[np.int64]

SPLITS = ("train", "validation", "test")
RATES_HZ = (Fraction(15, 2), Fraction(15), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30),
            Fraction(60))  # fmt: skip
SIZE = (480, 270)
BACKGROUNDS = ("music", "pink", "babble", "hum")
SNRS_DB = (None, None, 20, 20, 10, 10, 5, 0)
_EASY_RATES_HZ, _EASY_SNRS_DB = RATES_HZ[:2], (None,)
_FEWEST, _SHORTEST_SECONDS = 3, 4.0
# Warts are planted in the first videos of a shuffled split; +1 and -1 are lines of the label file too many or few.
_WARTS = {"train": ("+1", "no-audio", "unlabelled", "out"), "validation": ("turned", "-1"), "test": ("turned",)}
_FACE_STRENGTHS, _VOICE_STRENGTHS = (0.3, 0.95), (0.75, 1.0)


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which one person feels one thing.

    face, voice: the emotion that each of them shows; voice is None while the person does not speak.
    face_strength, voice_strength: how much of it, 0 to 1. labelled: whether annotators have looked at it.
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
class Entry:
    """One person of one video. side: -1 on the left of the picture, 1 on the right, 0 alone.

    delay: how late annotators react. extra_lines: lines of the label file more than there are frames.
    away: (start, end, "turned" or "out"), when the face cannot be seen.
    """

    name: str
    person: int
    side: int
    segments: tuple[Segment, ...]
    delay: float
    extra_lines: int = 0
    away: tuple[float, float, str] | None = None


@dataclass(frozen=True)
class Video:
    """One film; `snr_db` is None where nothing but the voice is heard."""

    number: int
    name: str
    batch: str
    split: str
    rate_hz: Fraction
    frames: int
    entries: tuple[Entry, ...]
    sound: bool
    background: str
    snr_db: int | None

    @property
    def seconds(self) -> float:
        """Length of the picture."""
        return float(self.frames / self.rate_hz)


def plan_corpus(videos: int, seconds: float, *, seed: int, easy: bool = False) -> tuple[Video, ...]:
    """Everything that a corpus of some videos of some length will show.

    Args:
        easy: each emotion as often as the others, nothing behind the voices, no frame rate above 15 Hz.
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
    done: list[Video] = []
    for split in SPLITS:
        members = _with_warts([video for video in drafts if video.split == split], videos, rng)
        done += _felt(members, rng, easy=easy)
    return tuple(sorted(done, key=lambda video: video.number))


def frame_labels(entry: Entry, video: Video) -> Ints:
    """The lines of the entry's label file: class index in AFFWILD2 for each frame, -1 where nobody has labelled.

    int64 [frames + entry.extra_lines].
    """
    time = np.arange(video.frames) / float(video.rate_hz) - entry.delay
    starts = [segment.start for segment in entry.segments]
    at = np.maximum(np.searchsorted(starts, time, side="right") - 1, 0)
    index = AFFWILD2.encode(segment.emotion if segment.labelled else None for segment in entry.segments)
    labels = index[at]
    return np.append(labels, labels[-1:])[: video.frames + entry.extra_lines]


def planted_problems(videos: Sequence[Video]) -> list[dict[str, str]]:
    """The deliberate problems of the corpus, as {"code", "item"} with codes of `datasets.problems`."""
    found = []
    for video in videos:
        found += [] if video.sound else [{"code": "no-audio", "item": video.name}]
        for entry in video.entries:
            kinds = {
                "off-by-one": entry.extra_lines != 0,
                "unlabelled": bool((frame_labels(entry, video) == UNLABELLED).any()),
                "no-face": entry.away is not None,
            }
            found += [{"code": code, "item": entry.name} for code, there in kinds.items() if there]
    return found


def _drafts(count: int, seconds: float, rng: np.random.Generator, *, easy: bool) -> list[Video]:
    """Videos without emotions or warts: split, rate, persons, who speaks when, what is heard behind."""
    held = max(1, round(count / 4))
    order = rng.permutation(count)
    ranks = (0, count - 2 * held, count - held)
    splits = np.empty(count, "<U10")
    splits[order] = np.repeat(SPLITS, [count - 2 * held, held, held])
    # The first videos of the splits, in turn, have two persons, so that no split has them all.
    pairs = {int(order[ranks[k % 3] + k // 3]) for k in range(max(1, count // 6)) if k // 3 < held}
    rates = _shuffled(_EASY_RATES_HZ if easy else RATES_HZ, count, rng)
    backgrounds = _shuffled(BACKGROUNDS, count, rng)
    snrs = _shuffled(_EASY_SNRS_DB if easy else SNRS_DB, count, rng)
    people = _cast(splits.tolist(), pairs, rng)
    drafts = []
    for n in range(count):
        draft = Video(
            number=n,
            name=f"{n + 1}-{round(rates[n])}-{SIZE[0]}x{SIZE[1]}" if n % 2 else f"video{n + 1}",
            batch=f"batch{1 + (n >= count / 2)}",
            split=str(splits[n]),
            rate_hz=rates[n],
            frames=round(Fraction(seconds) * rates[n]),
            entries=(),
            sound=True,
            background="none" if snrs[n] is None else backgrounds[n],
            snr_db=snrs[n],
        )
        drafts.append(replace(draft, entries=_entries(draft, people[n], rng)))
    return drafts


def _shuffled(cards: Sequence[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """`count` cards in random order, each as often as the others, give or take one."""
    deck = [cards[k] for k in rng.permutation(len(cards))] * (count // len(cards) + 1)
    return [deck[k] for k in rng.permutation(count)]


def _cast(splits: list[str], pairs: set[int], rng: np.random.Generator) -> list[list[int]]:
    """The persons of each video, by number; nobody is in two splits, some are in two videos."""
    people: list[list[int]] = [[] for _ in splits]
    first = 0
    for split in SPLITS:
        members = [n for n, name in enumerate(splits) if name == split]
        roles = [n for n in rng.permutation(members).tolist() for _ in range(1 + (n in pairs))]
        pool = max(2, round(0.8 * len(roles)))
        for turn, n in enumerate(roles):
            people[n].append(first + turn % pool)
        first += pool
    return people


def _entries(video: Video, people: list[int], rng: np.random.Generator) -> tuple[Entry, ...]:
    longest = min(5.0, video.seconds / 3)
    lengths = rng.uniform(longest / 2, longest, int(np.ceil(2 * video.seconds / longest)))
    borders = np.concatenate([[0.0], np.cumsum(lengths)])
    inner = borders[borders < video.seconds - longest / 3]
    marks = np.append(inner, video.seconds).round(3).tolist()
    sides = (-1, 1) if len(people) == 2 else (0,)
    first = int(rng.integers(2))
    entries = []
    for k, (person, side) in enumerate(zip(people, sides, strict=True)):
        # Two people take turns; one alone always talks.
        segments = tuple(
            Segment(start, end, voice="neutral" if side == 0 or (n + first) % 2 == k else None)
            for n, (start, end) in enumerate(pairwise(marks))
        )
        name = video.name + {-1: "_left", 0: "", 1: "_right"}[side]
        entries.append(Entry(name, person, side, segments, delay=round(float(rng.uniform(0.1, 0.4)), 3)))
    return tuple(entries)


def _with_warts(videos: list[Video], count: int, rng: np.random.Generator) -> list[Video]:
    """The videos of one split, some of them with something wrong, at most one thing in a video."""
    kinds = _WARTS[videos[0].split] * max(1, count // 24)
    if count < 12:
        kinds = kinds[: len(videos) // 2]
    chosen = rng.permutation(len(videos))[: len(kinds)].tolist()
    for n, kind in zip(chosen, kinds, strict=False):
        video = videos[n]
        if kind == "no-audio":
            videos[n] = replace(video, sound=False, background="none", snr_db=None)
            continue
        k = int(rng.integers(len(video.entries)))
        entries = list(video.entries)
        entries[k] = _spoilt(entries[k], kind, rng)
        videos[n] = replace(video, entries=tuple(entries))
    return videos


def _spoilt(entry: Entry, kind: str, rng: np.random.Generator) -> Entry:
    if kind in ("+1", "-1"):
        return replace(entry, extra_lines=int(kind))
    if kind == "unlabelled":
        # Never the first: a label shown late would reach into it.
        n = int(rng.integers(1, len(entry.segments)))
        segments = [replace(segment, labelled=k != n) for k, segment in enumerate(entry.segments)]
        return replace(entry, segments=tuple(segments))
    whole = entry.segments[-1].end
    length = min(3.0, 0.35 * whole)
    start = float(rng.uniform(0.3, whole - length - 0.3))
    return replace(entry, away=(round(start, 3), round(start + length, 3), kind))


def _felt(videos: list[Video], rng: np.random.Generator, *, easy: bool) -> list[Video]:
    """The videos of one split with emotions, and what shows them, dealt over all their segments."""
    films = [video for video in videos for entry in video.entries for _ in entry.segments]
    segments = [segment for video in videos for entry in video.entries for segment in entry.segments]
    seen = np.array([segment.labelled for segment in segments])
    frames = np.array([(s.end - s.start) * float(film.rate_hz) for s, film in zip(segments, films, strict=True)])
    emotions = np.array([draw_emotion(rng) for _ in segments], dtype=object)
    emotions[seen] = deal_emotions(frames[seen], rng, shares=EVEN if easy else SHARES)
    heard = [film.sound and segment.voice is not None for segment, film in zip(segments, films, strict=True)]
    modes = deal_modes(emotions.tolist(), heard, rng)
    felt = iter([_shown(*card, rng) for card in zip(segments, emotions.tolist(), modes, strict=True)])
    return [replace(video, entries=tuple(_retold(entry, felt) for entry in video.entries)) for video in videos]


def _retold(entry: Entry, felt: Iterator[Segment]) -> Entry:
    return replace(entry, segments=tuple(next(felt) for _ in entry.segments))


def _shown(segment: Segment, emotion: str, mode: str, rng: np.random.Generator) -> Segment:
    return replace(
        segment,
        emotion=emotion,
        face=emotion if mode in ("both", "face") else "neutral",
        voice=segment.voice and (emotion if mode in ("both", "voice") else "neutral"),
        face_strength=round(float(rng.uniform(*_FACE_STRENGTHS)), 3),
        voice_strength=round(float(rng.uniform(*_VOICE_STRENGTHS)), 3),
    )
