"""Content of the reports on Table 1: sentences, and tables as data, built from table1.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emofuse.report.tables import (
    CPM,
    NONE,
    TextTable,
    decimal,
    difference,
    known,
    percent,
    plain,
    significance,
    with_interval,
)

Result = Mapping[str, Any]
Row = Mapping[str, Any]
MEASURES = {"cpm": "CPM", "macro_f1": "macro F1", "weighted_f1": "weighted F1", "accuracy": "accuracy", "uar": "UAR"}
QUOTED = (
    "Quoted values are CPM as published in the paper, measured by its authors on Aff-Wild2 with full-size networks; "
    "none of them was measured here."
)


@dataclass(frozen=True)
class Report:
    """All parts of a report. Sections without content are empty tuples, tables or strings.

    main: Table 1 itself, each row by column name, the organisers' baseline last; `fused`: whether rows are fused.
    definitions: name, digest and JSON text of each system.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    summary: str
    main: Sequence[Mapping[str, str]]
    fused: bool
    legend: Sequence[str]
    notes: Sequence[str]
    measures: TextTable
    f1: TextTable
    confusions: Sequence[TextTable]
    weights: Sequence[TextTable]
    trainings: Sequence[TextTable]
    systems: TextTable
    definitions: Sequence[tuple[str, str, str]]
    submissions: Sequence[str]
    environment: Sequence[tuple[str, str]]
    duration: str


def report(result: Result) -> Report:
    """Everything that the reports on a Table 1 state."""
    rows, labels, systems = result["rows"], result["labels"], result["systems"]
    main = [_main_row(row, result) for row in rows]
    baseline = dict.fromkeys(main[0] if main else (), NONE)
    baseline |= {"name": "organisers' baseline", "quoted: validation": decimal(result["baseline_quoted"], ".2f")}
    return Report(
        title=f"Table 1 on {result['data']}",
        facts=facts(result),
        summary=" ".join(filter(None, (_above_chance(result), fusion_summary(result)))),
        main=[*main, baseline],
        fused=any(row["method"] for row in rows),
        legend=_legend(result),
        notes=result["notes"],
        measures=_all_measures(rows),
        f1=_f1(rows, labels),
        confusions=[_confusion(row["name"], labels, row["confusion"]) for row in rows if row["confusion"]],
        weights=[_weights(row, labels) for row in rows if row["weights"]],
        trainings=[training(name, s["history"]) for name, s in systems.items() if s["history"]],
        systems=_systems(systems),
        definitions=[(n, s["digest"], json.dumps(s["definition"], indent=2, ensure_ascii=False)) for n, s in
                     systems.items()],
        submissions=[f"{row['name']}: {row['submission']}" for row in rows if row["submission"]],
        environment=environment(result),
        duration=duration(result),
    )  # fmt: skip


def headline(row: Row) -> Mapping[str, Any]:
    """The metrics that count: of a fusion the cross-fitted ones, of a single system the only ones."""
    return (row["cross_fitted"] if row["method"] else row["in_sample"]) or {}


def in_sample(row: Row) -> Mapping[str, Any]:
    """The metrics of a fusion on the videos that its weights were fitted on; empty for a single system."""
    return (row["in_sample"] or {}) if row["method"] else {}


def facts(result: Result) -> list[tuple[str, str]]:
    """Data set, size, scale, intervals and chance level of a result, as named facts."""
    chance = result["chance"]
    return [
        ("data", f"{result['data']}, {result['split']}"),
        ("size", f"{result['clips']} clips of {result['videos']} videos, {result['frames']} labelled frames"),
        ("scale", f"{result['scale']}, seed {result['seed']}"),
        ("intervals", result["interval"]),
        ("chance", f"always predicting {chance['label']}, the most frequent class, scores CPM "
                   f"{with_interval(chance['cpm'])}"),
    ]  # fmt: skip


def environment(result: Result) -> list[tuple[str, str]]:
    """The software and machine that produced the result."""
    machine = result["machine"]
    return [
        ("emofuse", result["emofuse"]),
        ("python", machine["python"]),
        ("packages", ", ".join(f"{name} {version}" for name, version in machine["packages"].items())),
        ("machine", f"{machine['platform']}, {machine['cores']} cores"),
    ]


def duration(result: Result) -> str:
    """The one line in which the reports of equal runs differ."""
    return f"time: {result['seconds']:.1f} s"


def _main_row(row: Row, result: Result) -> dict[str, str]:
    metrics, gain = headline(row), row["gain"]
    return {
        "name": row["name"],
        "paper's row": row["paper_row"],
        "systems": composition(row, result),
        "CPM": with_interval(metrics.get("cpm")),
        "macro F1": with_interval(metrics.get("macro_f1")),
        "accuracy": with_interval(metrics.get("accuracy")),
        "CPM in-sample": with_interval(in_sample(row).get("cpm")),
        "gain": difference(gain),
        "over": gain["over"] if gain else NONE,
        "significant?": significance(gain),
        "quoted: validation": decimal(row["quoted"]["validation"], ".2f"),
        "quoted: test": decimal(row["quoted"]["test"], ".2f"),
    }


