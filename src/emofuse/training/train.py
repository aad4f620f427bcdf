"""Training by name. The definitions are in `systems`, the loop in `fit`; here they meet the user."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.registry import find
from emofuse.errors import SettingsError
from emofuse.systems import SYSTEMS, VOICE, system

if TYPE_CHECKING:
    from emofuse.training.loop import Epoch, FitSettings, Progress

DEFAULT = "default"


@dataclass(frozen=True)
class Request:
    """What a user asks for: the system by name, data, folder, and what differs from its definition.

    changes: values by dotted name, as `--set` gives them. weights: a file of pretrained weights, or the folder of a
        training that ended with some.
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
    if importlib.util.find_spec("torch") is None:
        raise SettingsError("training needs torch, which is not installed; pip install 'emofuse[train]'.")
    if request.system == DEFAULT:
        _train_default(request, report)
    elif request.system in SYSTEMS:
        if not _train_system(request, report, progress):
            return
    else:
        find(request.system, dict.fromkeys([DEFAULT, *SYSTEMS]), "system")
    report(f"bundle written to {request.out}; use it with: emofuse predict FILE --bundle {request.out}")


def _train_default(request: Request, report: Callable[[str], None]) -> None:
    from emofuse.core.settings import with_settings
    from emofuse.training import default
    from emofuse.training.training_run import without_weights

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("default: is trained by one process; start it without torchrun.")
    if request.weights is None:
        raise without_weights(DEFAULT, default.START)
    settings = with_settings(default.DefaultSettings(), dict(request.changes))
    if request.epochs is not None:
        shorter = {
            name: replace(getattr(settings, name), epochs=request.epochs, polish_epochs=0)
            for name in (default.COMPACT, default.MOBILE, default.TAUGHT)
        }
        settings = replace(settings, **shorter)

    def tell(net: str, epoch: Epoch) -> None:
        own: FitSettings = getattr(settings, net.partition("-")[0])
        report(f"{net}: {_line(epoch, own.epochs + own.polish_epochs)}")

    default.train(request.data, request.weights, default.Training(settings, request.out, tell))


def _train_system(request: Request, report: Callable[[str], None], progress: Callable[[Any], None]) -> bool:
    """Whether this process is the one that tells."""
    from emofuse.core.settings import with_settings
    from emofuse.datasets import Fer2013, open_data
    from emofuse.models.detectors import choose_detector
    from emofuse.runtime import Engine
    from emofuse.training import loop as fit
    from emofuse.training.face import train_visual
    from emofuse.training.training_run import Place
    from emofuse.training.voice import train_audible

    definition = with_settings(system(request.system), dict(request.changes))
    if request.epochs is not None:
        definition = replace(definition, fit=replace(definition.fit, epochs=request.epochs))
    total = definition.fit.epochs
    watch = fit.Callbacks(epoch=lambda epoch: report(_line(epoch, total)), step=progress, note=report)
    place = Place(request.out, request.weights, fit.Machine(device=request.device), watch, report)
    data = open_data(request.data, still_images=True)
    if definition.modality == VOICE:
        if isinstance(data, Fer2013):
            raise SettingsError(
                f"{definition.name}: listens, but {request.data} has faces alone; give clips with sound."
            )
        bundle = train_audible(definition, data, place)
    else:
        bundle = train_visual(definition, data, place, detector=choose_detector(request.detector, Engine()))
    if bundle is None:
        return False
    for part, figures in bundle.card["figures"].items():
        report(f"{part}: {_figures(figures)}")
    return True


def _figures(figures: Mapping[str, Any]) -> str:
    """
    >>> _figures({"cpm": 0.5, "accuracy": 0.61, "uar": None, "interval": {"cpm": [0.4, 0.6]}})
    'CPM 0.500 [0.400, 0.600], accuracy 0.610'
    """
    told = []
    for name, label in (("cpm", "CPM"), ("accuracy", "accuracy"), ("uar", "UAR")):
        if figures[name] is not None:
            low, high = figures["interval"].get(name, (float("nan"), float("nan")))
            told.append(f"{label} {figures[name]:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low == low else ""))
    return ", ".join(told) or "nothing is labelled, so there are no figures"


def _line(epoch: Epoch, total: int) -> str:
    left = (total - epoch.epoch - 1) * epoch.seconds / 60
    return (
        f"epoch {epoch.epoch + 1}/{total}  train loss {epoch.train_loss:.3f}  "
        f"validation loss {epoch.validation_loss:.3f}  accuracy {epoch.measures['accuracy']:.4f}  "
        f"{epoch.seconds:.0f} s, about {left:.0f} min left"
    )
