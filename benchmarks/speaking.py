"""Who speaks: two people side by side, made of clips of talking heads, of which at most some are audible.

    python benchmarks/speaking.py CLIPS                       # CLIPS/labels.csv: path, emotion, speaker, ...
    python benchmarks/speaking.py CLIPS --speakers jav-03 jav-08 --only 30 emotions

The two speakers are those that `emofuse train active-speaker` sets aside; both always move their mouths. In turns the
left one, the right one, both, a third speaker, music or nobody is audible. Decisions of half a second count where the
audible voice is speech, and turns as a whole. Conditions: frame rates, one face turned (perspective), babble noise of
the other speakers. `emotions`: pairs of different emotions; fused UAR with the voice attributed, shared, and known.
Intervals: 95 % percentile bootstrap over pairs of clips (1,000 resamples, seed 0).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from measure import environment
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from emofuse.core.time import TICKS_PER_SECOND
from emofuse.core.types import Scores
from emofuse.inference.prediction import Prediction
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.audio import AudioReader
from emofuse.media.encode import write_video
from emofuse.media.video import VideoReader
from emofuse.speech.energy import EnergyDetector
from emofuse.systems import VOICE
from emofuse.training.active_speaker.train import set_aside

RATE = 48_000
LEFT, RIGHT, BOTH, OFF, MUSIC, SILENT = "left", "right", "both", "off-screen", "music", "silent"
ORDER = (LEFT, RIGHT, BOTH, RIGHT, OFF, LEFT, MUSIC, RIGHT, SILENT, LEFT)  # who is audible, in turns
HALF = 0.5  # seconds
Images, Ints = NDArray[np.uint8], NDArray[np.int64]


@dataclass(frozen=True)
class Clip:
    path: Path
    emotion: str
    speaker: str


@dataclass(frozen=True)
class Condition:
    """rate_hz: frames per second. turned: whether the left face is turned. babble_db: SNR of babble noise, if any."""

    name: str
    rate_hz: Fraction = Fraction(30_000, 1001)
    turned: bool = False
    babble_db: float | None = None


@dataclass(frozen=True)
class Turn:
    """A part of a scene in which the same are audible; seconds."""

    audible: str
    start: float
    end: float
    left: Clip
    right: Clip
    pair: int


CONDITIONS = (
    Condition("30"),
    Condition("25", Fraction(25)),
    Condition("15", Fraction(15)),
    Condition("12", Fraction(12)),
    Condition("turned", turned=True),
    Condition("babble 10 dB", babble_db=10),
    Condition("babble 0 dB", babble_db=0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder with labels.csv")
    parser.add_argument("--speakers", nargs=2, help="default: those that are set aside in the training")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--only", nargs="+", help="names of conditions; default: all")
    options = parser.parse_args()
    with (options.clips / "labels.csv").open(encoding="utf-8") as file:
        clips = [Clip(options.clips / r["path"], r["emotion"], r["speaker"]) for r in csv.DictReader(file)]
    speakers = options.speakers or set_aside(sorted({clip.speaker for clip in clips}))
    people = [[clip for clip in clips if clip.speaker == speaker] for speaker in speakers]
    others = [clip for clip in clips if clip.speaker not in speakers]
    predictor = Predictor(Options())
    print(f"{environment()}; {' and '.join(speakers)}, {options.pairs} pairs of clips")
    print(f"{'':<14}{'half seconds':>22}{'turns':>22}{'AUC':>7}{'nobody in view speaks':>24}")
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.mp4"
        for condition in CONDITIONS:
            if options.only is None or condition.name in options.only:
                turns = made(scene, people, others, condition, options.pairs, ORDER)
                print(f"{condition.name:<14}{measured(predictor.predict(scene), turns)}", flush=True)
        if options.only is None or "emotions" in options.only:
            emotions(scene, predictor, people, others, options.pairs)


def made(
    path: Path,
    people: Sequence[Sequence[Clip]],
    others: Sequence[Clip],
    condition: Condition,
    pairs: int,
    order: Sequence[str],
) -> list[Turn]:
    """Write a scene; returns its turns."""
    turns, shown, audio, reached = [], list[tuple[Path, Path, Ints]](), list[NDArray[np.float32]](), 0.0
    rng = np.random.default_rng(0)
    for n in range(pairs):
        left, right = people[0][n % len(people[0])], people[1][(5 * n + 3) % len(people[1])]
        audible = order[n % len(order)]
        one, two = (images(clip.path) for clip in (left, right))
        seconds = min(len(one), len(two)) * 1001 / 30_000
        count = round(seconds * condition.rate_hz)
        wanted = np.minimum((np.arange(count) / condition.rate_hz * 30_000 / 1001).astype(int), len(one) - 1)
        wanted = np.minimum(wanted, len(two) - 1)
        shown.append((left.path, right.path, wanted))
        length = count / float(condition.rate_hz)
        size = round((reached + length) * RATE) - round(reached * RATE)
        audio.append(sounds(audible, [left, right, others[(7 * n) % len(others)]], size, rng))
        turns.append(Turn(audible, reached, reached + length, left, right, n))
        reached += length
    mixed = np.concatenate(audio)
    if condition.babble_db is not None:
        mixed = mixed + babble(others, len(mixed), float(np.sqrt(np.mean(np.square(mixed)))), condition.babble_db)
    write_video(
        path, beside(shown, condition), rate_hz=condition.rate_hz, audio=np.clip(mixed, -1, 1).astype(np.float32)
    )
    return turns


def beside(shown: Sequence[tuple[Path, Path, Ints]], condition: Condition) -> Iterator[Images]:
    """The frames of pairs of clips, side by side."""
    for left, right, numbers in shown:
        one, two = images(left), images(right)
        yield from (np.hstack([turned(one[k]) if condition.turned else one[k], two[k]]) for k in numbers)


def sounds(audible: str, clips: Sequence[Clip], size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The audio of a turn: of the left, the right or a third clip, of both, of chords, or nearly nothing."""
    left, right, third = (fitted(voice(clip.path), size) for clip in clips)
    time = np.arange(size) / RATE
    notes = 220 * 2 ** (np.array([0, 4, 7, 12]) / 12)[:, None] * 2 ** (np.floor(time * 2) % 5 / 12)
    chords = 0.05 * np.sin(2 * np.pi * np.cumsum(notes, axis=1) / RATE).sum(axis=0) * (1 - time * 2 % 1) ** 0.5
    noise = 0.0005 * rng.standard_normal(size)
    by_name = {LEFT: left, RIGHT: right, BOTH: left + right, OFF: third, MUSIC: chords, SILENT: 0 * left}
    return np.asarray(by_name[audible] + noise, np.float32)


