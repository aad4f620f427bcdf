"""Suggestions for names that were mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" if a name comes near, else "".

    >>> nearest("yunett", ["haar", "yunet"])
    " (did you mean 'yunet'?)"
    """
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
