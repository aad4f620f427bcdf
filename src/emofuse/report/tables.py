"""Tables of results, built once as data and rendered for the terminal, as Markdown, or by an HTML template.

Metrics are printed in percent with two decimals, as in the paper; `NONE` stands for a missing value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

NONE = "-"
CPM = "CPM = 0.67 macro F1 + 0.33 accuracy."
Estimate = Sequence[float | None]  # value, low, high
# A name from a damaged file could otherwise send escape codes to a terminal, reverse the text, or fail to be encoded.
_UNPRINTABLE = {"Cc", "Cs"}
_DIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


@dataclass(frozen=True)
class TextTable:
    """Cells as text; the first `text_columns` are words, the others numbers.

    shading: for HTML, how dark each number is, 0 to 1, by row; None leaves a cell plain.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    name: str = ""
    shading: Sequence[Sequence[float | None]] = ()


def known(value: float | None) -> bool:
    """Whether a value exists and is finite."""
    return value is not None and math.isfinite(value)


def decimal(value: float | None, form: str = ".4f") -> str:
    """A number, without the sign of a negative one that is rounded to zero.

    >>> decimal(0.25), decimal(None), decimal(-0.0001, ".3f"), decimal(-0.0001, "+.3f")
    ('0.2500', '-', '0.000', '+0.000')
    """
    if value is None or not math.isfinite(value):
        return NONE
    text = format(value, form)
    return text if text.strip("-0.") else text.replace("-", "+" if form.startswith("+") else "")


def percent(value: float | None, form: str = ".2f") -> str:
    """
    >>> percent(0.5023), percent(None), percent(0.01, "+z.2f")
    ('50.23', '-', '+1.00')
    """
    return decimal(None if value is None else 100 * value, form)


def with_interval(estimate: Estimate | None, form: str = ".2f") -> str:
    """A value in percent, followed by its interval if it has one.

    >>> with_interval([0.5, 0.4, 0.61]), with_interval([0.5, None, None]), with_interval(None)
    ('50.00 [40.00, 61.00]', '50.00', '-')
    """
    if not estimate:
        return NONE
    value, low, high = (percent(v, form) for v in estimate)
    return f"{value} [{low}, {high}]" if NONE not in (low, high) else value


def difference(gain: Mapping[str, Any] | None) -> str:
    """A gain in percentage points, with its sign.

    >>> difference({"over": "pann", "cpm": [0.01, -0.02, 0.04]})
    '+1.00 [-2.00, +4.00]'
    """
    return with_interval(gain["cpm"], "+z.2f") if gain else NONE


def significance(gain: Mapping[str, Any] | None) -> str:
    """Whether the interval of a gain excludes 0.

    >>> [significance({"over": "a", "cpm": c}) for c in ([0.02, 0.01, 0.03], [-0.02, -0.03, -0.01])]
    ['yes, better', 'yes, worse']
    >>> [significance({"over": "a", "cpm": c}) for c in ([0.02, 0.0, 0.04], [0.02, None, None])]
    ['no', 'no interval']
    """
    if gain is None or not known(gain["cpm"][0]):
        return NONE
    _, low, high = gain["cpm"]
    if not known(low) or not known(high):
        return "no interval"
    if low > 0:
        return "yes, better"
    return "yes, worse" if high < 0 else "no"


def plain(value: object) -> str:
    """Text on one line, without characters that hide or reorder others.

    >>> plain("a\\nb\\x1b[31m")
    'a b\\ufffd[31m'
    """
    line = " ".join(str(value).splitlines())
    return "".join("\ufffd" if unicodedata.category(c) in _UNPRINTABLE or c in _DIRECTIONAL else c for c in line)


def to_markdown(table: TextTable) -> str:
    """The table in Markdown."""
    rule = [":--" if n < table.text_columns else "--:" for n in range(len(table.head))]
    lines = [[*map(escape_markdown, table.head)], rule, *([*map(escape_markdown, row)] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_list(lines: Iterable[object]) -> str:
    r"""A bullet list of plain text.

    >>> print(markdown_list(["1. one", "- two", "3-4"]))
    - 1\. one
    - \- two
    - 3-4
    """
    escaped = (re.sub(r"^(?=[#+>=-])|^(\d+)(?=[.)](?:\s|$))", r"\1\\", escape_markdown(line)) for line in lines)
    return "\n".join(f"- {line}" for line in escaped)


def escape_markdown(value: object) -> str:
    r"""Text that Markdown shows unchanged within a line.

    >>> print(escape_markdown("a|b <i> _x_ 1_2"))
    a\|b \<i> \_x\_ 1_2
    """
    line = plain(value).strip()
    return re.sub(r"[\\`*<|~]|\](?=[(\[:])|&(?=[#\w])|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def to_terminal(table: TextTable, above: Sequence[str], below: Sequence[str]) -> RenderableType:
    """The table between lines of text, for a rich console."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    rich_table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for n, name in enumerate(table.head):
        justify, width = ("left", 12 if n == 0 else None) if n < table.text_columns else ("right", None)
        rich_table.add_column(name, overflow="fold", justify=justify, min_width=width)  # type: ignore[arg-type]
    for row in table.rows:
        rich_table.add_row(*(Text(plain(cell)) for cell in row))
    return Group(
        *(Text(plain(line)) for line in (*above, "")), rich_table, *(Text(plain(line)) for line in ("", *below))
    )
