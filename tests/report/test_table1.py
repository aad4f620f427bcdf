"""Reports on Table 1 in Markdown, HTML and for the terminal: content, escaping, missing values, accessibility."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from emofuse.errors import OutputError
from emofuse.report.table1 import charts, content, html, markdown, text, write
from emofuse.report.tables import plain

LABELS = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
MEASURES = ("cpm", "macro_f1", "weighted_f1", "accuracy", "uar")
BETTER, WORSE, UNCERTAIN = [0.0312, 0.0104, 0.0521], [-0.0312, -0.0521, -0.0104], [0.0312, -0.0104, 0.0521]
HOSTILE = '<script>alert("x")</script>|`a`[b](http://c)" onload="d &amp; [red]e[/red]'


def estimates(value: float) -> dict[str, list[float]]:
    """Measures with distinct values."""
    return {
        name: [value + n / 1000, value + n / 1000 - 0.06, value + n / 1000 + 0.07] for n, name in enumerate(MEASURES)
    }


def single_row(name: str, value: float, **changes: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "paper_row": f"Visual of {name}",
        "systems": [name],
        "method": "",
        "in_sample": estimates(value),
        "cross_fitted": None,
        "gain": None,
        "confusion": [[100 * (a == b) + 7 * a + b for b in range(7)] for a in range(7)],
        "f1": {label: value + n / 100 for n, label in enumerate(LABELS)},
        "weights": None,
        "quoted": {"validation": 90 + value, "test": None},
        "submission": f"submissions/{name}",
    }
    return row | changes


def fused_row(name: str, value: float, systems: list[str], gain: list[float | None], **changes: Any) -> dict[str, Any]:
    weights = [[(n + 1) / 10 + c / 100 for c in range(7)] for n in range(len(systems))]
    return single_row(name, value) | {
        "systems": systems,
        "method": "mcwf",
        "in_sample": estimates(value + 0.11),
        "cross_fitted": estimates(value),
        "gain": {"over": systems[0], "cpm": gain},
        "weights": {"systems": systems, "values": weights},
        "quoted": {"validation": 90 + value, "test": 80 + value},
        **changes,
    }


def trained(epochs: int, **changes: Any) -> dict[str, Any]:
    history = [
        {"epoch": n, "train_loss": 2 - n / 8, "validation_loss": 1.9 - n / 16, "cpm": 0.2 + n / 100}
        for n in range(epochs)
    ]
    system = {"replaced_by": None, "digest": "ab" * 32, "definition": {"face": {"net": "resnet50", "size": 224}}}
    return system | {"bundle": "systems/x-ab12cd34ef56", "examples": 1234, "history": history} | changes


def table1_result(rows: list[dict[str, Any]], systems: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    result = {
        "format": 1,
        "emofuse": "0.1.0",
        "data": "affwild2-2020",
        "split": "validation",
        "labels": LABELS,
        "clips": 12,
        "videos": 11,
        "frames": 3456,
        "scale": "tiny",
        "seed": 0,
        "chance": {"label": "neutral", "cpm": [0.2, 0.18, 0.22]},
        "interval": "95 % bootstrap over videos, 2000 resamples, seed 0",
        "rows": rows,
        "baseline_quoted": 36.0,
        "systems": dict(systems),
        "notes": ["Scale tiny: small nets."],
        "machine": {"platform": "Linux", "python": "3.11.7", "cores": 2, "packages": {"numpy": "2.4.6"}},
        "seconds": 432.1,
    }
    return result | changes


@pytest.fixture
def full() -> dict[str, Any]:
    rows = [
        single_row("face", 0.4101),
        single_row("voice", 0.2202),
        fused_row("best", 0.4503, ["face", "voice"], BETTER),
        fused_row("worst", 0.3304, ["face", "voice"], WORSE),
        fused_row("same", 0.4205, ["face", "voice"], UNCERTAIN),
    ]
    return table1_result(rows, {"face": trained(6), "voice": trained(3, replaced_by="mobile")})


@pytest.fixture
def bare() -> dict[str, Any]:
    """A single clip, so no intervals and no cross-fitting; the system was not trained in epochs."""
    single = {m: [0.25, None, None] for m in MEASURES}
    rows = [
        single_row("face", 0.3, in_sample=single, f1=dict.fromkeys(LABELS), submission=None),
        fused_row("best", 0.3, ["face"], [None, None, None], in_sample=single, cross_fitted=None)
        | {"confusion": None, "f1": None, "weights": None, "quoted": {"validation": None, "test": None}},
    ]
    return table1_result(rows, {"face": trained(0, examples=None)}, notes=[])


# -- parsing ------------------------------------------------------------------------------------------------

VOID = {"meta"}


@dataclass
class Cell:
    tag: str
    attributes: Mapping[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Collects tables as rows of cells, and all elements; fails if tags do not match."""

    tables: list[list[list[Cell]]] = field(default_factory=list)
    elements: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    text: str = ""
    depth: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.depth.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append(Cell(tag, attributes))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.depth:
            return
        self.text += data
        if {"td", "th"} & set(self.depth):
            self.tables[-1][-1][-1].text += data


