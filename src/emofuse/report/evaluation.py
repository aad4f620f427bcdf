"""The result of `emofuse evaluate` for the terminal, rendered from the content of evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emofuse.report.tables import TextTable, decimal, percent, to_terminal, with_interval

if TYPE_CHECKING:
    from rich.console import RenderableType

_MEASURES = {"cpm": "CPM %", "macro_f1": "macro F1", "weighted_f1": "weighted F1", "accuracy": "accuracy", "uar": "UAR"}


def text(result: Mapping[str, Any]) -> RenderableType:
    """Metrics with intervals, F1 of each class, and notes: for a rich console."""
    from rich.console import Group

    rows, labels = result["systems"], result["labels"]
    measured = [
        [row["system"], row["weights"] or "", *(with_interval(row[m]) for m in _MEASURES),
         decimal(row["calibration_error"], ".3f")]
        for row in rows
    ]  # fmt: skip
    f1 = [[row["system"], row["weights"] or "", *(percent(row["classes"][n]["f1"], ".1f") for n in labels)]
          for row in rows]  # fmt: skip
    size = f"{result['clips']} clips of {result['videos']} videos, {result['frames']} labelled frames"
    below = [f"In brackets: {result['interval']}."]
    if any(row["weights"] for row in rows):
        below.append(
            "In-sample weights were fitted on the frames that they are scored on; cross-fitted ones on other videos "
            "and subjects: quote these."
        )
    return Group(
        to_terminal(
            TextTable(("system", "weights", *_MEASURES.values(), "ECE"), measured, 7),
            [f"{result['data']}, {result['split'] or 'all splits'}: {size}"],
            ["F1 of each class, %"],
        ),
        to_terminal(
            TextTable(("system", "weights", *labels), f1, 2), [], [*below, *(f"note: {n}" for n in result["notes"])]
        ),
    )
