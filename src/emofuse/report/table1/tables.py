"""HTML tables of a table 1: every cell escaped, every head with its scope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from emofuse.report.table1 import words
from emofuse.report.table1.words import NONE, known, percent, plain

Result = Mapping[str, Any]
_KINDS = {"better, beyond chance": "beyond", "worse, beyond chance": "beyond"}


def safe(value: object) -> str:
    """Text as HTML shows it."""
    return escape(plain(value), quote=True)


def scrolling(drawn: str, name: str) -> str:
    """A table or chart that may be wider than the screen; it can be scrolled by keyboard."""
    return f'<div class="scroll" role="region" aria-label="{safe(name)}" tabindex="0">{drawn}</div>'


def main_table(result: Result) -> str:
    """Each row with its figures, and in columns of their own what the paper says."""
    fused = any(row["method"] for row in result["rows"])
    more = _heads("CPM in-sample", "gain over the best part") if fused else ""
    head = (
        f'<tr><th scope="col" rowspan="2" class="left">row</th><th scope="col" rowspan="2" class="left">made of</th>'
        f'<th scope="colgroup" colspan="{5 if fused else 3}">measured</th>'
        f'<th scope="colgroup" colspan="2" class="quoted begins">quoted</th></tr>'
        f"<tr>{_heads('CPM', 'macro F1', 'accuracy')}{more}"
        f'<th scope="col" class="quoted begins">validation</th><th scope="col" class="quoted">test</th></tr>'
    )
    body = "".join(_main_row(row, result, fused) for row in result["rows"])
    none = f"<td>{NONE}</td>" * (5 if fused else 3)
    foot = (
        f'<tr><th scope="row">{words.BASELINE}</th><td class="words">{NONE}</td>{none}'
        f"{_quoted(result['baseline_quoted'], None)}</tr>"
    )
    return f'<table class="figures"><thead>{head}</thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table>'


def _main_row(row: Mapping[str, Any], result: Result, fused: bool) -> str:
    figures = words.headline(row)
    cells = [_estimate(figures.get("cpm"), "main"), *(_estimate(figures.get(m)) for m in ("macro_f1", "accuracy"))]
    if fused:
        cells += [_estimate(words.in_sample(row).get("cpm")), _gain(row["gain"])]
    return (
        f'<tr><th scope="row"><span class="name">{safe(row["name"])}</span> '
        f'<div class="muted">{safe(row["row"])}</div></th>'
        f'<td class="words">{safe(words.made_of(row, result))}</td>{"".join(cells)}'
        f"{_quoted(row['quoted']['validation'], row['quoted']['test'])}</tr>"
    )


def _estimate(estimate: Sequence[float | None] | None, kind: str = "") -> str:
    if not estimate:
        return f"<td>{NONE}</td>"
    bounds = words.interval(estimate)
    said = f' <span class="interval">{bounds}</span>' if bounds else ""
    return f'<td class="{kind}"><span class="value">{percent(estimate[0])}</span>{said}</td>'


def _gain(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return f"<td>{NONE}</td>"
    verdict = words.verdict(gain)
    return (
        f'<td><span class="value">{words.gained(gain)}</span> <span class="interval">over {safe(gain["over"])}</span> '
        f'<span class="verdict {_KINDS.get(verdict, "")}">{verdict}</span></td>'
    )


def _quoted(validation: float | None, test: float | None) -> str:
    return f'<td class="quoted begins">{words.quoted(validation)}</td><td class="quoted">{words.quoted(test)}</td>'


def _heads(*names: object) -> str:
    return "".join(f'<th scope="col">{safe(name)}</th>' for name in names)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words_in: int = 1) -> str:
    """A plain table; the first column names the row, the first `words_in` hold words."""
    heads = "".join(
        f'<th scope="col"{" class=left" if n < words_in else ""}>{safe(name)}</th>' for n, name in enumerate(head)
    )
    body = "".join(
        f'<tr><th scope="row">{safe(row[0])}</th>'
        + "".join(
            f'<td class="{"left" if n < words_in else "nowrap"}">{safe(cell)}</td>' for n, cell in enumerate(row[1:], 1)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def heat_table(
    corner: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[float | None]]], say: Any
) -> str:
    """Shares of one, said by a function and shaded by their size."""
    body = "".join(
        f'<tr><th scope="row">{safe(name)}</th>{"".join(_heat(v, say(v)) for v in values)}</tr>'
        for name, values in rows
    )
    head = f'<th scope="col" class="left">{safe(corner)}</th>{_heads(*columns)}'
    return f'<table class="heat"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def confusion_table(name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Counts, shaded by their share of the frames of a true class."""
    rows = []
    for label, line in zip(labels, counts, strict=True):
        total = sum(line)
        cells = (
            _heat(n / total if total else None, str(n), f"{percent(n / total)} % of {label}" if total else "")
            for n in line
        )
        rows.append(f'<tr><th scope="row">{safe(label)}</th>{"".join(cells)}</tr>')
    head = f'<th scope="col" class="left muted">truth \\ guess</th>{_heads(*labels)}'
    return (
        f'<table class="heat"><caption>{safe(name)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _heat(share: float | None, said: str, title: str = "") -> str:
    about = f' title="{safe(title)}"' if title else ""
    if share is None or not known(share):
        return f'<td class="missing"{about}>{safe(said)}</td>'
    return f'<td style="--share:{min(max(share, 0.0), 1.0):.3f}"{about}>{safe(said)}</td>'
