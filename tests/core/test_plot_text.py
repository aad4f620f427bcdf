"""Text in plots: names of files are shown literally, whatever they contain."""

from __future__ import annotations

import warnings

import pytest
from matplotlib.figure import Figure

from emofuse.core import plot_text
from emofuse.core.plot_text import plain


@pytest.fixture
def default_font(monkeypatch):
    monkeypatch.setattr(plot_text, "_fonts", lambda: {"DejaVu Sans": {ord(c) for c in "abcdefghij$_\\ é"}})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a é", "a é"),
        ("演", r"\u6f14"),
        ("😀", r"\U0001f600"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\udce0", r"\udce0"),
    ],
)
def test_characters_that_no_font_has_are_escaped(default_font, name, shown):
    assert plain(name)["s"] == shown


def test_another_font_draws_what_the_default_one_lacks(monkeypatch):
    fonts = {"DejaVu Sans": {ord("a")}, "Noto Sans CJK SC": {ord("演")}, "Malgun Gothic": {ord("각")}}
    monkeypatch.setattr(plot_text, "_fonts", lambda: fonts)
    assert plain("a演") == {"s": "a演", "family": ["DejaVu Sans", "Noto Sans CJK SC"], "parse_math": False}


def test_a_long_name_keeps_its_start_and_end():
    shown = plain("a" * 200 + "b" * 200)["s"]
    assert len(shown) == 100
    assert (shown[0], shown[48:52], shown[-1]) == ("a", "aa..", "b")


@pytest.mark.parametrize("name", ["演讲 ओ 😀", "a$b_{$c", "$\\frac$", "x\ny", "d\udce9j", "%s [red]"])
def test_any_name_is_drawn_without_a_warning(name, tmp_path):
    text, figure = plain(name), Figure()
    figure.suptitle(text.pop("s"), **text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "x.png")
