from __future__ import annotations

import math

import pytest

from emofuse.core.settings import with_settings
from emofuse.errors import SettingsError

torch = pytest.importorskip("torch")

from emofuse.training.loop import Balance, Faces, FitSettings, Machine, PaperAugment  # noqa: E402 (torch may be missing)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch": 0}, "batch is 0; give at least 1"),
        ({"accumulate": 0}, "accumulate is 0; give at least 1"),
        ({"epochs": -1}, "epochs is -1; give at least 0"),
        ({"lr": -0.1}, r"lr is -0\.1; give at least 0"),
        ({"lr": math.nan}, "lr is nan; give at least 0"),
        ({"patience": 0}, "patience is 0; give at least 1"),
        ({"label_smoothing": 1.0}, r"label_smoothing is 1\.0; give at least 0 and less than 1"),
        ({"ema_decay": 1.0}, r"ema_decay is 1\.0; give .* or none"),
        ({"swa_start_epoch": -1, "ema_decay": None}, "swa_start_epoch is -1; give at least 0"),
        ({"swa_start_epoch": 2}, "swa_start_epoch and ema_decay exclude each other; set ema_decay to none"),
        ({"seed": -1}, "seed is -1; give 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296; give 0 to 4294967295"),
        ({"mixup": 0.2, "batch": 7}, "mixup takes examples in pairs, but batch is 7; give an even one"),
        ({"patience": 3, "polish_epochs": 2}, "patience would skip the polish epochs"),
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_refused(changed, message):
    with pytest.raises(SettingsError, match=f"fit: {message}"):
        FitSettings(**changed)


def test_settings_are_changed_by_name_as_the_command_line_gives_them():
    given = {
        "lr": "3e-5",
        "patience": "6",
        "balance.rule": "log",
        "balance.mu": "0.34",
        "frozen": "stem,stages.0",
        "lr_factors": "classify:10",
        "ema_decay": "none",
    }
    assert with_settings(FitSettings(), given) == FitSettings(
        lr=3e-5,
        patience=6,
        balance=Balance("log", 0.34),
        frozen=("stem", "stages.0"),
        lr_factors={"classify": 10.0},
        ema_decay=None,
    )


def test_the_machine_is_changed_by_name():
    assert with_settings(Machine(), {"device": "cpu"}) == Machine(device="cpu")


def test_what_is_done_to_faces_is_changed_by_name():
    start = Faces(augment=PaperAugment())
    changed = with_settings(start, {"size": "96", "augment.rotation_degrees": "20", "augment.brightness": "0.5,1"})
    assert changed == Faces(size=96, augment=PaperAugment(20.0, brightness=(0.5, 1.0)))
