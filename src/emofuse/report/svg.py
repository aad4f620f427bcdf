"""Charts as inline SVG: drawn by matplotlib, coloured by the style of the page, described for screen readers."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from emofuse.core.colour import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of the page by name. Charts are drawn in those of the light scheme, which the page's style replaces.
LIGHT = {
    "ground": "#ffffff", "panel": "#f5f6f8", "text": "#1b1f24", "muted": "#59626d", "line": "#d5d9df",
    "first": COLOURS[5], "second": COLOURS[1],
}  # fmt: skip
DARK = {
    "ground": "#14171b", "panel": "#1d2127", "text": "#e8eaed", "muted": "#a3abb5", "line": "#363c45",
    "first": COLOURS[7], "second": COLOURS[4],
}  # fmt: skip
_SVG: Any = {"svg.fonttype": "none", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9}


def figure_of(
    width: float, height: float, panels: int, *, left: float, right: float, top: float, bottom: float
) -> tuple[Figure, Sequence[Axes]]:
    """A transparent figure whose panels keep margins in hundredths of an inch."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_SVG):
        figure = Figure(figsize=(width, height), facecolor="none")
        margins = {
            "left": left / 100 / width, "right": right / 100 / width,
            "bottom": bottom / 100 / height, "top": 1 - top / 100 / height,
        }  # fmt: skip
        all_axes = figure.subplots(1, panels, squeeze=False, gridspec_kw={"wspace": 0.2, **margins})[0]
    for axes in all_axes:
        axes.set_facecolor("none")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=LIGHT["muted"])
        axes.xaxis.label.set_color(LIGHT["muted"])
        axes.set_axisbelow(True)
    return figure, list(all_axes)


def svg_of(figure: Figure, description: str) -> str:
    """The figure as an SVG element that can stand in a page with others."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context(_SVG | {"svg.hashsalt": description}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's browser has other fonts
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index('<g id="figure_1"') : svg.rindex("</svg>")]
    svg = re.sub(r' clip-path="[^"]*"', "", svg)
    svg = re.sub(r'<g id="([\w.-]+?)_\d+"', r'<g class="chart-\1"', svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", svg).replace("xlink:href", "href")
    for name, colour in LIGHT.items():
        svg = svg.replace(colour, f"var(--{name})")
    width, height = (72 * inches for inches in figure.get_size_inches())
    label = escape(description)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">{svg.strip()}</svg>'
