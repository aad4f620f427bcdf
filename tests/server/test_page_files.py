"""The files of the page: its texts are data in two languages, and nothing is inline."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.export import WRITERS
from emofuse.report.svg import DARK, LIGHT

WEB = files("emofuse.server") / "web"
MODULES = {item.name: item.read_text("utf-8") for item in WEB.iterdir() if item.name.endswith(".js")}
TEXTS = {name: json.loads((WEB / "texts" / f"{name}.json").read_text("utf-8")) for name in ("en", "de")}
CODE = re.sub(r"^\s*//.*$|\s// .*$", "", "\n".join(MODULES.values()), flags=re.MULTILINE)
LITERALS = [found[2] for found in re.finditer(r"([\"'`])((?:(?!\1).)*)\1", CODE)]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.feed((WEB / "index.html").read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def test_both_languages_have_the_same_texts():
    assert list(TEXTS["en"]) == list(TEXTS["de"])


@pytest.mark.parametrize("language", TEXTS)
def test_no_text_is_empty(language):
    assert all(text.strip() for text in TEXTS[language].values())


def test_texts_of_both_languages_have_the_same_values():
    def values(text: str) -> set[str]:
        return set(re.findall(r"\{\w+\}", text))

    assert [key for key in TEXTS["en"] if values(TEXTS["en"][key]) != values(TEXTS["de"][key])] == []


def test_every_text_that_the_code_names_exists():
    named = re.findall(r"\bt\((?:[\w.]+ \? )?\"([\w.-]+)\"(?: : \"([\w.-]+)\")?", CODE)
    keys = {key for pair in named for key in pair if key}
    keys |= {f"{key}.{number}" for key in re.findall(r"plural\(\"([\w.-]+)\"", CODE) for number in ("one", "other")}
    assert len(keys) > 100
    assert keys - set(TEXTS["en"]) == set()


def test_every_text_is_used():
    literals = [text for text in LITERALS if re.match(r"[a-z]+\.[a-z$]", text)]
    used = "|".join(re.sub(r"\\\$\\\{.*?\\\}", "[^.]+", re.escape(text)) for text in literals)
    elsewhere = r"(emotion|format|format\.about)\.[\w-]+|results\.count\.(one|other)|\w+\.tab"
    assert [key for key in TEXTS["en"] if not re.fullmatch(f"{used}|{elsewhere}", key)] == []


def test_emotions_and_formats_have_names():
    names = {f"emotion.{label}" for label in AFFWILD2.names} | {f"format.{name}" for name in WRITERS}
    assert names - set(TEXTS["en"]) == set()


def test_no_text_stands_in_the_code():
    sentences = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}|^[A-Z][a-z]+ [a-z]+")
    assert [text for text in LITERALS if sentences.search(text)] == []


def test_no_text_stands_in_the_page():
    assert Page().words == ["emofuse"]


def test_the_page_has_no_inline_script_or_style():
    for tag, attributes in Page().tags:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


@pytest.mark.parametrize(("theme", "place"), [(LIGHT, 0), (DARK, 1)])
def test_the_page_has_the_colours_of_the_report(theme, place):
    blocks = re.findall(r":root \{(.*?)\}", (WEB / "style.css").read_text("utf-8"), flags=re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#\w+);", blocks[place]))
    assert {name: found[name] for name in theme} == theme
