"""Charts of Table 1 as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.report.svg import LIGHT, figure_of, svg_of
from emofuse.report.table1.content import Result, headline, in_sample
from emofuse.report.tables import known, plain, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_LENGTH = 22  # longer names are cut in the chart; the tables show them whole


def cpm_chart(result: Result) -> str:
    """CPM of each row with its interval, cross-fitted and in-sample; empty if nothing was measured."""
    estimates = {"measured": [], "in-sample": []}  # type: dict[str, list[Any]]
    for row in result["rows"]:
        estimates["measured"].append(headline(row).get("cpm") or [None] * 3)
        estimates["in-sample"].append(in_sample(row).get("cpm") or [None] * 3)
    values = {name: 100 * np.array(found, float).reshape(-1, 3) for name, found in estimates.items()}
    if not any(np.isfinite(v).any() for v in values.values()):
        return ""
    n = len(result["rows"])
    figure, (axes,) = figure_of(7.2, 0.3 * n + 0.65, 1, left=168, right=704, top=6, bottom=46)
    both = np.isfinite(values["in-sample"][:, 0])
    for name, colour, marker, shift in (("measured", "first", "o", -0.17), ("in-sample", "second", "D", 0.17)):
        y = np.arange(n) + np.where(both, shift, 0.0)
        _intervals(axes, values[name], y, LIGHT[colour], marker, name)
    axes.set_ylim(n - 0.4, -0.6)
    axes.set_xlim(left=min(0.0, float(np.nanmin([np.nanmin(v) for v in values.values() if np.isfinite(v).any()]))))
    names = [plain(row["name"]) for row in result["rows"]]
    short = [name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…" for name in names]
    axes.set_yticks(range(n), short, color=LIGHT["text"], parse_math=False)
    axes.grid(axis="x", color=LIGHT["line"], linewidth=0.8)
    axes.set_xlabel("CPM, %", fontsize=9)
    stated = (f"{name} {with_interval(e)}" for name, e in zip(names, estimates["measured"], strict=True))
    return svg_of(figure, f"CPM in percent: {'; '.join(stated)}")


def _intervals(axes: Axes, values: Any, y: Any, colour: str, marker: str, name: str) -> None:
    """Points with whiskers; `name` becomes the class of the points in the SVG."""
    ends, gap = values[:, 1:], np.full(len(y), np.nan)
    axes.plot(np.column_stack([ends, gap]).ravel(), np.column_stack([y, y, gap]).ravel(), color=colour, marker="|",
              markersize=5, linewidth=1.2, clip_on=False)  # fmt: skip
    face = colour if marker == "o" else LIGHT["ground"]
    axes.plot(values[:, 0], y, color=colour, marker=marker, markersize=5.5, markerfacecolor=face, linestyle="",
              clip_on=False, gid=f"{name}_0")  # fmt: skip


def learning_curves(name: str, history: Sequence[Mapping[str, Any]]) -> str:
    """Losses and validation CPM of a training by epoch; empty if there are none. Missing values break a curve."""
    panels = (
        ("loss", (("training loss", "train_loss", 1, "second"), ("validation loss", "validation_loss", 1, "first"))),
        ("CPM, %", (("validation CPM", "cpm", 100, "first"),)),
    )
    epochs = [epoch["epoch"] + 1 for epoch in history]
    figure, both = figure_of(6.0, 2.1, 2, left=40, right=592, top=20, bottom=34)
    stated = []
    for axes, (title, curves) in zip(both, panels, strict=True):
        for label, key, factor, colour in curves:
            found: list[Any] = [epoch.get(key) for epoch in history]
            values = np.array([factor * v if known(v) else np.nan for v in found], np.float64)
            axes.plot(epochs, values, linestyle="--" if colour == "second" else "-", color=LIGHT[colour], marker="o",
                      markersize=2.5, linewidth=1.6, clip_on=False, gid=f"{key}_0")  # fmt: skip
            finite = values[np.isfinite(values)]
            stated += [f"{label} from {finite[0]:.2f} to {finite[-1]:.2f}"] if len(finite) else []
        axes.set_title(title, loc="left", fontsize=9, color=LIGHT["muted"])
        locator: Any = axes.xaxis.get_major_locator()
        locator.set_params(integer=True)
        axes.grid(axis="y", color=LIGHT["line"], linewidth=0.8)
        axes.set_xlabel("epoch", fontsize=9)
    return svg_of(figure, f"{plain(name)}, {len(epochs)} epochs: {'; '.join(stated)}") if stated else ""
