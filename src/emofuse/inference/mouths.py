"""The mouths of each person, second by second, as the network for active speakers encodes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import TICKS_PER_SECOND
from emofuse.faces.mouth import Mouths
from emofuse.inference.face_stages import ScoredFace
from emofuse.speech.active_speaker import CONTEXT, FRAME, FRAMES, WIDEST_GAP, ActiveSpeakerNetworks

Floats = NDArray[np.float32]

_REACH = CONTEXT * FRAME + WIDEST_GAP  # ticks around a chunk in which mouths count


class Mouth(NamedTuple):
    """The mouth of one person in a second: outputs float32 [FRAMES, WIDTH], and in which frames it was followed, bool
    [FRAMES]."""

    outputs: Floats
    valid: NDArray[np.bool_]


class MouthSecond(NamedTuple):
    """The mouths in second number `number` by person; there is one for every second, also without a mouth."""

    number: int
    persons: dict[int, Mouth]


class MouthSeconds:
    """Encodes the mouths of one video, second by second. origin: ticks, where second 0 begins."""

    def __init__(self, networks: ActiveSpeakerNetworks, origin: int = 0) -> None:
        self._networks, self._origin = networks, origin
        self._waiting: dict[int, list[Mouths]] = {}  # by person, in the order of time; what later seconds need
        self._next = 0
        self._ready: list[MouthSecond] = []

    def push(self, faces: Iterable[ScoredFace], complete: int) -> None:
        """Take faces with their mouths; all faces before `complete` (ticks) have been pushed."""
        for face in faces:
            if face.mouths is not None:
                self._waiting.setdefault(face.person, []).append(face.mouths)
        while self._start(self._next + 1) + _REACH <= complete:
            self._encode()

    def close(self) -> None:
        """Encode what is left."""
        while self._waiting:
            self._encode()

    @property
    def lookahead(self) -> int:
        """Ticks of faces after the start of a second that it needs."""
        return TICKS_PER_SECOND + _REACH

    def take(self) -> list[MouthSecond]:
        """The seconds that were completed since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def _start(self, number: int) -> int:
        return self._origin + number * TICKS_PER_SECOND

    def _encode(self) -> None:
        start, end = self._start(self._next), self._start(self._next + 1)
        persons = {}
        for person, waiting in sorted(self._waiting.items()):
            waiting.sort(key=lambda mouths: int(mouths.times[0]))
            times = np.concatenate([mouths.times for mouths in waiting])
            used = (times >= start - _REACH) & (times < end + _REACH)
            if np.any((times >= start) & (times < end)):
                crops = np.concatenate([mouths.crops for mouths in waiting])
                grid = start + FRAME // 2 + FRAME * np.arange(-CONTEXT, FRAMES + CONTEXT)
                images, valid = resampled(times[used], crops[used], grid)
                persons[person] = Mouth(self._networks.mouth(images), valid[CONTEXT:-CONTEXT])
        self._ready.append(MouthSecond(self._next, persons))
        kept = {p: [m for m in waiting if m.times[-1] >= end - _REACH] for p, waiting in self._waiting.items()}
        self._waiting = {person: waiting for person, waiting in kept.items() if waiting}
        self._next += 1


def resampled(
    times: NDArray[np.int64], crops: NDArray[np.uint8], grid: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Crops at other times: means of the two nearest ones, weighted by time, float32 [m, size, size].

    Before the first and after the last one they stand still. Also where there are two that are close enough to follow
    the motion of lips, bool [m].
    """
    if len(times) == 1:
        return np.repeat(crops.astype(np.float32), len(grid), axis=0), np.zeros(len(grid), bool)
    left = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(times) - 2)
    gap = times[left + 1] - times[left]
    weight = np.clip((grid - times[left]) / gap, 0, 1).astype(np.float32)[:, None, None]
    images = crops[left] * (1 - weight) + crops[left + 1] * weight
    inside = (grid >= times[left] - FRAME) & (grid <= times[left + 1] + FRAME)
    return images.astype(np.float32), inside & (gap <= WIDEST_GAP)