def page(result: Mapping[str, Any]) -> Page:
    parsed = Page()
    parsed.feed(html(result))
    parsed.close()
    assert not parsed.depth
    return parsed


def main_rows(rendered: str) -> list[dict[str, str]]:
    """The rows of the first table of a Markdown file, by column name."""
    lines = rendered.split("\n\n| name |")[1].split("\n\n")[0].split("\n")
    head, *rows = [
        [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in ["| name |" + lines[0], *lines[2:]]
    ]
    return [dict(zip(head, row, strict=True)) for row in rows]


def terminal(result: Mapping[str, Any], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(text(result))
    return console.file.getvalue()


def percent(value: float) -> str:
    return f"{round(100 * value, 6):.2f}"


def with_interval(estimate: list[float]) -> str:
    return "{} [{}, {}]".format(*map(percent, estimate))


# -- content --------------------------------------------------------------------------------------------


def test_markdown_has_every_row_with_its_metrics(full):
    rows = main_rows(markdown(full))
    for row, shown in zip(full["rows"], rows, strict=False):
        metrics = row["cross_fitted"] or row["in_sample"]
        assert shown["name"] == row["name"]
        assert shown["paper's row"] == row["paper_row"]
        assert shown["CPM"] == with_interval(metrics["cpm"])
        assert shown["macro F1"] == with_interval(metrics["macro_f1"])
        assert shown["accuracy"] == with_interval(metrics["accuracy"])
        assert shown["CPM in-sample"] == (with_interval(row["in_sample"]["cpm"]) if row["method"] else "-")
        assert shown["quoted: validation"] == f"{row['quoted']['validation']:.2f}"
    assert len(rows) == len(full["rows"]) + 1
    assert rows[-1]["quoted: validation"] == "36.00"


def test_a_row_names_its_systems_and_their_replacements(full):
    rows = main_rows(markdown(full))
    assert rows[1]["systems"] == "voice (replaced by mobile)"
    assert rows[2]["systems"] == "MCWF of face + voice (replaced by mobile)"


@pytest.mark.parametrize("render", [markdown, html])
def test_markdown_and_html_contain_all_measures_weights_and_facts(render, full):
    rendered = render(full) if render is markdown else page(full).text
    for row in full["rows"]:
        for metrics in filter(None, (row["in_sample"], row["cross_fitted"])):
            assert all(with_interval(e) in rendered for e in metrics.values())
        assert all(percent(v) in rendered for v in row["f1"].values())
        assert all(f"{v:.4f}" in rendered for line in (row["weights"] or {"values": []})["values"] for v in line)
        assert row["submission"] in rendered
    size, bundle = "12 clips of 11 videos, 3456 labelled frames", "systems/x-ab12cd34ef56"
    for fact in (size, full["interval"], "tiny, seed 0", "ab" * 32, bundle, "1234", "Scale tiny: small nets."):
        assert fact in rendered
    for fact in ("numpy 2.4.6", "3.11.7", "Linux, 2 cores"):
        assert fact in rendered


def test_html_contains_definitions_training_histories_and_confusion_matrices(full):
    parsed = page(full)
    assert json.dumps(full["systems"]["face"]["definition"], indent=2) in parsed.text
    confusions = [t for t in parsed.tables if t[0][0].text.startswith("true")]
    assert [[[int(c.text) for c in row[1:]] for row in t[1:]] for t in confusions] == [
        row["confusion"] for row in full["rows"]
    ]
    history = next(t for t in parsed.tables if t[0][0].text == "epoch")
    assert [c.text for c in history[2]] == ["2", "1.8750", "1.8375", "21.00"]


def test_the_terminal_table_has_every_row_and_fits_120_columns(full):
    rendered = terminal(full)
    for row in full["rows"]:
        line = next(line for line in rendered.split("\n") if line.startswith(row["name"] + " "))
        assert with_interval((row["cross_fitted"] or row["in_sample"])["cpm"]) in line
        assert f"{row['quoted']['validation']:.2f}" in line
    assert max(map(len, rendered.split("\n"))) <= 120
    assert "…" not in rendered


# -- measured and quoted --------------------------------------------------------------------------------------


def quoted_values(result: Mapping[str, Any]) -> set[str]:
    found = [v for row in result["rows"] for v in row["quoted"].values() if v is not None]
    return {f"{v:.2f}" for v in (*found, result["baseline_quoted"])}


def test_quoted_values_appear_only_in_quoted_columns_of_markdown(full):
    values, rendered = quoted_values(full), markdown(full)
    rows = main_rows(rendered)
    for row in rows:
        assert {row["quoted: validation"], row["quoted: test"]} <= values | {"-"}
    quoted = sum(row[name] != "-" for row in rows for name in ("quoted: validation", "quoted: test"))
    assert sum(rendered.count(f) for f in values) == quoted


def test_quoted_values_appear_only_in_quoted_columns_of_html(full):
    values, parsed = quoted_values(full), page(full)
    cells = [c for t in parsed.tables for row in t for c in row if c.tag == "td"]
    quoted = [c.text for c in cells if "quoted" in c.attributes.get("class", "")]
    assert set(quoted) == values | {"-"}
    assert sum(parsed.text.count(f) for f in values) == sum(c != "-" for c in quoted)


def test_charts_show_no_quoted_values(full):
    without = copy.deepcopy(full)
    for row in without["rows"]:
        row["quoted"] = {"validation": None, "test": None}
    assert charts.cpm_chart(full) == charts.cpm_chart(without)


# -- significance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "significance"),
    [
        (BETTER, "yes, better"),
        (WORSE, "yes, worse"),
        (UNCERTAIN, "no"),
        ([0.0, 0.0, 0.0], "no"),
        ([0.02, 0.0, 0.04], "no"),
        ([0.02, None, None], "no interval"),
    ],
)
def test_only_a_gain_whose_interval_excludes_zero_is_significant(gain, significance):
    result = table1_result([fused_row("best", 0.4, ["face"], gain)], {"face": trained(0)})
    gained = page(result).tables[0][2][6].text
    assert main_rows(markdown(result))[0]["significant?"] == significance
    assert gained.endswith(f"over face significant: {significance}")
    assert re.search(
        rf"\]?\s+{re.escape(significance)}\s", next(x for x in terminal(result).split("\n") if x.startswith("best"))
    )


def test_the_summary_names_systems_above_chance_and_significant_gains_and_losses(full):
    summary = (
        "Significantly above chance (always predicting neutral, CPM 20.00): face. "
        "Not significantly above chance (always predicting neutral, CPM 20.00): voice. "
        "Significantly better than the best of their systems: best. Significantly worse: worst."
    )
    assert content.report(full).summary == summary
    assert summary in markdown(full)
    assert summary in page(full).text
    assert summary in " ".join(terminal(full).split())


def test_the_summary_states_that_no_gain_is_significant(full):
    full["rows"] = [row for row in full["rows"] if row["name"] not in ("best", "worst")]
    assert content.fusion_summary(full) == "No fusion is significantly better than the best of its systems."


def test_gains_are_in_percentage_points_with_their_sign(full):
    rows = main_rows(markdown(full))
    assert rows[2]["gain"] == "+3.12 [+1.04, +5.21]"
    assert rows[3]["gain"] == "-3.12 [-5.21, -1.04]"
    assert rows[2]["over"] == "face"


# -- missing values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render", [markdown, html, terminal])
def test_missing_values_are_dashes(render, bare):
    rendered = render(bare)
    assert not re.search(r"\bNone\b|\bnan\b|\bnull\b", rendered)
    assert "25.00" in rendered


def test_a_single_clip_has_no_intervals_and_no_cross_fitted_metrics(bare):
    face, best = main_rows(markdown(bare))[:2]
    assert face["CPM"] == "25.00"
    assert (best["CPM"], best["CPM in-sample"], best["gain"], best["significant?"]) == ("-", "25.00", "-", "-")
    assert content.report(bare).summary == "No interval is known for the gain of best."


def test_empty_sections_are_omitted(bare):
    bare["rows"] = bare["rows"][:1]
    parsed = page(bare)
    for section in ("Fusion weights", "Training", "Notes", "Submissions", "gain"):
        assert section not in parsed.text
        assert section not in markdown(bare).replace("CPM in-sample | gain |", "")


def test_columns_of_fusions_are_omitted_if_no_row_is_fused(full):
    full["rows"] = full["rows"][:2]
    assert [c.text for row in page(full).tables[0][:2] for c in row] == [
        "row", "systems", "measured", "quoted", "CPM", "macro F1", "accuracy", "validation", "test",
    ]  # fmt: skip


def test_every_row_of_the_main_table_fills_all_columns(full, bare):
    for result in (full, bare):
        head, second, *rows = page(result).tables[0]
        width = sum(int(c.attributes.get("colspan", "1")) for c in head)
        assert {len(row) for row in rows} == {width}
        assert len(second) == width - 2


def test_a_result_without_any_metric_is_rendered():
    empty = single_row("face", 0.1, in_sample=None, confusion=None, f1=None)
    result = table1_result([empty], {})
    assert "CPM in percent" not in html(result)
    assert main_rows(markdown(result))[0]["CPM"] == "-"
    assert "face" in terminal(result)


# -- hostile names --------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(full) -> dict[str, Any]:
    swapped = json.dumps(full).replace('"voice"', json.dumps(HOSTILE)).replace('"neutral"', json.dumps(HOSTILE + "2"))
    result = json.loads(swapped)
    result["notes"] = [HOSTILE, "# not a\nheading", "\x1b[31mred \u202eturned \udcff"]
    result["machine"]["platform"] = result["data"] = HOSTILE
    result["systems"][HOSTILE]["definition"] = {"</pre><script>": HOSTILE}
    return result


def test_hostile_names_are_escaped_in_html(hostile, full):
    parsed = page(hostile)
    kinds = {tag for tag, _ in page(full).elements}
    names = {name for _, attributes in page(full).elements for name in attributes}
    assert {tag for tag, _ in parsed.elements} <= kinds
    assert {name for _, attributes in parsed.elements for name in attributes} <= names
    assert parsed.tables[0][3][1].text == f"{HOSTILE} (replaced by mobile)"
    assert any(HOSTILE in attributes.get("aria-label", "") for tag, attributes in parsed.elements if tag == "svg")


def test_hostile_names_are_escaped_in_markdown(hostile, full):
    """As parsed by an independent Markdown parser with HTML enabled, where unescaped text would be dangerous."""

    def read(result: Mapping[str, Any]) -> list[Token]:
        blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown(result))
        return [t for block in blocks for t in (block, *(block.children or ()))]

    tokens = read(hostile)
    assert {t.type for t in tokens} == {t.type for t in read(full)}
    cells = [
        "".join(c.content for c in t.children) for t, before in zip(tokens[1:], tokens, strict=False)
        if before.type == "td_open"
    ]  # fmt: skip
    assert cells[12] == HOSTILE
    assert cells[14] == f"{HOSTILE} (replaced by mobile)"
    assert len([t for t in tokens if t.type == "heading_open"]) == len(
        [t for t in read(full) if t.type == "heading_open"]
    )


