"""Turns: when each person speaks, from the probability that a row of a result has for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emofuse.analysis.person_rows import PersonRows

SPEAKING = "speaking"  # the column of the probability
_SPEAKS = 0.5  # probability from which a person speaks
_PAUSE, _SHORTEST = 0.8, 0.4  # seconds: shorter pauses belong to the turn, shorter turns are none


class Turn(NamedTuple):
    """Seconds in which a person speaks, with short pauses."""

    start: float
    end: float

    def within(self, start: float, end: float) -> float:
        """Seconds of it between two times."""
        return max(0.0, min(self.end, end) - max(self.start, start))


def find_turns(person: PersonRows) -> list[Turn] | None:
    """The turns of a person, in the order of time; None if it is not known who speaks.

    Parts in which the person speaks are joined over pauses below 0.8 s; joined parts below 0.4 s are left out.
    """
    if SPEAKING not in person.table.columns:
        return None
    probability = person.table[SPEAKING].to_numpy(np.float64, na_value=np.nan)
    if np.isnan(probability).all():
        return None
    turns = list[Turn]()
    for n in np.flatnonzero(probability >= _SPEAKS):
        start, end = float(person.start[n]), float(person.end[n])
        if turns and start - turns[-1].end < _PAUSE:
            turns[-1] = Turn(turns[-1].start, end)
        else:
            turns.append(Turn(start, end))
    return [turn for turn in turns if turn.end - turn.start >= _SHORTEST - 1e-9]
