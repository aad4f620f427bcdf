"""Text in tables that spreadsheet programs would take for a formula and run."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARK = "'"  # spreadsheet programs show what follows as text


def escaped(text: str) -> str:
    """A text with an apostrophe before it if it begins like a formula.

    >>> escaped("=1+1.mp4"), escaped("talk.mp4")
    ("'=1+1.mp4", 'talk.mp4')
    """
    return _MARK + text if text.lstrip(_MARK).startswith(_FORMULA) else text


def unescaped(text: str) -> str:
    """The text before `escaped`.

    >>> unescaped("'=1+1.mp4"), unescaped("'t Hooft.mp4")
    ('=1+1.mp4', "'t Hooft.mp4")
    """
    return text[1:] if text.startswith(_MARK) and text.lstrip(_MARK).startswith(_FORMULA) else text
