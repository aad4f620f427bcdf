"""Training by name. The definition is in `systems`, the loop in `fit`; here the two meet the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from emofuse.errors import SettingsError


def train_default(data: Path, out: Path, *, epochs: int | None, report: Callable[[str], None]) -> None:
    """Train the face net of the default bundle and write the bundle to `out`.

    Raises:
        SettingsError: the training part of emofuse is not installed.
        DataError: the data set cannot be read.
    """
    try:
        from emofuse.fit import Epoch
        from emofuse.systems import default
    except ImportError as error:
        raise SettingsError(
            f"training needs {error.name}, which is not installed; pip install 'emofuse[train]'."
        ) from None
    settings = default.DefaultSettings()
    if epochs is not None:
        settings = replace(settings, fit=replace(settings.fit, epochs=epochs, polish_epochs=0))
    total = settings.fit.epochs + settings.fit.polish_epochs

    def line(epoch: Epoch) -> None:
        left = (total - epoch.epoch - 1) * epoch.seconds / 60
        report(
            f"epoch {epoch.epoch + 1}/{total}  train loss {epoch.train_loss:.3f}  "
            f"validation loss {epoch.validation_loss:.3f}  accuracy {epoch.measures['accuracy']:.4f}  "
            f"{epoch.seconds:.0f} s, about {left:.0f} min left"
        )

    default.train(data, out, settings, line)
    report(f"bundle written to {out}; use it with: emofuse predict VIDEO --bundle {out}")
