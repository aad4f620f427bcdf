"""Text in plots: characters that no font has are escaped, and nothing is taken for mathematics."""

from __future__ import annotations

from collections.abc import Set
from functools import cache
from typing import Any

_DEFAULT = "DejaVu Sans"  # comes with matplotlib
# Fonts of other scripts as they are found on Linux, macOS and Windows; the first one that has a character draws it.
_OTHERS = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "TC", "HK", "KR")),
    *("Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "Source Han Sans SC", "Source Han Sans"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "Noto Sans Devanagari", "Noto Sans Thai"),
    *("PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "MS Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI"),
)


def plain(text: str, *, most: int = 100) -> dict[str, Any]:
    r"""The arguments for a text of matplotlib that shows a string literally, cut in its middle if it is long.

    >>> plain("a $b$\n")["s"]
    'a $b$\\n'
    """
    fonts = _fonts()
    shown = "".join(
        c if c.isprintable() and any(ord(c) in has for has in fonts.values()) else _escaped(c) for c in text
    )
    if len(shown) > most:
        shown = f"{shown[: most // 2]}...{shown[3 - most // 2 :]}"
    families = [name for name, has in fonts.items() if name == _DEFAULT or any(ord(c) in has for c in shown)]
    return {"s": shown, "family": families, "parse_math": False}


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@cache
def _fonts() -> dict[str, Set[int]]:
    """The code points of each of our fonts that is installed."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    installed = {entry.name for entry in fontManager.ttflist}
    names = (_DEFAULT, *(name for name in _OTHERS if name in installed))
    return {name: get_font(fontManager.findfont(FontProperties(family=name))).get_charmap().keys() for name in names}
