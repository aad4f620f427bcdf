"""Training by name. The definitions are in `systems`, the loop in `fit`; here they meet the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.names import nearest
from emofuse.errors import SettingsError

if TYPE_CHECKING:
    from emofuse.fit import Epoch, Progress

DEFAULT = "default"


@dataclass(frozen=True)
class Request:
    """What a user asks for: the system by name, data, folder, and what differs from its definition.

    changes: values by dotted name, as `--set` gives them. weights: a file of pretrained weights.
    """

    system: str
    data: Path
    out: Path
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None
    detector: str = "auto"
    device: str = "auto"
    epochs: int | None = None


def train(
    request: Request, *, report: Callable[[str], None], progress: Callable[[Progress], None] = lambda _: None
) -> None:
    """Train a system and write its bundle.

    Args:
        report: gets lines for people. progress: told after each step of a net's training.
    Raises:
        SettingsError: an unknown system or setting, or the training part of emofuse is not installed.
        DataError: the data set cannot be read, or lacks a part.
    """
    try:
        from emofuse.systems.paper import SYSTEMS
    except ImportError as error:
        raise SettingsError(
            f"training needs {error.name}, which is not installed; pip install 'emofuse[train]'."
        ) from None
    if request.system == DEFAULT:
        _train_default(request, report)
    elif request.system in SYSTEMS:
        _train_visual(request, report, progress)
    else:
        known = [DEFAULT, *SYSTEMS]
        raise SettingsError(
            f"system {request.system!r}: unknown{nearest(request.system, known)}; choose {', '.join(known)}."
        )
    report(f"bundle written to {request.out}; use it with: emofuse predict VIDEO --bundle {request.out}")


def _train_default(request: Request, report: Callable[[str], None]) -> None:
    from emofuse.core.settings import with_settings
    from emofuse.systems import default

    settings = with_settings(default.DefaultSettings(), dict(request.changes))
    if request.epochs is not None:
        settings = replace(settings, fit=replace(settings.fit, epochs=request.epochs, polish_epochs=0))
    total = settings.fit.epochs + settings.fit.polish_epochs
    default.train(request.data, request.out, settings, lambda epoch: report(_line(epoch, total)))


def _train_visual(request: Request, report: Callable[[str], None], progress: Callable[[Any], None]) -> None:
    from emofuse import fit
    from emofuse.data.dataset import open_data
    from emofuse.run.visual import Place, changed, train_visual
    from emofuse.systems.detectors import choose_detector
    from emofuse.systems.engine import Engine
    from emofuse.systems.paper import system

    definition = changed(system(request.system), dict(request.changes))
    if request.epochs is not None:
        definition = replace(definition, fit=replace(definition.fit, epochs=request.epochs))
    total = definition.fit.epochs
    place = Place(
        request.out,
        request.weights,
        choose_detector(request.detector, Engine()),
        fit.Machine(device=request.device),
        fit.Watch(epoch=lambda epoch: report(_line(epoch, total)), step=progress, note=report),
        report,
    )
    bundle = train_visual(definition, open_data(request.data), place)
    for part, figures in bundle.card["figures"].items():
        low, high = figures["interval"].get("cpm", (float("nan"), float("nan")))
        report(f"{part}: CPM {figures['cpm']:.3f} [{low:.3f}, {high:.3f}], UAR {figures['uar']:.3f}")


def _line(epoch: Epoch, total: int) -> str:
    left = (total - epoch.epoch - 1) * epoch.seconds / 60
    return (
        f"epoch {epoch.epoch + 1}/{total}  train loss {epoch.train_loss:.3f}  "
        f"validation loss {epoch.validation_loss:.3f}  accuracy {epoch.measures['accuracy']:.4f}  "
        f"{epoch.seconds:.0f} s, about {left:.0f} min left"
    )
