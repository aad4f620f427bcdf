"""Look-ups by name: registries that other packages can extend, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from emofuse.errors import EmofuseError, SettingsError

T = TypeVar("T")


def nearest(name: str, names: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" for the most similar name, or "" if none is similar.

    >>> nearest("yunett", ["default", "yunet"])
    " (did you mean 'yunet'?)"
    """
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def find(
    name: str,
    known: Mapping[str, T],
    what: str,
    *,
    error: Callable[[str], EmofuseError] = SettingsError,
    remedy: str | None = None,
) -> T:
    """The value of a name in a mapping.

    Args:
        what: the start of the message: `--scale`, `system`.
        remedy: the end of the message; default: the known names.
    Raises:
        EmofuseError: the name is unknown; the message suggests the nearest one. `error` chooses the class.

    >>> find("b", {"a": 1, "b": 2}, "letter")
    2
    """
    if name not in known:
        remedy = remedy or f"choose {', '.join(known)}."
        raise error(f"{what} {name!r}: unknown{nearest(name, known)}; {remedy}")
    return known[name]


class Registry(Mapping[str, T], Generic[T]):
    """Values by name: those registered here, and those that other packages name as entry points of a group.

    Args:
        what: what is registered, as error messages begin: `fusion method`.
        group: entry-point group, such as `emofuse.fusion`; None if other packages cannot add any.

    >>> letters = Registry[int]("letter")
    >>> letters.add("a", 1)
    1
    >>> letters["a"]
    1
    """

    def __init__(self, what: str, group: str | None = None) -> None:
        self._what = what
        self._group = group
        self._own: dict[str, T] = {}

    def add(self, name: str, value: T) -> T:
        """Register a value and return it.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._own:
            raise ValueError(f"{self._what} {name!r} is registered twice.")
        self._own[name] = value
        return value

    def __getitem__(self, name: str) -> T:
        """The value of a name.

        Raises:
            SettingsError: the name is unknown (the nearest one is suggested), or its package does not load.
        """
        if name in self._own or name not in self._others():
            known: dict[str, T] = {**dict.fromkeys(self), **self._own}  # type: ignore[dict-item]
            return find(name, known, self._what)
        entry = self._others()[name]
        try:
            value: T = entry.load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(
                f"{self._what} {name!r}: {entry.value} does not load ({error}); install its package again."
            ) from error
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._others()

    def __iter__(self) -> Iterator[str]:
        return iter([*self._own, *sorted(self._others().keys() - self._own.keys())])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _others(self) -> dict[str, EntryPoint]:
        return {e.name: e for e in entry_points(group=self._group)} if self._group else {}
