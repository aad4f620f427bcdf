"""Changes of settings by name; settings are frozen data classes, which may be nested.

`--set fit.lr=3e-5` on the command line becomes `with_settings(settings, {"fit.lr": "3e-5"})`. The type of the field
determines how the text is parsed; unknown fields and values of another type are errors of one line.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError

MAX_SEED = 2**32 - 1  # of scikit-learn

T = TypeVar("T")

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def with_settings(settings: T, changes: Mapping[str, Any]) -> T:
    """A copy of a frozen data class with some fields changed.

    Text is parsed by the type of the field: numbers, `true` and `false`, `none` where allowed, values of an enum,
    tuples as `a,b`, mappings as `name:value,name:value`. Other values must have the type of the field.

    Args:
        settings: an instance of a frozen data class; fields may be such instances themselves.
        changes: value by field name; a dot leads into a nested data class.
    Raises:
        SettingsError: the field is unknown (the nearest one is suggested), or the value has another type.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Training:
    ...     lr: float = 0.1
    ...     epochs: int = 30
    >>> with_settings(Training(), {"lr": "3e-5"})
    Training(lr=3e-05, epochs=30)
    """
    changed: T = _changed(settings, changes, "")
    return changed


def settings_names(settings: Any) -> list[str]:
    """The dotted names of all fields that `with_settings` can change, in order."""
    names = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        names += [f"{field.name}.{inner}" for inner in settings_names(value)] if _nested(value) else [field.name]
    return names


def _nested(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _changed(settings: Any, changes: Mapping[str, Any], prefix: str) -> Any:
    # All changes of one class are applied together, since it may refuse some of them without the others.
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        name, dot, rest = key.partition(".")
        current = _field(settings, name, key, prefix)
        if not dot:
            values[name] = _value(settings, name, value, prefix)
        elif not _nested(current):
            raise SettingsError(f"setting {prefix}{key}: {name!r} has no fields; set {prefix}{name} itself.")
        else:
            inner.setdefault(name, {})[rest] = value
    for name, parts in inner.items():
        values[name] = _changed(values.get(name, getattr(settings, name)), parts, f"{prefix}{name}.")
    return dataclasses.replace(settings, **values)


def _field(settings: Any, name: str, key: str, prefix: str) -> Any:
    fields, names = [f.name for f in dataclasses.fields(settings)], settings_names(settings)
    if name not in fields:
        suggestion = nearest(key, (*names, *fields))
        raise SettingsError(f"setting {prefix}{key}: unknown{suggestion}; choose one of {', '.join(names)}.")
    return getattr(settings, name)


def _value(settings: Any, name: str, value: Any, prefix: str) -> Any:
    current, expected = getattr(settings, name), typing.get_type_hints(type(settings))[name]
    if _nested(current) and isinstance(value, str):
        parts = ", ".join(f"{prefix}{name}.{part}" for part in settings_names(current))
        raise SettingsError(f"setting {prefix}{name}: set one of its fields: {parts}.")
    try:
        return _converted(expected, value)
    except ValueError:
        raise SettingsError(f"setting {prefix}{name}: {value!r} is not {_described(expected)}.") from None


def _read(expected: Any, text: str) -> Any:
    """Text as a value of a type; ValueError if it is not one."""
    origin, inside, bare = get_origin(expected), get_args(expected), text.strip()
    if origin in (Union, types.UnionType):
        return _first(inside, lambda kind: _read(kind, text))
    if expected is types.NoneType:
        return _one_of({"none": None, "null": None, "": None}, bare.lower())
    if expected is bool:
        return _one_of(dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False), bare.lower())
    if expected in (int, float):
        return expected(bare)
    if expected in (str, Path, Any):
        return Path(text) if expected is Path else text
    if isinstance(expected, type) and issubclass(expected, Enum):
        return expected(bare)
    items = [item.strip() for item in bare.strip("()[]{}").split(",") if item.strip()]
    if origin is tuple:
        return _tuple(inside, items, _read)
    if _is_mapping(origin):
        return {_read(inside[0], k.strip()): _read(inside[1], v) for k, v in map(_pair, items)}
    raise ValueError(text)


def _checked(expected: Any, value: Any) -> Any:
    """A value that is not text, if it has the type; otherwise ValueError."""
    origin, inside = get_origin(expected), get_args(expected)
    if origin in (Union, types.UnionType):
        return _first(inside, lambda kind: _checked(kind, value))
    if origin is tuple and isinstance(value, tuple | list):
        return _tuple(inside, list(value), _converted)
    if _is_mapping(origin) and isinstance(value, Mapping):
        return {_converted(inside[0], k): _converted(inside[1], v) for k, v in value.items()}
    if expected is Any:
        return value
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and expected is not bool:
        raise ValueError(value)
    if isinstance(expected, type) and isinstance(value, expected):
        return value
    if getattr(expected, "_is_protocol", False) and _nested(value):
        return value
    raise ValueError(value)


def _converted(expected: Any, value: Any) -> Any:
    return _read(expected, value) if isinstance(value, str) else _checked(expected, value)


def _tuple(inside: tuple[Any, ...], items: list[Any], convert: Callable[[Any, Any], Any]) -> tuple[Any, ...]:
    kinds = [inside[0]] * len(items) if inside[-1] is Ellipsis else list(inside)
    if len(kinds) != len(items):
        raise ValueError(items)
    return tuple(convert(kind, item) for kind, item in zip(kinds, items, strict=True))


def _pair(item: str) -> tuple[str, str]:
    name, colon, value = item.rpartition(":")
    if not colon:
        raise ValueError(item)
    return name, value


def _one_of(known: Mapping[str, Any], text: str) -> Any:
    if text not in known:
        raise ValueError(text)
    return known[text]


def _first(kinds: tuple[Any, ...], convert: Callable[[Any], Any]) -> Any:
    # None and numbers first, since text accepts everything.
    for kind in sorted(kinds, key=lambda k: (k is str, k is not types.NoneType)):
        try:
            return convert(kind)
        except ValueError:
            continue
    raise ValueError(kinds)


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _described(expected: Any) -> str:
    origin, inside = get_origin(expected), get_args(expected)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(kind) for kind in inside)
    if isinstance(expected, type) and issubclass(expected, Enum):
        return f"one of {', '.join(str(member.value) for member in expected)}"
    if origin is tuple and inside[-1] is Ellipsis:
        return f"a list of values that are each {_described(inside[0])} (as 'a,b')"
    if origin is tuple:
        return f"{len(inside)} values (as 'a,b')"
    if _is_mapping(origin):
        return f"pairs of a name and {_described(inside[1])} (as 'a:1,b:2')"
    known = {
        types.NoneType: "none",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
    }
    return known.get(expected, f"a {getattr(expected, '__name__', expected)}")
