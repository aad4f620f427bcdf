"""Charts of a table 1 as inline SVG: coloured by the page's style, described in words for who does not see them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from emofuse.report.table1 import words
from emofuse.report.table1.words import known, plain

_NAME_LENGTH = 22  # longer names are cut in the chart; the table beside it has them whole


@dataclass(frozen=True)
class Axis:
    """Maps values onto pixels, with round numbers to mark."""

    start: float
    end: float
    step: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.first + (value - self.start) / (self.end - self.start) * (self.last - self.first)

    def marks(self) -> list[float]:
        """The round numbers."""
        return [self.start + n * self.step for n in range(round((self.end - self.start) / self.step) + 1)]

    def named(self) -> Iterator[tuple[float, str]]:
        """Pixel and name of each round number."""
        decimals = max(0, -math.floor(math.log10(self.step) + 1e-9))
        for mark in self.marks():
            yield self.at(mark), f"{mark:.{decimals}f}"


def axis(low: float, high: float, *, first: float, last: float, marks: int = 5, whole: bool = False) -> Axis:
    """An axis from a round number below all values to one above, with about as many marks as asked for.

    whole: only whole numbers are marked.

    >>> [round(m, 2) for m in axis(0.13, 0.41, first=0, last=100).marks()]
    [0.1, 0.2, 0.3, 0.4, 0.5]
    >>> axis(3, 3, first=0, last=100, whole=True).marks()
    [3.0, 4.0]
    """
    span = max(high - low, 1e-9 * max(1.0, abs(high))) if high > low else (1.0 if whole else max(0.1, abs(high) / 10))
    rough = span / marks
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * n for n in (1, 2, 5, 10) if base * n >= rough * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    start = math.floor(low / step + 1e-9) * step
    end = max(math.ceil(high / step - 1e-9) * step, start + step)
    return Axis(start, end, step, first, last)


def intervals(result: Mapping[str, Any]) -> str:
    """CPM of each row with its interval, in-sample beside cross-fitted; empty where there are no figures."""
    shown = [(row, words.headline(row).get("cpm"), words.in_sample(row).get("cpm")) for row in result["rows"]]
    values = [100 * v for _, *both in shown for e in both if e for v in e if known(v)]
    if not values:
        return ""
    left, right, height = 168, 704, 28 * len(shown) + 12
    across = axis(min(0.0, *values), max(values), first=left, last=right, marks=6)
    parts = [
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height}"/>'
        f'<text class="tick" x="{x:.1f}" y="{height + 17}" text-anchor="middle">{name}</text>'
        for x, name in across.named()
    ]
    for n, (row, cpm, inside) in enumerate(shown):
        parts.append(_name(row["name"], left - 12, 28 * n + 24))
        if inside:
            parts.append(_mark(inside, across, 28 * n + 25, "second"))
        if cpm:
            parts.append(_mark(cpm, across, 28 * n + 15 if inside else 28 * n + 20, "first"))
    middle = (left + right) / 2
    parts.append(f'<text class="tick" x="{middle:.1f}" y="{height + 38}" text-anchor="middle">CPM, %</text>')
    said = "; ".join(f"{plain(row['name'])} {words.with_interval(cpm)}" for row, cpm, _ in shown)
    return _svg(720, height + 46, f"CPM in percent: {said}", parts)


def _name(name: str, x: float, y: float) -> str:
    name = plain(name)
    cut = name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
    return f'<text class="name" x="{x}" y="{y}" text-anchor="end">{escape(cut)}</text>'


def _mark(estimate: Sequence[float | None], across: Axis, y: float, series: str) -> str:
    value, low, high = (across.at(100 * v) if v is not None and known(v) else None for v in estimate)
    drawn = ""
    if low is not None and high is not None:
        drawn = (
            f'<path class="whisker {series}" d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 3}v6M{high:.1f} {y - 3}v6"/>'
        )
    if value is None:
        return drawn
    if series == "first":
        return drawn + f'<circle class="dot first" cx="{value:.1f}" cy="{y}" r="4.5"/>'
    return drawn + f'<path class="dot second" d="M{value:.1f} {y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>'


Curve = tuple[str, str, list[tuple[float, float | None]]]  # name, class of the style, points


def losses(name: str, history: Sequence[Mapping[str, Any]]) -> str:
    """The losses over the epochs of a training; empty where there are none."""
    curves = [("training loss", "second", _points(history, "train_loss", 1))]
    curves.append(("validation loss", "first", _points(history, "validation_loss", 1)))
    return _curves(name, curves, "loss")


def progress(name: str, history: Sequence[Mapping[str, Any]]) -> str:
    """The CPM on the validation part over the epochs of a training, in percent; empty where there is none."""
    return _curves(name, [("validation CPM", "first", _points(history, "cpm", 100))], "CPM, %")


def _points(history: Sequence[Mapping[str, Any]], key: str, factor: float) -> list[tuple[float, float | None]]:
    return [(e["epoch"] + 1, factor * e[key] if known(e.get(key)) else None) for e in history]


def _curves(name: str, curves: Sequence[Curve], unit: str) -> str:
    values = [y for _, _, points in curves for _, y in points if y is not None]
    if not values:
        return ""
    epochs = [x for _, _, points in curves for x, _ in points]
    across = axis(min(epochs), max(epochs), first=44, last=290, marks=6, whole=True)
    up = axis(min(values), max(values), first=164, last=22, marks=4)
    parts = [
        f'<line class="grid" x1="44" x2="290" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="38" y="{y + 4:.1f}" text-anchor="end">{mark}</text>'
        for y, mark in up.named()
    ]
    parts += [
        f'<text class="tick" x="{x:.1f}" y="181" text-anchor="middle">{mark}</text>' for x, mark in across.named()
    ]
    parts.append(f'<text class="tick" x="4" y="11">{escape(unit)}</text>')
    parts.append('<text class="tick" x="167" y="199" text-anchor="middle">epoch</text>')
    said = []
    for curve, series, points in curves:
        parts.append(_line([(across.at(x), None if y is None else up.at(y)) for x, y in points], series))
        there = [y for _, y in points if y is not None]
        if there:
            said.append(f"{curve} from {there[0]:.2f} to {there[-1]:.2f}")
    return _svg(300, 204, f"{plain(name)}, {len(set(epochs))} epochs: {'; '.join(said)}", parts)


def _line(points: Sequence[tuple[float, float | None]], series: str) -> str:
    """Straight lines between neighbours, broken where a value is missing; a value alone is a dot."""
    drawn, runs = [], list[list[tuple[float, float]]]([[]])
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    for run in runs:
        if len(run) == 1:
            drawn.append(f'<circle class="dot {series}" cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3"/>')
        elif run:
            drawn.append(f'<path class="curve {series}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in run)}"/>')
    return "".join(drawn)


def key(kind: str, series: str) -> str:
    """A line or dot as the charts have it, for a legend."""
    if kind == "curve":
        drawn = f'<path class="curve {series}" d="M0 6H32"/>'
    else:
        drawn = _mark((0.5, 0.1, 0.9), Axis(0, 100, 100, 0, 32), 6, series)
    return f'<svg viewBox="0 0 32 12" aria-hidden="true">{drawn}</svg>'


def _svg(width: int, height: int, said: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(said)}">'
        f'<g aria-hidden="true">{"".join(parts)}</g></svg>'
    )
