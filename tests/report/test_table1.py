"""The result of `emofuse table1` as a file, a page and a table: what is in it, what is escaped, what is missing."""

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
from emofuse.report.table1 import charts, html, markdown, text, words, write
from emofuse.report.table1.style import STYLE

LABELS = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
MEASURES = ("cpm", "macro_f1", "weighted_f1", "accuracy", "uar")
BETTER, WORSE, UNSURE = [0.0312, 0.0104, 0.0521], [-0.0312, -0.0521, -0.0104], [0.0312, -0.0104, 0.0521]
HOSTILE = '<script>alert("x")</script>|`a`[b](http://c)" onload="d &amp; [red]e[/red]'


def estimates(value: float) -> dict[str, list[float]]:
    """Figures of which no two are equal."""
    return {
        name: [value + n / 1000, value + n / 1000 - 0.06, value + n / 1000 + 0.07] for n, name in enumerate(MEASURES)
    }


def alone(name: str, value: float, **changes: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "row": f"Visual of {name}",
        "parts": [name],
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


def fused(name: str, value: float, parts: list[str], gain: list[float | None], **changes: Any) -> dict[str, Any]:
    weights = [[(n + 1) / 10 + c / 100 for c in range(7)] for n in range(len(parts))]
    return alone(name, value) | {
        "parts": parts,
        "method": "mcwf",
        "in_sample": estimates(value + 0.11),
        "cross_fitted": estimates(value),
        "gain": {"over": parts[0], "cpm": gain},
        "weights": {"systems": parts, "values": weights},
        "quoted": {"validation": 90 + value, "test": 80 + value},
        **changes,
    }


def trained(epochs: int, **changes: Any) -> dict[str, Any]:
    history = [
        {"epoch": n, "train_loss": 2 - n / 8, "validation_loss": 1.9 - n / 16, "cpm": 0.2 + n / 100}
        for n in range(epochs)
    ]
    system = {"stands_in": None, "digest": "ab" * 32, "definition": {"face": {"net": "resnet50", "size": 224}}}
    return system | {"bundle": "systems/x-ab12cd34ef56", "examples": 1234, "history": history} | changes


def result(rows: list[dict[str, Any]], systems: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    made = {
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
        "always": {"label": "neutral", "cpm": [0.2, 0.18, 0.22]},
        "interval": "95 % bootstrap over videos, 2000 resamples, seed 0",
        "rows": rows,
        "baseline_quoted": 36.0,
        "systems": dict(systems),
        "notes": ["Scale tiny: small nets."],
        "machine": {"platform": "Linux", "python": "3.11.7", "cores": 2, "packages": {"numpy": "2.4.6"}},
        "seconds": 432.1,
    }
    return made | changes


@pytest.fixture
def whole() -> dict[str, Any]:
    rows = [
        alone("face", 0.4101),
        alone("voice", 0.2202),
        fused("best", 0.4503, ["face", "voice"], BETTER),
        fused("worst", 0.3304, ["face", "voice"], WORSE),
        fused("same", 0.4205, ["face", "voice"], UNSURE),
    ]
    return result(rows, {"face": trained(6), "voice": trained(3, stands_in="mobile")})


@pytest.fixture
def bare() -> dict[str, Any]:
    """One clip, so no intervals and nothing held out, and a system that was not trained by epochs."""
    lonely = {m: [0.25, None, None] for m in MEASURES}
    rows = [
        alone("face", 0.3, in_sample=lonely, f1=dict.fromkeys(LABELS), submission=None),
        fused("best", 0.3, ["face"], [None, None, None], in_sample=lonely, cross_fitted=None)
        | {"confusion": None, "f1": None, "weights": None, "quoted": {"validation": None, "test": None}},
    ]
    return result(rows, {"face": trained(0, examples=None)}, notes=[])


# -- reading what was drawn -----------------------------------------------------------------------------------

VOID = {"meta", "line", "circle", "path"}


@dataclass
class Cell:
    tag: str
    attributes: Mapping[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Tables as rows of cells, and all elements; fails where tags do not match."""

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


def page(made: Mapping[str, Any]) -> Page:
    parsed = Page()
    parsed.feed(html(made))
    parsed.close()
    assert not parsed.depth
    return parsed


def main_rows(drawn: str) -> list[dict[str, str]]:
    """The first table of a Markdown file, by its head."""
    lines = drawn.split("\n\n| name |")[1].split("\n\n")[0].split("\n")
    head, *rows = [
        [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in ["| name |" + lines[0], *lines[2:]]
    ]
    return [dict(zip(head, row, strict=True)) for row in rows]


def terminal(made: Mapping[str, Any], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(text(made))
    return console.file.getvalue()


def percent(value: float) -> str:
    return f"{round(100 * value, 6):.2f}"


def with_interval(figures: list[float]) -> str:
    return "{} [{}, {}]".format(*map(percent, figures))


# -- what is in it --------------------------------------------------------------------------------------------


def test_the_file_has_every_row_with_its_figures(whole):
    rows = main_rows(markdown(whole))
    for row, shown in zip(whole["rows"], rows, strict=False):
        figures = row["cross_fitted"] or row["in_sample"]
        assert shown["name"] == row["name"]
        assert shown["paper's row"] == row["row"]
        assert shown["CPM"] == with_interval(figures["cpm"])
        assert shown["macro F1"] == with_interval(figures["macro_f1"])
        assert shown["accuracy"] == with_interval(figures["accuracy"])
        assert shown["CPM in-sample"] == (with_interval(row["in_sample"]["cpm"]) if row["method"] else "-")
        assert shown["quoted: validation"] == f"{row['quoted']['validation']:.2f}"
    assert len(rows) == len(whole["rows"]) + 1
    assert rows[-1]["quoted: validation"] == "36.00"


def test_a_row_says_what_it_is_made_of_and_what_stands_in(whole):
    rows = main_rows(markdown(whole))
    assert rows[1]["made of"] == "voice (mobile in its place)"
    assert rows[2]["made of"] == "MCWF of face + voice (mobile in its place)"


@pytest.mark.parametrize("draw", [markdown, html])
def test_file_and_page_hold_all_measures_weights_and_facts(draw, whole):
    drawn = draw(whole) if draw is markdown else page(whole).text
    for row in whole["rows"]:
        for figures in filter(None, (row["in_sample"], row["cross_fitted"])):
            assert all(with_interval(e) in drawn for e in figures.values())
        assert all(percent(v) in drawn for v in row["f1"].values())
        assert all(f"{v:.4f}" in drawn for line in (row["weights"] or {"values": []})["values"] for v in line)
        assert row["submission"] in drawn
    size, made = "12 clips of 11 videos, 3456 labelled frames", "systems/x-ab12cd34ef56"
    for said in (size, whole["interval"], "tiny, seed 0", "ab" * 32, made, "1234", "Scale tiny: small nets."):
        assert said in drawn
    for said in ("numpy 2.4.6", "3.11.7", "Linux, 2 cores"):
        assert said in drawn


def test_the_page_holds_definitions_histories_and_every_count(whole):
    parsed = page(whole)
    assert json.dumps(whole["systems"]["face"]["definition"], indent=2) in parsed.text
    counted = [t for t in parsed.tables if t[0][0].text.startswith("truth")]
    assert [[[int(c.text) for c in row[1:]] for row in t[1:]] for t in counted] == [
        row["confusion"] for row in whole["rows"]
    ]
    history = next(t for t in parsed.tables if t[0][0].text == "epoch")
    assert [c.text for c in history[2]] == ["2", "1.8750", "1.8375", "21.00"]


def test_the_terminal_has_every_row_and_fits_120_columns(whole):
    drawn = terminal(whole)
    for row in whole["rows"]:
        line = next(line for line in drawn.split("\n") if line.startswith(row["name"] + " "))
        assert with_interval((row["cross_fitted"] or row["in_sample"])["cpm"]) in line
        assert f"{row['quoted']['validation']:.2f}" in line
    assert max(map(len, drawn.split("\n"))) <= 120
    assert "…" not in drawn


# -- measured and quoted --------------------------------------------------------------------------------------


def quoted_figures(made: Mapping[str, Any]) -> set[str]:
    found = [v for row in made["rows"] for v in row["quoted"].values() if v is not None]
    return {f"{v:.2f}" for v in (*found, made["baseline_quoted"])}


def test_quoted_figures_stand_only_in_quoted_columns_of_the_file(whole):
    figures, drawn = quoted_figures(whole), markdown(whole)
    rows = main_rows(drawn)
    for row in rows:
        assert {row["quoted: validation"], row["quoted: test"]} <= figures | {"-"}
    quoted = sum(row[name] != "-" for row in rows for name in ("quoted: validation", "quoted: test"))
    assert sum(drawn.count(f) for f in figures) == quoted


def test_quoted_figures_stand_only_in_quoted_columns_of_the_page(whole):
    figures, parsed = quoted_figures(whole), page(whole)
    cells = [c for t in parsed.tables for row in t for c in row if c.tag == "td"]
    quoted = [c.text for c in cells if "quoted" in c.attributes.get("class", "")]
    assert set(quoted) == figures | {"-"}
    assert sum(parsed.text.count(f) for f in figures) == sum(c != "-" for c in quoted)


def test_charts_show_nothing_quoted(whole):
    without = copy.deepcopy(whole)
    for row in without["rows"]:
        row["quoted"] = {"validation": None, "test": None}
    assert charts.intervals(whole) == charts.intervals(without)


# -- chance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "verdict", "brief"),
    [
        (BETTER, "better, beyond chance", "yes, better"),
        (WORSE, "worse, beyond chance", "yes, worse"),
        (UNSURE, "not beyond chance", "no"),
        ([0.0, 0.0, 0.0], "not beyond chance", "no"),
        ([0.02, 0.0, 0.04], "not beyond chance", "no"),
        ([0.02, None, None], "no interval", "?"),
    ],
)
def test_only_a_gain_whose_interval_excludes_zero_is_beyond_chance(gain, verdict, brief):
    made = result([fused("best", 0.4, ["face"], gain)], {"face": trained(0)})
    gained = page(made).tables[0][2][6].text
    assert main_rows(markdown(made))[0]["beyond chance?"] == verdict
    assert gained.endswith(f"over face {verdict}")
    assert re.search(
        rf"\]?\s+{re.escape(brief)}\s", next(x for x in terminal(made).split("\n") if x.startswith("best"))
    )


def test_the_summary_names_what_is_above_chance_and_what_gains_and_what_loses(whole):
    said = (
        "Above always saying neutral (CPM 20.00) with their whole interval: face. "
        "Not above always saying neutral (CPM 20.00) beyond chance: voice. "
        "Better than the best of their parts, beyond chance: best. Worse, beyond chance: worst."
    )
    assert words.summary(whole) == said
    assert said in markdown(whole)
    assert said in page(whole).text
    assert said in " ".join(terminal(whole).split())


def test_without_a_gain_beyond_chance_the_summary_says_so(whole):
    whole["rows"] = [row for row in whole["rows"] if row["name"] not in ("best", "worst")]
    assert words.fusions(whole) == "No fusion is better than the best of its parts beyond chance."


def test_gains_are_told_in_points_with_their_sign(whole):
    rows = main_rows(markdown(whole))
    assert rows[2]["gain"] == "+3.12 [+1.04, +5.21]"
    assert rows[3]["gain"] == "-3.12 [-5.21, -1.04]"
    assert rows[2]["over"] == "face"


# -- what is missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [markdown, html, terminal])
def test_missing_figures_are_dashes(draw, bare):
    drawn = draw(bare)
    assert not re.search(r"\bNone\b|\bnan\b|\bnull\b", drawn)
    assert "25.00" in drawn


def test_one_clip_has_no_brackets_and_no_held_out_figures(bare):
    face, best = main_rows(markdown(bare))[:2]
    assert face["CPM"] == "25.00"
    assert (best["CPM"], best["CPM in-sample"], best["gain"], best["beyond chance?"]) == ("-", "25.00", "-", "-")
    assert words.summary(bare) == "There is no interval to judge by for best."


def test_sections_without_content_are_left_out(bare):
    bare["rows"] = bare["rows"][:1]
    parsed = page(bare)
    for section in ("Fusion weights", "Training", "Notes", "Submissions", "gain"):
        assert section not in parsed.text
        assert section not in markdown(bare).replace("CPM in-sample | gain |", "")


def test_rows_of_systems_alone_have_no_columns_of_fusions(whole):
    whole["rows"] = whole["rows"][:2]
    assert [c.text for row in page(whole).tables[0][:2] for c in row] == [
        "row", "made of", "measured", "quoted", "CPM", "macro F1", "accuracy", "validation", "test",
    ]  # fmt: skip


def test_every_row_of_the_main_table_fills_its_columns(whole, bare):
    for made in (whole, bare):
        head, second, *rows = page(made).tables[0]
        width = sum(int(c.attributes.get("colspan", "1")) for c in head)
        assert {len(row) for row in rows} == {width}
        assert len(second) == width - 2


def test_a_table_without_any_figure_is_drawn_too():
    empty = alone("face", 0.1, in_sample=None, confusion=None, f1=None)
    made = result([empty], {})
    assert "CPM in percent" not in html(made)
    assert main_rows(markdown(made))[0]["CPM"] == "-"
    assert "face" in terminal(made)


# -- hostile names --------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(whole) -> dict[str, Any]:
    swapped = json.dumps(whole).replace('"voice"', json.dumps(HOSTILE)).replace('"neutral"', json.dumps(HOSTILE + "2"))
    made = json.loads(swapped)
    made["notes"] = [HOSTILE, "# not a\nheading", "\x1b[31mred \u202eturned \udcff"]
    made["machine"]["platform"] = made["data"] = HOSTILE
    made["systems"][HOSTILE]["definition"] = {"</pre><script>": HOSTILE}
    return made


def test_hostile_names_are_text_of_the_page(hostile, whole):
    parsed = page(hostile)
    kinds = {tag for tag, _ in page(whole).elements}
    names = {name for _, attributes in page(whole).elements for name in attributes}
    assert {tag for tag, _ in parsed.elements} <= kinds
    assert {name for _, attributes in parsed.elements for name in attributes} <= names
    assert parsed.tables[0][3][1].text == f"{HOSTILE} (mobile in its place)"
    assert any(HOSTILE in attributes.get("aria-label", "") for tag, attributes in parsed.elements if tag == "svg")


def test_hostile_names_are_text_of_the_file(hostile, whole):
    """As another program reads Markdown: HTML allowed, as where it is dangerous."""

    def read(made: Mapping[str, Any]) -> list[Token]:
        blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown(made))
        return [t for block in blocks for t in (block, *(block.children or ()))]

    tokens = read(hostile)
    assert {t.type for t in tokens} == {t.type for t in read(whole)}
    cells = [
        "".join(c.content for c in t.children) for t, before in zip(tokens[1:], tokens, strict=False)
        if before.type == "td_open"
    ]  # fmt: skip
    assert cells[12] == HOSTILE
    assert cells[14] == f"{HOSTILE} (mobile in its place)"
    assert len([t for t in tokens if t.type == "heading_open"]) == len(
        [t for t in read(whole) if t.type == "heading_open"]
    )


@settings(max_examples=60, deadline=None)
@given(st.text() | st.text(alphabet="|\\`*_[]()<>#+-=.!&~:;1a \n"))
def test_any_name_is_read_as_it_is(name):
    shown = words.plain(name).strip()
    made = result([alone(name, 0.3)], {}, notes=[name])
    blocks = MarkdownIt("commonmark").enable("table").parse(markdown(made))
    there = ["".join(c.content for c in b.children) for b in blocks if b.type == "inline"].count(shown)
    assert not shown or there >= 5  # as row and part, in two more tables, and as the note


def test_nothing_steers_the_terminal(hostile):
    drawn = terminal(hostile, width=400)
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn
    assert f"note: {HOSTILE}" in drawn
    html(hostile).encode()
    markdown(hostile).encode()


# -- files ----------------------------------------------------------------------------------------------------


def test_equal_results_give_equal_bytes(whole, tmp_path):
    for folder in ("a", "b"):
        write(json.loads(json.dumps(whole)), tmp_path / folder)
    for name in ("table1.md", "table1.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("draw", [markdown, html])
def test_runs_of_other_length_differ_in_one_line(draw, whole):
    lines = [draw(whole | {"seconds": s}).split("\n") for s in (432.1, 99.0)]
    differ = [(a, b) for a, b in zip(*lines, strict=True) if a != b]
    assert [re.sub("<.*?>", "", a) for pair in differ for a in pair] == ["time: 432.1 s", "time: 99.0 s"]
    if draw is markdown:
        assert lines[0][-2:] == ["time: 432.1 s", ""]


def test_write_tells_what_it_wrote(whole, tmp_path):
    assert [p.relative_to(tmp_path).as_posix() for p in write(whole, tmp_path / "out")] == [
        "out/table1.md",
        "out/table1.html",
    ]
    assert (tmp_path / "out/table1.md").read_text("utf-8") == markdown(whole)


def test_a_folder_that_cannot_be_written_is_one_line(whole, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="choose another"):
        write(whole, tmp_path / "out")


def test_the_page_needs_nothing_from_elsewhere(whole):
    drawn = html(whole)
    assert not re.search(r"https?:|//|url\(|@import|<script|<img|<link|\ssrc=|\shref=", drawn)


def test_the_page_can_be_read_aloud(whole):
    parsed = page(whole)
    cells = [c for t in parsed.tables for row in t for c in row if c.tag == "th"]
    assert all(c.attributes.get("scope") in ("row", "col", "colgroup") for c in cells)
    drawings = [a for tag, a in parsed.elements if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in drawings)
    assert f"face {with_interval(whole['rows'][0]['in_sample']['cpm'])}" in drawings[0]["aria-label"]
    trained_face = next(a["aria-label"] for a in drawings if a.get("aria-label", "").startswith("face, 6 epochs"))
    assert trained_face == "face, 6 epochs: training loss from 2.00 to 1.38; validation loss from 1.90 to 1.59"


def test_text_on_the_darkest_shade_keeps_its_contrast():
    """WCAG 2 asks for 4.5 to 1."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for scheme in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL):
        values = dict(re.findall(r"--(\w+): ([^;]+);", scheme))
        ground, ink = ([int(values[k][n : n + 2], 16) for n in (1, 3, 5)] for k in ("ground", "text"))
        heat, full = [float(v) for v in values["heat"].split()], float(values["full"])
        shade = [full * h + (1 - full) * g for h, g in zip(heat, ground, strict=True)]
        light, dark = sorted((luminance(shade), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


# -- drawing --------------------------------------------------------------------------------------------------


def test_confusions_are_shaded_by_their_share_of_the_true_class():
    counts = [[0] * 7 for _ in range(7)]
    counts[1] = [30, 60, 10, 0, 0, 0, 0]
    table = page(result([alone("face", 0.3, confusion=counts)], {})).tables
    rows = next(t for t in table if t[0][0].text.startswith("truth"))
    assert [c.attributes["style"] for c in rows[2][1:4]] == ["--share:0.300", "--share:0.600", "--share:0.100"]
    assert rows[2][1].attributes["title"] == "30.00 % of anger"
    assert all(c.attributes == {"class": "missing"} for c in rows[1][1:])


def test_points_of_the_chart_lie_where_their_values_are(whole):
    drawn = charts.intervals(whole)
    marks = {float(name): float(x) for x, name in re.findall(r'class="tick" x="([\d.]+)"[^>]*>([\d.]+)<', drawn)}
    low, high = min(marks), max(marks)
    for row, x in zip(whole["rows"], re.findall(r'<circle class="dot first" cx="([\d.]+)"', drawn), strict=True):
        value = 100 * (row["cross_fitted"] or row["in_sample"])["cpm"][0]
        share = (float(x) - marks[low]) / (marks[high] - marks[low])
        assert low + share * (high - low) == pytest.approx(value, abs=0.05)


def test_curves_break_where_a_value_is_missing():
    history = trained(5)["history"]
    history[2]["cpm"] = None
    history[4]["cpm"] = float("nan")
    drawn = charts.progress("face", history)
    assert drawn.count('class="curve') == 1
    assert drawn.count("<circle") == 1
    assert "from 20.00 to 23.00" in drawn


def test_a_training_of_one_epoch_is_a_dot():
    drawn = charts.losses("face", trained(1)["history"])
    assert drawn.count("<circle") == 2
    assert "nan" not in drawn


figures = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 4))


@given(figures, figures, st.integers(2, 8))
def test_an_axis_holds_all_values_between_round_marks(one, other, wanted):
    low, high = sorted((one, other))
    axis = charts.axis(low, high, first=0, last=100, marks=wanted)
    marks = axis.marks()
    assert marks[0] <= low + 1e-6 * axis.step
    assert marks[-1] >= high - 1e-6 * axis.step
    assert 2 <= len(marks) <= 2 * wanted + 3
    assert axis.at(marks[0]) == 0
    assert axis.at(marks[-1]) == pytest.approx(100)
    assert len({name for _, name in axis.named()}) == len(marks)
