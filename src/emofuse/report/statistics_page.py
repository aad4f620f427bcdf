"""Statistics of results as tables, as one HTML page, and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.analysis.person_rows import VALENCE
from emofuse.analysis.synchrony import Synchrony
from emofuse.core.files import atomic, own_outputs, write_bytes
from emofuse.core.registry import find
from emofuse.export.formulas import escaped
from emofuse.report.page import render
from emofuse.report.svg import LIGHT, figure_of, svg_of
from emofuse.report.tables import NONE, TextTable, decimal, plain, to_terminal

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

_MOST_ROWS, _MOST_PAIRS, _MOST_PRINTED = 400, 12, 40  # all are in the tables
_NAME_LENGTH, _PANELS = 26, 4


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    escaping = table.map(lambda cell: escaped(cell) if isinstance(cell, str) else cell)
    escaping.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False)


_FORMATS: Mapping[str, Callable[[pd.DataFrame, Path], None]] = {"csv": _write_csv, "parquet": _write_parquet}


@dataclass(frozen=True, eq=False)
class Statistics:
    """Tables of `describe`, `compare` and `synchrony`, and by term how they were computed."""

    table: pd.DataFrame
    facts: Mapping[str, str]
    groups: pd.DataFrame | None = None
    synchrony: Synchrony | None = None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file."""
        found = {"stats": self.table, "groups": self.groups}
        if self.synchrony is not None:
            found |= {"synchrony": self.synchrony.pairs, "synchrony-windows": self.synchrony.windows}
        return {name: table for name, table in found.items() if table is not None}


def check_format(form: str) -> str:
    """The name of a format of tables.

    Raises:
        SettingsError: it is unknown.
    """
    find(form, _FORMATS, "--format")
    return form


def write_statistics(statistics: Statistics, folder: Path, form: str = "csv") -> list[Path]:
    """Write the tables and stats.html, each whole or not at all; equal statistics have equal bytes.

    Raises:
        SettingsError: the format is unknown, or a file is there that emofuse has not written.
        OutputError: the folder cannot be written.
    """
    write, page = _FORMATS[check_format(form)], folder / "stats.html"
    tables = {folder / f"{name}.{form}": table for name, table in statistics.tables.items()}
    with own_outputs([*tables, page]):
        for path, table in tables.items():
            with atomic(path) as partial:
                write(_rounded(table), partial)
        write_bytes(page, statistics_page(statistics).encode())
    return [*tables, page]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """To six decimals, without negative zeros."""
    rounded = table.round(6)
    return rounded.assign(**{str(name): values + 0.0 for name, values in rounded.select_dtypes("float").items()})


def statistics_page(statistics: Statistics) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    table, groups, synchrony = statistics.table, statistics.groups, statistics.synchrony
    value = "mean_change" if "mean_change" in table else "mean"
    return render(
        "statistics.html.jinja",
        facts=list(statistics.facts.items()),
        changes=value == "mean_change",
        groups=None if groups is None else _group_table(groups, value),
        intervals=groups is not None and bool(groups["low"].notna().any()),
        group_chart=Markup("" if groups is None else _group_chart(groups, value)),
        means=_means(table, value),
        left_out=max(0, len(_keys(table).drop_duplicates()) - _MOST_ROWS),
        pairs=None if synchrony is None else _pair_table(synchrony.pairs),
        pair_charts=[] if synchrony is None else [Markup(chart) for chart in _pair_charts(synchrony)],
    )


def text(statistics: Statistics) -> RenderableType:
    """The means of persons and events for a rich console."""
    table = statistics.table
    means = _means(table, "mean_change" if "mean_change" in table else "mean")
    more = len(means.rows) - _MOST_PRINTED
    return to_terminal(
        TextTable(means.head, means.rows[:_MOST_PRINTED], means.text_columns),
        [f"{term}: {value}" for term, value in statistics.facts.items()],
        [f"... and {more} more; all are in the table."] if more > 0 else [],
    )


def _keys(table: pd.DataFrame) -> pd.DataFrame:
    """The columns before the emotion, without those that are empty."""
    return table.loc[:, :"emotion"].drop(columns="emotion").dropna(axis=1, how="all")


def _means(table: pd.DataFrame, value: str) -> TextTable:
    """A row per person and event, a column per emotion."""
    keys, emotions = _keys(table), list(dict.fromkeys(table["emotion"]))
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for key, emotion, mean in zip(keys.itertuples(index=False), table["emotion"], table[value], strict=True):
        rows.setdefault(tuple(map(_text, key)), {})[emotion] = mean
    shown = list(rows.items())[:_MOST_ROWS]
    values = [[found.get(emotion, math.nan) for emotion in emotions] for _, found in shown]
    form = "+.3f" if value == "mean_change" else ".3f"
    cells = [[*key, *(decimal(v, form) for v in row)] for (key, _), row in zip(shown, values, strict=True)]
    unshaded: list[float | None] = [None] * (keys.shape[1] - 1)
    shades = [[*unshaded, *(None if math.isnan(v) else abs(v) for v in row)] for row in values]
    return TextTable([c.replace("_", " ") for c in (*keys.columns, *emotions)], cells, keys.shape[1], "Means", shades)


