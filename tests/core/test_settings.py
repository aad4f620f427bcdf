from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.settings import settings_names, with_settings
from emofuse.errors import SettingsError


class Colour(StrEnum):
    GREY = "grey"
    RGB = "rgb"


@dataclass(frozen=True)
class Inner:
    size: int = 48
    turn: float | None = 20.0


@dataclass(frozen=True)
class Outer:
    lr: float = 0.1
    epochs: int = 30
    name: str = "sgd"
    nesterov: bool = True
    patience: int | None = None
    colour: Colour = Colour.GREY
    mean: tuple[float, ...] = (0.0,)
    range: tuple[float, float] = (0.2, 1.0)
    factors: Mapping[str, float] = field(default_factory=dict)
    out: Path = Path("out")
    weights: str | tuple[float, ...] = "equal"
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise SettingsError("epochs must be at least 1")
        if self.patience is not None and self.nesterov:
            raise SettingsError("either patience or nesterov")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("lr", "3e-5", 3e-5),
        ("lr", "1", 1.0),
        ("epochs", " 7 ", 7),
        ("name", "adamw", "adamw"),
        ("nesterov", "false", False),
        ("nesterov", "On", True),
        ("patience", "none", None),
        ("colour", "rgb", Colour.RGB),
        ("mean", "91.5,103.9,131.1", (91.5, 103.9, 131.1)),
        ("mean", "(1, 2)", (1.0, 2.0)),
        ("mean", "", ()),
        ("range", "0.5,1", (0.5, 1.0)),
        ("factors", "stem:0.1,stages.0:0.5", {"stem": 0.1, "stages.0": 0.5}),
        ("out", "a/b", Path("a/b")),
        ("weights", "log", "log"),
        ("weights", "1,2", (1.0, 2.0)),
    ],
)
def test_text_is_parsed_by_the_type_of_the_field(key, text, value):
    changed = getattr(with_settings(Outer(), {key: text}), key)
    assert changed == value
    assert type(changed) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_parsed_to_the_same_number(number):
    assert with_settings(Outer(), {"lr": repr(number)}).lr == number


def test_a_dotted_name_changes_one_field_of_a_nested_class():
    changed = with_settings(Outer(lr=0.5), {"inner.size": "96", "inner.turn": "none"})
    assert changed == Outer(lr=0.5, inner=Inner(96, None))


def test_values_of_the_right_type_are_used_unchanged():
    changed = with_settings(Outer(), {"lr": 1, "mean": [1, 2.5], "factors": {"stem": 2}, "inner": Inner(1)})
    assert changed == Outer(lr=1.0, mean=(1.0, 2.5), factors={"stem": 2.0}, inner=Inner(1))
    assert isinstance(changed.lr, float)


def test_without_changes_the_settings_are_equal():
    assert with_settings(Outer(), {}) == Outer()


def test_an_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(SettingsError, match=r"setting epoch: unknown \(did you mean 'epochs'\?\); choose one of lr"):
        with_settings(Outer(), {"epoch": "3"})


def test_an_unknown_nested_name_is_reported_with_its_full_name():
    with pytest.raises(SettingsError, match=r"setting inner.sise: unknown \(did you mean 'size'\?\)"):
        with_settings(Outer(), {"inner.sise": "3"})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("lr", "fast", "'fast' is not a number"),
        ("epochs", "2.5", "'2.5' is not a whole number"),
        ("epochs", 2.5, "2.5 is not a whole number"),
        ("epochs", True, "True is not a whole number"),
        ("nesterov", "maybe", "'maybe' is not true or false"),
        ("patience", "few", "'few' is not a whole number or none"),
        ("colour", "cmyk", "'cmyk' is not one of grey, rgb"),
        ("range", "1", r"'1' is not 2 values \(as 'a,b'\)"),
        ("mean", "1,x", "'1,x' is not a list of values that are each a number"),
        ("factors", "stem", "'stem' is not pairs of a name and a number"),
        ("name", 3, "3 is not text"),
    ],
)
def test_a_value_of_another_type_names_the_expected_one(key, value, expected):
    with pytest.raises(SettingsError, match=f"setting {key}: {expected}"):
        with_settings(Outer(), {key: value})


def test_a_value_without_fields_is_set_itself():
    with pytest.raises(SettingsError, match=r"setting lr\.start: 'lr' has no fields; set lr itself"):
        with_settings(Outer(), {"lr.start": "1"})


def test_a_nested_class_cannot_be_set_by_text():
    with pytest.raises(SettingsError, match=r"setting inner: set one of its fields: inner.size, inner.turn\."):
        with_settings(Outer(), {"inner": "96"})


def test_the_message_of_a_class_that_refuses_a_value_is_kept():
    with pytest.raises(SettingsError, match="epochs must be at least 1"):
        with_settings(Outer(), {"epochs": "0"})


def test_changes_are_applied_together():
    changed = with_settings(Outer(), {"patience": "6", "nesterov": "no"})
    assert (changed.patience, changed.nesterov) == (6, False)


def test_all_names_are_dotted_and_in_order():
    assert settings_names(Outer())[-3:] == ["weights", "inner.size", "inner.turn"]