def composition(row: Row, result: Result) -> str:
    """The systems of a row, what replaces them, and how they are fused.

    >>> row = {"systems": ["vggface2", "pann"], "method": "mcwf"}
    >>> composition(row, {"systems": {"vggface2": {"replaced_by": "mobile"}}})
    'MCWF of vggface2 (replaced by mobile) + pann'
    """
    replaced = {n: s["replaced_by"] for n, s in result["systems"].items()}
    names = (f"{n} (replaced by {replaced[n]})" if replaced.get(n) else n for n in row["systems"])
    return (f"{row['method'].upper()} of " if row["method"] else "") + " + ".join(names)


def _legend(result: Result) -> list[str]:
    lines = [f"All metrics are in percent. {CPM}"]
    if any(row["method"] for row in result["rows"]):
        lines += [
            "CPM, macro F1 and accuracy of a fusion are cross-fitted: its weights are fitted on other videos. "
            "In-sample values are scored on the videos that the weights were fitted on, as in the paper.",
            "Gain: cross-fitted CPM of a fusion minus that of the best of its systems on the same videos, in "
            "percentage points; significant if its interval excludes 0.",
        ]
    return [*lines, QUOTED]


def _above_chance(result: Result) -> str:
    """Which single systems are above chance; empty without intervals."""
    chance, above, others = result["chance"]["cpm"][0], list[str](), list[str]()
    for row in result["rows"]:
        low = ((row["in_sample"] or {}).get("cpm") or [None, None])[1]
        if not row["method"] and known(low) and known(chance):
            (above if low > chance else others).append(plain(row["name"]))
    level = f"chance (always predicting {plain(result['chance']['label'])}, CPM {percent(chance)})"
    sentences = [f"Significantly above {level}: {', '.join(above)}."] if above else []
    return " ".join([*sentences, *([f"Not significantly above {level}: {', '.join(others)}."] if others else [])])


def fusion_summary(result: Result) -> str:
    """Which fusions are significantly better or worse than their best system; empty if nothing is fused."""
    found: dict[str, list[str]] = {}
    for row in result["rows"]:
        if row["gain"] is not None:
            found.setdefault(significance(row["gain"]), []).append(plain(row["name"]))
    better, worse = found.get("yes, better"), found.get("yes, worse")
    unknown = found.get("no interval", []) + found.get(NONE, [])
    sentences = [f"Significantly better than the best of their systems: {', '.join(better)}."] if better else []
    if not better and "no" in found:
        sentences.append("No fusion is significantly better than the best of its systems.")
    sentences += [f"Significantly worse: {', '.join(worse)}."] if worse else []
    sentences += [f"No interval is known for the gain of {', '.join(unknown)}."] if unknown else []
    return " ".join(sentences)


def _all_measures(rows: Sequence[Row]) -> TextTable:
    cells = []
    for row in rows:
        kinds = ("in_sample", "in-sample"), ("cross_fitted", "cross-fitted")
        for key, kind in kinds if row["method"] else (("in_sample", "single system"),):
            if row[key]:
                cells.append([row["name"], kind, *(with_interval(row[key].get(m)) for m in MEASURES)])
    return TextTable(("name", "metrics", *MEASURES.values()), cells, 2, "All measures")


def _f1(rows: Sequence[Row], labels: Sequence[str]) -> TextTable:
    values = {row["name"]: [row["f1"].get(label) for label in labels] for row in rows if row["f1"]}
    cells = [[name, *map(percent, line)] for name, line in values.items()]
    return TextTable(("name", *labels), cells, 1, "F1 of each class", list(values.values()))


def _confusion(name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> TextTable:
    cells = [[label, *map(str, line)] for label, line in zip(labels, counts, strict=True)]
    shading = [[n / sum(line) if sum(line) else None for n in line] for line in counts]
    return TextTable(("true \\ predicted", *labels), cells, 1, name, shading)


def _weights(row: Row, labels: Sequence[str]) -> TextTable:
    weights = row["weights"]
    cells = [[n, *map(decimal, line)] for n, line in zip(weights["systems"], weights["values"], strict=True)]
    return TextTable(("system", *labels), cells, 1, row["name"], weights["values"])


def training(name: str, history: Sequence[Mapping[str, Any]]) -> TextTable:
    """The learning curves of a system as a table; the shading holds their values: losses, and CPM as a fraction."""
    values = [[epoch.get(key) for key in ("train_loss", "validation_loss", "cpm")] for epoch in history]
    cells = [
        [str(epoch["epoch"] + 1), decimal(train), decimal(validation), percent(cpm)]
        for epoch, (train, validation, cpm) in zip(history, values, strict=True)
    ]
    return TextTable(("epoch", "training loss", "validation loss", "CPM"), cells, 1, name)


def _systems(systems: Mapping[str, Mapping[str, Any]]) -> TextTable:
    cells = [
        [name, s["replaced_by"] or NONE, s["bundle"], decimal(s["examples"], "d"), str(len(s["history"] or ())),
         s["digest"]]
        for name, s in systems.items()
    ]  # fmt: skip
    return TextTable(("system", "replaced by", "bundle", "training examples", "epochs", "digest"), cells, 3, "Systems")