def _text(value: Any) -> str:
    if str(value) in ("None", "nan", "<NA>"):  # pandas.NA has no truth value
        return NONE
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _group_table(groups: pd.DataFrame, value: str) -> TextTable:
    keys = groups.columns.tolist().index("persons")
    columns = [*groups.columns[: keys + 1], value]
    rows = [
        [
            *(_text(row[c]) for c in columns[:-1]),
            _interval(row, value, "low", "high"),
            _interval(row, "difference", "difference_low", "difference_high"),
        ]
        for row in groups.to_dict("records")
    ]
    return TextTable([c.replace("_", " ") for c in (*columns, "difference from the first")], rows, keys)


def _interval(row: Mapping[Any, Any], value: str, low: str, high: str) -> str:
    number, ends = decimal(row[value], ".3f"), [decimal(row[c], ".3f") for c in (low, high)]
    return number if NONE in (number, *ends) else f"{number} [{ends[0]}, {ends[1]}]"


def _group_chart(groups: pd.DataFrame, value: str) -> str:
    """The mean of each group with its interval, one panel per emotion; empty without groups."""
    columns = groups.columns.tolist()
    keys = [c for c in columns[: columns.index("persons")] if c != "emotion"]
    labels = [_shortened(": ".join(_text(row[c]) for c in keys)) for row in groups.to_dict("records")]
    labelled, emotions = groups.assign(label=labels), list(dict.fromkeys(groups["emotion"]))
    emotions.sort(key=lambda emotion: emotion == VALENCE)  # last, since its scale differs
    lines = [emotions[n : n + _PANELS] for n in range(0, len(emotions), _PANELS)]
    return "".join(_panels(labelled, line, value, list(dict.fromkeys(labels))) for line in lines)


def _shortened(name: str) -> str:
    return plain(name) if len(name) <= _NAME_LENGTH else plain(name)[: _NAME_LENGTH - 1] + "…"


def _panels(groups: pd.DataFrame, emotions: Sequence[str], value: str, labels: Sequence[str]) -> str:
    """A row of panels, one per emotion."""
    figure, panels = figure_of(9.2, 0.24 * len(labels) + 0.55, _PANELS, left=150, right=905, top=22, bottom=26)
    stated = []
    for n, axes in enumerate(panels):
        if n >= len(emotions):
            axes.set_axis_off()
            continue
        rows = groups[groups["emotion"] == emotions[n]]
        y = [labels.index(label) for label in rows["label"]]
        axes.hlines(y, rows["low"], rows["high"], color=LIGHT["first"], linewidth=1.4)
        axes.plot(rows[value], y, "o", color=LIGHT["first"], markersize=5, clip_on=False)
        axes.set_title(plain(emotions[n]), loc="left", color=LIGHT["text"])
        axes.grid(axis="x", color=LIGHT["line"], linewidth=0.8)
        shown = labels if n == 0 else [""] * len(labels)
        axes.set_yticks(range(len(labels)), shown, color=LIGHT["text"], parse_math=False)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.margins(x=0.12)
        stated += [f"{emotions[n]}, {row['label']}: {decimal(row[value], '.2f')}" for row in rows.to_dict("records")]
    return svg_of(figure, "Means of groups. " + "; ".join(stated))


def _pair_table(pairs: pd.DataFrame) -> TextTable:
    forms = {"synchrony": ".3f", "shuffled": ".3f", "shuffled_sd": ".3f", "effect": ".2f", "p": ".3f"}
    names = ("file", "person_a", "person_b", "windows")
    rows = [
        [*(_text(row[c]) for c in names), *(decimal(row[c], form) for c, form in forms.items())]
        for row in pairs.to_dict("records")
    ]
    return TextTable([c.replace("_", " ") for c in (*names, *forms)], rows, 3)


def _pair_charts(synchrony: Synchrony) -> list[str]:
    """The correlations of each window over time, of the first pairs."""
    by_pair = synchrony.windows.groupby(["file", "person_a", "person_b"], sort=False)
    return [_pair_chart(f"{file}: persons {a} and {b}", rows) for (file, a, b), rows in list(by_pair)[:_MOST_PAIRS]]


def _pair_chart(title: str, windows: pd.DataFrame) -> str:
    figure, (axes,) = figure_of(9.2, 1.9, 1, left=60, right=905, top=22, bottom=38)
    middle = (windows["start"] + windows["end"]) / 2
    for column, colour, style in (("peak", "first", "-"), ("correlation", "second", "--")):
        axes.plot(middle, windows[column], style, color=LIGHT[colour], marker="o", markersize=2.5, linewidth=1.4)
    axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
    axes.set_ylim(-1, 1)
    axes.set_title(plain(title), loc="left", color=LIGHT["text"], parse_math=False)
    axes.grid(axis="y", color=LIGHT["line"], linewidth=0.8)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("correlation", color=LIGHT["muted"])
    peak = decimal(float(windows["peak"].mean()), ".2f")
    return svg_of(figure, f"{title}: correlation over {len(windows)} windows; mean of the highest {peak}")
