"""table1.html: the result as one page that needs nothing else, with its matrices, weights and training curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from emofuse.report.table1 import charts, words
from emofuse.report.table1.style import STYLE
from emofuse.report.table1.tables import confusion_table, heat_table, main_table, safe, scrolling, table
from emofuse.report.table1.words import NONE, known, percent, with_interval

Result = Mapping[str, Any]


def html(result: Result) -> str:
    """The result as one HTML file; nothing is loaded from elsewhere."""
    sections = (_overview, _notes, _chart, _measures, _classes, _confusions, _weights, _training, _run)
    title = safe(words.title(result))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        # Whatever a name in the result holds, the page runs nothing and fetches nothing.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        + "\n".join(line for section in sections for line in section(result))
        + f'\n<p class="muted">{words.duration(result)}</p>\n</main>\n</body>\n</html>\n'
    )


def _overview(result: Result) -> Iterator[str]:
    yield _terms(words.facts(result))
    if words.summary(result):
        yield f'<p class="summary">{safe(words.summary(result))}</p>'
    yield scrolling(main_table(result), "Measured and quoted figures")
    yield _list(words.legend(result))


def _notes(result: Result) -> Iterator[str]:
    if result["notes"]:
        yield "<h2>Notes</h2>"
        yield _list(result["notes"])


def _chart(result: Result) -> Iterator[str]:
    drawn = charts.intervals(result)
    if drawn:
        yield "<h2>CPM</h2>"
        key = ""
        if any(words.in_sample(row) for row in result["rows"]):
            first, second = (_key(charts.key("dot", series)) for series in ("first", "second"))
            key = f"{first} measured; of a fusion, cross-fitted {second} a fusion in-sample. "
        caption = f"{key}Bars: {safe(result['interval'])}."
        yield f'<figure class="wide">{scrolling(drawn, "Chart of CPM")}<figcaption>{caption}</figcaption></figure>'


def _measures(result: Result) -> Iterator[str]:
    rows = [
        [row["name"], kind, *(with_interval(figures.get(m)) for m in words.MEASURES)]
        for row, kind, figures in words.estimates(result)
    ]
    if rows:
        yield "<h2>All measures</h2>"
        yield scrolling(table(("row", "figures", *words.MEASURES.values()), rows, words_in=2), "All measures")


def _classes(result: Result) -> Iterator[str]:
    labels = result["labels"]
    rows = [(row["name"], [row["f1"].get(name) for name in labels]) for row in result["rows"] if row["f1"]]
    if rows:
        yield "<h2>F1 of each class</h2>"
        yield scrolling(heat_table("row", labels, rows, percent), "F1 of each class")


def _confusions(result: Result) -> Iterator[str]:
    drawn = [
        scrolling(confusion_table(row["name"], result["labels"], row["confusion"]), f"Confusions of {row['name']}")
        for row in result["rows"]
        if row["confusion"]
    ]
    if drawn:
        yield "<h2>Confusions</h2>"
        yield (
            '<p class="muted">Frames by their true class (rows) and the answer (columns), shaded by the share of the '
            "true class. Answers of fusions are cross-fitted.</p>"
        )
        yield f'<div class="many">{"".join(drawn)}</div>'


def _weights(result: Result) -> Iterator[str]:
    fused = [(row["name"], row["weights"]) for row in result["rows"] if row["weights"]]
    if fused:
        yield "<h2>Fusion weights</h2>"
        yield '<p class="muted">How much each system counts for each class, fitted on all videos.</p>'
        yield '<div class="many">'
    for name, weights in fused:
        rows = list(zip(weights["systems"], weights["values"], strict=True))
        drawn = heat_table("system", result["labels"], rows, words.weight)
        yield f"<section><h3>{safe(name)}</h3>{scrolling(drawn, f'Weights of {name}')}</section>"
    if fused:
        yield "</div>"


def _training(result: Result) -> Iterator[str]:
    trained = [(name, s["history"]) for name, s in result["systems"].items() if s["history"]]
    if trained:
        first, second = (_key(charts.key("curve", series)) for series in ("first", "second"))
        yield "<h2>Training</h2>"
        yield (
            f'<p class="muted">{first} on the validation part {second} on the training part, where the loss is as it '
            "was weighted.</p>"
        )
        yield '<div class="many">'
        for name, history in trained:
            head = ("epoch", "training loss", "validation loss", "CPM")
            rows = [[str(e["epoch"] + 1), *_losses(e), percent(e.get("cpm"))] for e in history]
            figures = _folded("Figures", scrolling(table(head, rows), f"Training of {name}"))
            pair = f'<div class="pair">{charts.losses(name, history)}{charts.progress(name, history)}</div>'
            yield f"<section><h3>{safe(name)}</h3>{pair}{figures}</section>"
        yield "</div>"


def _losses(epoch: Mapping[str, Any]) -> list[str]:
    values = (epoch.get("train_loss"), epoch.get("validation_loss"))
    return [f"{v:.4f}" if known(v) else NONE for v in values]


def _run(result: Result) -> Iterator[str]:
    yield "<h2>What was run</h2>"
    head = ("system", "stands in", "bundle", "training examples", "epochs")
    rows = [
        [name, s["stands_in"] or NONE, s["bundle"], words.count(s["examples"]), str(len(s["history"] or ()))]
        for name, s in result["systems"].items()
    ]
    if rows:
        yield scrolling(table(head, rows, words_in=3), "Systems")
    for name, system in result["systems"].items():
        definition = json.dumps(system["definition"], indent=2, ensure_ascii=False)
        shown = "\n".join(map(safe, definition.split("\n")))
        digest = f"<p>digest <code>{safe(system['digest'])}</code></p>"
        yield _folded(f"Definition of {name}", f"{digest}<pre>{shown}</pre>")
    submissions = [f"{row['name']}: {row['submission']}" for row in result["rows"] if row["submission"]]
    if submissions:
        yield _folded("Submissions", _list(submissions))
    yield _terms(words.machine(result))


def _terms(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{safe(term)}</dt><dd>{safe(text)}</dd>' for term, text in pairs)}</dl>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{safe(line)}</li>' for line in lines)}</ul>"


def _folded(name: str, content: str) -> str:
    return f"<details><summary>{safe(name)}</summary>{content}</details>"


def _key(drawn: str) -> str:
    return f'<span class="key">{drawn}</span>'
