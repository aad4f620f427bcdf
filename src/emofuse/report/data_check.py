"""The result of `emofuse data check` for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emofuse.datasets import DataReport
from emofuse.datasets.problems import Level

if TYPE_CHECKING:
    from rich.console import RenderableType


def text(report: DataReport) -> RenderableType:
    """Statistics of each split, the distribution of classes, and the problems by severity: for a rich console."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    sizes = ("split", "clips", "files", "subjects", "minutes", "frames", "labelled", "faces")
    statistics = Table(*sizes, box=None, pad_edge=False)
    classes = Table("split", *report.label_set.names, box=None, pad_edge=False)
    for split in report.splits:
        name, subjects = split.split or "(none)", "?" if split.subjects is None else str(split.subjects)
        numbers = (
            f"{split.seconds / 60:.1f}",
            str(split.frames),
            _percent(split.labelled_fraction),
            _percent(split.face_fraction),
        )
        statistics.add_row(name, str(split.clips), str(split.recordings), subjects, *numbers)
        classes.add_row(name, *(_percent(split.class_fractions.get(label)) for label in report.label_set.names))
    above, between = Text(f"{report.name}: {report.path}"), Text("\nDistribution of classes among the labels")
    return Group(above, statistics, between, classes, *map(Text, _problems(report)))


def _problems(report: DataReport) -> Iterator[str]:
    for level in Level:
        problems = [p for p in report.problems if p.level is level]
        if problems:
            yield f"\n{len(problems)} {level.value}{'s' * (len(problems) > 1)}"
        for problem in problems:
            yield f"  {problem.item} ({problem.code}): {problem}"
    if not report.problems:
        yield "\nNo problems found."


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