def babble(clips: Sequence[Clip], size: int, level: float, snr_db: float) -> NDArray[np.float32]:
    """Six voices at once, at a signal-to-noise ratio."""
    voices = [np.resize(np.roll(voice(clip.path), 9000 * n), size) for n, clip in enumerate(clips[::17][:6])]
    noise = np.sum(voices, axis=0)
    return np.asarray(noise * (level / np.sqrt(np.mean(np.square(noise))) * 10 ** (-snr_db / 20)), np.float32)


@cache
def images(path: Path) -> Images:
    with VideoReader(path) as video:
        return np.stack([frame.rgb() for frame in video.frames()])


@cache
def voice(path: Path) -> NDArray[np.float32]:
    with AudioReader(path, rate_hz=RATE) as audio:
        return np.concatenate([block.samples for block in audio.blocks()])


def fitted(samples: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.pad(samples, (0, max(size - len(samples), 0)))[:size]


def turned(image: Images) -> Images:
    """The image as if it hung on a wall that is turned by about 45 degrees."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    narrow = np.array([[60, 0], [300, 40], [300, height - 40], [60, height]], np.float32)
    return np.asarray(
        cv2.warpPerspective(image, cv2.getPerspectiveTransform(corners, narrow), (width, height)), np.uint8
    )


@dataclass(frozen=True)
class _Halves:
    """Means over the rows of each half second with speech: of the left person and the right one."""

    turn: Turn
    speaking: NDArray[np.float64]  # [halves, 2]


def measured(prediction: Prediction, turns: Sequence[Turn]) -> str:
    halves = list(_halves(prediction, turns))
    decided = [h for h in halves if h.turn.audible in (LEFT, RIGHT) and len(h.speaking)]
    right = [_right(h.speaking, h.turn) for h in decided]
    whole = [_right(h.speaking.mean(axis=0, keepdims=True), h.turn) for h in decided]
    speaks = {LEFT: (1, 0), RIGHT: (0, 1), BOTH: (1, 1)}
    truth = np.concatenate([np.tile(speaks.get(h.turn.audible, (0, 0)), (len(h.speaking), 1)) for h in halves])
    values = np.concatenate([h.speaking for h in halves])
    auc = roc_auc_score(truth.ravel(), values.ravel())
    alone = {
        name: np.concatenate([h.speaking for h in halves if h.turn.audible == name]) for name in (OFF, MUSIC, SILENT)
    }
    false = "  ".join(f"{name} {float((v > 0.5).mean()):.2f}" for name, v in alone.items() if len(v))
    return f"{with_interval(right):>22}{with_interval(whole):>22}{auc:7.3f}   {false}"


def _right(speaking: NDArray[np.float64], turn: Turn) -> NDArray[np.bool_]:
    """Where the one who is audible is more probable to speak than the other."""
    own, other = speaking.T if turn.audible == LEFT else speaking.T[::-1]
    return np.asarray(own > other)


def _halves(prediction: Prediction, turns: Sequence[Turn]) -> Iterator[_Halves]:
    """The speaking of both persons in each half second of a turn in which there is speech, or any in silent turns."""
    middles = (prediction.timeline.start + prediction.timeline.end) / 2 / TICKS_PER_SECOND
    sides = _sides(prediction)
    speaking = np.full((len(middles), 2), np.nan)
    for person, rows in prediction.speech.items():
        for side in (0, 1):
            known = (sides[person] == side) & ~np.isnan(rows.speaking)
            speaking[known, side] = rows.speaking[known]
    for turn in turns:
        parts = []
        for start in np.arange(turn.start, turn.end - HALF, HALF):
            rows = (middles >= start) & (middles < start + HALF)
            has_speech = _has_speech(turn, start - turn.start)
            if rows.any() and not np.isnan(speaking[rows]).any() and (has_speech or turn.audible in (MUSIC, SILENT)):
                parts.append(speaking[rows].mean(axis=0))
        yield _Halves(turn, np.array(parts).reshape(-1, 2))


def _sides(prediction: Prediction) -> dict[int, NDArray[np.int64]]:
    """For each person and row, whether the face is on the left (0) or the right (1); -1 where there is none."""
    out = {}
    for person, rows in prediction.faces.items():
        x = np.nan_to_num(rows.values[:, 0] + rows.values[:, 2] / 2, nan=-1)
        out[person] = np.where(x < 0, -1, (x >= 0.5).astype(int))
    return out


@cache
def _active(path: Path) -> tuple[tuple[float, float], ...]:
    """Segments of speech of a clip, in seconds."""
    stream, samples = EnergyDetector().stream(RATE), voice(path)
    from emofuse.media.audio import AudioBlock

    segments = [*stream.push(AudioBlock(samples, 0, RATE)), *stream.close()]
    return tuple((s.start / TICKS_PER_SECOND, s.end / TICKS_PER_SECOND) for s in segments if s.active)


def _has_speech(turn: Turn, start: float) -> bool:
    """Whether the clip that is audible has speech in most of half a second."""
    clips = {LEFT: [turn.left], RIGHT: [turn.right], BOTH: [turn.left, turn.right]}.get(turn.audible, [])
    return turn.audible == OFF or any(
        sum(max(0.0, min(b, start + HALF) - max(a, start)) for a, b in _active(clip.path)) > HALF / 2 for clip in clips
    )


def with_interval(parts: Sequence[NDArray[np.bool_]]) -> str:
    """The mean over all parts, with an interval over parts."""
    sums, counts = (np.array([f(part) for part in parts], float) for f in (np.sum, len))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(parts), size=(1000, len(parts)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return f"{sums.sum() / counts.sum():.3f} [{low:.3f}, {high:.3f}]"


def emotions(
    path: Path, predictor: Predictor, people: Sequence[Sequence[Clip]], others: Sequence[Clip], pairs: int
) -> None:
    """Fused UAR of a conversation in turns, of people whose emotions differ."""
    condition, fusion = CONDITIONS[0], predictor.bundle.fusion
    assert fusion is not None
    ordered = [sorted(clips, key=lambda clip: clip.path.name) for clips in people]
    emotion = sorted({clip.emotion for clip in ordered[0]})
    left = [clip for k in range(4) for clip in ordered[0][6 * k : 6 * k + 6]]
    right = []
    for n, clip in enumerate(left):
        wanted = emotion[(emotion.index(clip.emotion) + 1 + n // 6 % 5) % len(emotion)]
        fitting = [c for c in ordered[1] if c.emotion == wanted]
        right.append(fitting[n % len(fitting)])
    by_pair = [left, right]
    hits: dict[str, list[list[tuple[str, bool]]]] = {"shared": [], "attributed": [], "known": [], "face alone": []}
    turns = list[Turn]()
    for n in range(min(pairs, len(left))):
        for audible in (LEFT, RIGHT):
            one = [[clips[n]] for clips in by_pair]
            turns = made(path, one, others, condition, 1, (audible,))
            prediction = predictor.predict(path)
            sides = _sides(prediction)
            for name in hits:
                hits[name].append([])
            for person, scores in prediction.modalities.items():
                seen = sides.get(person, np.array([-1]))
                side = int(np.median(seen[seen >= 0])) if (seen >= 0).any() else -1
                if side < 0:
                    continue
                visible = np.sum([s >= 0 for s in sides.values()], axis=0)
                truth = (turns[0].left, turns[0].right)[side].emotion
                owner = float((audible == LEFT) == (side == 0))
                weights = {
                    "shared": None,
                    "attributed": np.nan_to_num(prediction.speech[person].voice_weight),
                    "known": np.full(len(visible), owner),
                    "face alone": np.zeros(len(visible)),
                }
                timeline, labels = prediction.timeline, predictor.bundle.label_set
                nothing = np.zeros((len(timeline), len(labels)), np.float32)
                absent = Scores(nothing, timeline, labels, np.zeros(len(timeline), bool), "absent")
                given = {m: scores.get(m, absent) for m in fusion.modalities}
                for name, weight in weights.items():
                    fused = fusion(given, visible=visible, voice_weight=weight)
                    rows = fused.valid & (seen >= 0) & scores[VOICE].valid
                    guesses = predictor.bundle.label_set.decode(fused.predictions())
                    hits[name][-1] += [(truth, g == truth) for g, used in zip(guesses, rows, strict=True) if used]
    for name, parts in hits.items():
        values = _uars(parts)
        print(f"emotions, voice {name:<12} UAR of both persons {values}", flush=True)


def _uars(parts: Sequence[Sequence[tuple[str, bool]]]) -> str:
    def uar(chosen: Sequence[int]) -> float:
        by: dict[str, list[bool]] = {}
        for n in chosen:
            for truth, right in parts[n]:
                by.setdefault(truth, []).append(right)
        return float(np.mean([np.mean(v) for v in by.values()]))

    rng = np.random.default_rng(0)
    drawn = [uar(rng.integers(len(parts), size=len(parts))) for _ in range(1000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{uar(range(len(parts))):.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