@settings(max_examples=60, deadline=None)
@given(st.text() | st.text(alphabet="|\\`*_[]()<>#+-=.!&~:;1a \n"))
def test_any_name_survives_markdown_unchanged(name):
    shown = plain(name).strip()
    result = table1_result([single_row(name, 0.3)], {}, notes=[name])
    blocks = MarkdownIt("commonmark").enable("table").parse(markdown(result))
    occurrences = ["".join(c.content for c in b.children) for b in blocks if b.type == "inline"].count(shown)
    assert not shown or occurrences >= 5  # as row and system, in two more tables, and in the note


def test_control_characters_never_reach_the_terminal(hostile):
    rendered = terminal(hostile, width=400)
    assert "\x1b" not in rendered
    assert "\u202e" not in rendered
    assert f"note: {HOSTILE}" in rendered
    html(hostile).encode()
    markdown(hostile).encode()


# -- files ----------------------------------------------------------------------------------------------------


def test_equal_results_give_equal_bytes(full, tmp_path):
    for folder in ("a", "b"):
        write(json.loads(json.dumps(full)), tmp_path / folder)
    for name in ("table1.md", "table1.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("render", [markdown, html])
def test_runs_that_differ_in_duration_differ_in_one_line(render, full):
    lines = [render(full | {"seconds": s}).split("\n") for s in (432.1, 99.0)]
    differ = [(a, b) for a, b in zip(*lines, strict=True) if a != b]
    assert [re.sub("<.*?>", "", a) for pair in differ for a in pair] == ["time: 432.1 s", "time: 99.0 s"]
    if render is markdown:
        assert lines[0][-2:] == ["time: 432.1 s", ""]


def test_write_returns_the_paths_it_wrote(full, tmp_path):
    assert [p.relative_to(tmp_path).as_posix() for p in write(full, tmp_path / "out")] == [
        "out/table1.md",
        "out/table1.html",
    ]
    assert (tmp_path / "out/table1.md").read_text("utf-8") == markdown(full)


def test_an_unwritable_folder_is_an_output_error(full, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="choose another"):
        write(full, tmp_path / "out")


def test_the_page_loads_nothing_from_elsewhere(full):
    rendered = html(full)
    assert not re.search(r"https?:|//|url\(|@import|<script|<img|<link|\ssrc=|\shref=(?!\"#)", rendered)


def test_the_page_is_accessible_to_screen_readers(full):
    parsed = page(full)
    cells = [c for t in parsed.tables for row in t for c in row if c.tag == "th"]
    assert all(c.attributes.get("scope") in ("row", "col", "colgroup") for c in cells)
    svgs = [a for tag, a in parsed.elements if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in svgs)
    assert f"face {with_interval(full['rows'][0]['in_sample']['cpm'])}" in svgs[0]["aria-label"]
    trained_face = next(a["aria-label"] for a in svgs if a.get("aria-label", "").startswith("face, 6 epochs"))
    assert trained_face == (
        "face, 6 epochs: training loss from 2.00 to 1.38; validation loss from 1.90 to 1.59; "
        "validation CPM from 20.00 to 25.00"
    )


def test_text_on_the_darkest_shade_has_enough_contrast():
    """WCAG 2 asks for 4.5 to 1."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    schemes = re.findall(r":root \{(.*?)\}", html(table1_result([], {})), re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        values = dict(re.findall(r"--(\w+): ([^;]+);", scheme))
        ground, ink, heat = ([int(values[k][n : n + 2], 16) for n in (1, 3, 5)] for k in ("ground", "text", "first"))
        full = float(values["full"])
        shade = [full * h + (1 - full) * g for h, g in zip(heat, ground, strict=True)]
        light, dark = sorted((luminance(shade), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


# -- charts --------------------------------------------------------------------------------------------------


def test_confusion_matrices_are_shaded_by_the_fraction_of_the_true_class():
    counts = [[0] * 7 for _ in range(7)]
    counts[1] = [30, 60, 10, 0, 0, 0, 0]
    table = page(table1_result([single_row("face", 0.3, confusion=counts)], {})).tables
    rows = next(t for t in table if t[0][0].text.startswith("true"))
    assert [c.attributes["style"] for c in rows[2][1:4]] == ["--shade:0.300", "--shade:0.600", "--shade:0.100"]
    assert rows[2][1].attributes["title"] == "30.00 % of anger"
    assert all(c.attributes == {"class": "missing"} for c in rows[1][1:])


def points(svg: str, name: str) -> list[tuple[float, float]]:
    """The markers of a curve of a chart."""
    group = svg.split(f'<g class="chart-{name}"')[1].split("</g>\n   </g>")[0]
    return [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"', group)]


def test_points_of_the_chart_lie_at_their_values(full):
    rendered = charts.cpm_chart(full)
    ticks = rendered.split('<g class="chart-matplotlib.axis"')[1]
    marks = {float(name): float(x) for x, name in re.findall(r'x="([\d.]+)" y="[\d.]+"[^>]*>([\d.]+)</text>', ticks)}
    low, high = min(marks), max(marks)
    for row, (x, _) in zip(full["rows"], points(rendered, "measured"), strict=True):
        value = 100 * (row["cross_fitted"] or row["in_sample"])["cpm"][0]
        fraction = (x - marks[low]) / (marks[high] - marks[low])
        assert low + fraction * (high - low) == pytest.approx(value, abs=0.05)


def test_curves_break_at_missing_values():
    history = trained(5)["history"]
    history[2]["cpm"] = None
    history[4]["cpm"] = float("nan")
    rendered = charts.learning_curves("face", history)
    line = re.search(r'<g class="chart-cpm".*?<path d="(.*?)"', rendered, re.DOTALL)
    assert re.findall("[A-Z]", line[1]) == ["M", "L", "M"]
    assert len(points(rendered, "cpm")) == 3
    assert "from 20.00 to 23.00" in rendered


def test_a_training_of_one_epoch_is_drawn_as_points():
    rendered = charts.learning_curves("face", trained(1)["history"])
    assert [len(points(rendered, name)) for name in ("train_loss", "validation_loss", "cpm")] == [1, 1, 1]
    assert "nan" not in rendered


def test_names_in_charts_are_neither_formulas_nor_limited_to_one_alphabet(full):
    full["rows"][0]["name"] = "$x^2$ 顔"
    assert ">$x^2$ 顔</text>" in charts.cpm_chart(full)
