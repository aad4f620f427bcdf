"""The running display of `emofuse live`: who is in view with which emotion, and how the session does."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from emofuse.cli.output import print_error
from emofuse.core.time import seconds

if TYPE_CHECKING:
    from emofuse.inference.live import LiveFace, LiveUpdate
    from emofuse.inference.live_run import LiveState

_BAR = 7  # characters
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_REDRAWN = 0.1  # seconds


class LiveDisplay:
    """Draws the latest faces and the voice; without a terminal only notes are printed."""

    def __init__(self, labels: Sequence[str], live: Live | None) -> None:
        self._labels, self._live = labels, live
        self._faces: list[LiveFace] = []
        self._drawn = 0.0

    def note(self, line: str) -> None:
        """Print a line for the user on standard error, above what is drawn."""
        if self._live is None:
            print_error(line)
        else:
            self._live.console.print(line, markup=False, emoji=False, highlight=False)

    def update(self, update: LiveUpdate, state: LiveState) -> None:
        """Draw the latest state, at most every `_REDRAWN` seconds."""
        self._faces = update.faces if update.time >= state.time and update.faces else self._faces
        if self._live is not None and time.monotonic() - self._drawn >= _REDRAWN:
            self._drawn = time.monotonic()
            self._live.update(drawn(self._labels, self._faces, update.voice, state), refresh=True)


@contextmanager
def live_display(labels: Sequence[str], *, shown: bool) -> Iterator[LiveDisplay]:
    """A display on standard error, if that is a terminal."""
    if not (shown and sys.stderr.isatty()):
        yield LiveDisplay(labels, None)
        return
    console = Console(stderr=True, highlight=False, emoji=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveDisplay(labels, live)


def drawn(labels: Sequence[str], faces: Sequence[LiveFace], voice: dict[str, float] | None, state: LiveState) -> Group:
    """A row for each face and the voice, and a line about the session."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("person", "emotion", ""):
        table.add_column(name, no_wrap=True)
    for label in labels:
        table.add_column(label[: _BAR + 2], no_wrap=True, min_width=_BAR)
    for face in faces:
        who = face.name or ("?" if face.person is None else str(face.person))
        confidence = "" if face.confidence is None else f"{face.confidence:.2f}"
        table.add_row(Text(who), face.emotion or face.status, confidence, *_bars(labels, face.probabilities))
    if voice is not None:
        loudest = max(voice, key=lambda label: voice[label])
        table.add_row("voice", loudest, f"{voice[loudest]:.2f}", *_bars(labels, voice))
    line = (
        f"{seconds(state.time):.1f} s   {state.rate_hz:.1f} frames/s, {state.dropped} dropped, "
        f"latency {1000 * state.latency:.0f} ms   Ctrl-C stops"
    )
    return Group(table, Text(line, style="dim"))


def _bars(labels: Sequence[str], probabilities: dict[str, float] | None) -> list[str]:
    return [] if probabilities is None else [bar(probabilities[label]) for label in labels]


def bar(value: float) -> str:
    """A bar for a probability.

    >>> bar(0.5)
    '███▌   '
    """
    eighths = round(value * _BAR * 8)
    full, part = divmod(eighths, 8)
    return (_EIGHTHS[-1] * full + (_EIGHTHS[part] if part else "")).ljust(_BAR)
