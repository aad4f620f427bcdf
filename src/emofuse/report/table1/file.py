"""table1.md: what was measured, beside what the paper says, as a file to keep and to compare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from emofuse.report.table1 import words
from emofuse.report.table1.words import NONE, percent, with_interval

Result = Mapping[str, Any]
_HEAD = (
    "name", "paper's row", "made of", "CPM", "macro F1", "accuracy", "CPM in-sample", "gain", "over", "beyond chance?",
    "quoted: validation", "quoted: test",
)  # fmt: skip


def markdown(result: Result) -> str:
    """The result as Markdown; the last line alone tells the time that it took."""
    blocks = [
        f"# {safe(words.title(result))}",
        items(f"{term}: {safe(text)}" for term, text in words.facts(result)),
        safe(words.summary(result)),
        table(_HEAD, _rows(result), left=3),
        items(words.legend(result)),
        *_notes(result),
        *_measures(result),
        *_classes(result),
        *_weights(result),
        *_run(result),
        words.duration(result),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _rows(result: Result) -> Iterator[list[str]]:
    for row in result["rows"]:
        figures, gain = words.headline(row), row["gain"]
        yield [
            row["name"],
            row["row"],
            words.made_of(row, result),
            *(with_interval(figures.get(measure)) for measure in ("cpm", "macro_f1", "accuracy")),
            with_interval(words.in_sample(row).get("cpm")),
            words.gained(gain),
            gain["over"] if gain else NONE,
            words.verdict(gain),
            words.quoted(row["quoted"]["validation"]),
            words.quoted(row["quoted"]["test"]),
        ]
    yield [words.BASELINE, *[NONE] * (len(_HEAD) - 3), words.quoted(result["baseline_quoted"]), NONE]


def _notes(result: Result) -> list[str]:
    return ["## Notes", items(map(_line, result["notes"]))] if result["notes"] else []


def _measures(result: Result) -> list[str]:
    rows = [
        [row["name"], kind, *(with_interval(figures.get(m)) for m in words.MEASURES)]
        for row, kind, figures in words.estimates(result)
    ]
    return ["## All measures", table(("name", "figures", *words.MEASURES.values()), rows, left=2)] if rows else []


def _classes(result: Result) -> list[str]:
    labels = result["labels"]
    rows = [[row["name"], *(percent(row["f1"].get(n)) for n in labels)] for row in result["rows"] if row["f1"]]
    return ["## F1 of each class", table(("name", *labels), rows)] if rows else []


def _weights(result: Result) -> Iterator[str]:
    for row in result["rows"]:
        weights = row["weights"]
        if weights:
            yield f"## Weights of {safe(row['name'])}"
            pairs = zip(weights["systems"], weights["values"], strict=True)
            rows = [[name, *(words.weight(v) for v in values)] for name, values in pairs]
            yield table(("system", *result["labels"]), rows)


def _run(result: Result) -> Iterator[str]:
    yield "## What was run"
    head = ("system", "stands in", "digest", "bundle", "training examples", "epochs")
    rows = [
        [
            name,
            s["stands_in"] or NONE,
            s["digest"],
            s["bundle"],
            words.count(s["examples"]),
            str(len(s["history"] or ())),
        ]
        for name, s in result["systems"].items()
    ]
    yield table(head, rows, left=4)
    submissions = [f"{row['name']}: {row['submission']}" for row in result["rows"] if row["submission"]]
    if submissions:
        yield "Submissions:"
        yield items(map(_line, submissions))
    yield items(f"{term}: {safe(text)}" for term, text in words.machine(result))


def items(lines: Iterable[str]) -> str:
    """A list of lines that are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table whose first columns are words, the others figures."""
    rule = [":--" if n < left else "--:" for n in range(len(head))]
    lines = [[*map(safe, head)], rule, *([*map(safe, row)] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def safe(value: object) -> str:
    r"""Text that Markdown shows as it is, within a line.

    >>> print(safe("a|b <i> _x_ 1_2"))
    a\|b \<i> \_x\_ 1_2
    """
    line = words.plain(value).strip()
    return re.sub(r"[\\`*<|~]|\](?=[(\[:])|&(?=[#\w])|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def _line(value: object) -> str:
    r"""Text that Markdown shows as it is, where a line begins.

    >>> print(_line("1. one"), _line("- two"), _line("3-4"))
    1\. one \- two 3-4
    """
    return re.sub(r"^(?=[#+>=-])|^(\d+)(?=[.)](?:\s|$))", r"\1\\", safe(value))
