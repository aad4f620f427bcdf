"""Options that Table 1 and sweeps share, and the scales that they run at.

Scale `paper` trains systems as defined; `tiny` replaces them by small networks to try the whole path in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from emofuse.core.registry import find
from emofuse.core.settings import with_settings
from emofuse.experiments.jobs import Setup
from emofuse.systems import VOICE, System

# Small networks from scratch, few epochs, short windows: minutes, with results above chance and no more.
_TINY_FIT = {
    "fit.optimiser": "adamw",
    "fit.weight_decay": "1e-2",
    "fit.schedule": "cosine",
    "fit.accumulate": "1",
    "fit.patience": "none",
}
_TINY_FACE = _TINY_FIT | {
    "net.tiny": "true",
    "net.standardise": "true",
    "net.augment": "gentle",
    "fit.epochs": "6",
    "fit.batch": "32",
    "fit.lr": "2e-3",
    "fit.ema_decay": "0.98",
}
_TINY_VGG = {"fit.epochs": "10", "fit.lr": "1e-3"}  # it has no batch normalisation
_TINY_VOICE = _TINY_FIT | {
    "net.tiny": "true",
    "net.separation": "none",
    "windows.seconds": "1",
    "windows.step_seconds": "0.5",
    "fit.epochs": "15",
    "fit.batch": "16",
    "fit.lr": "3e-3",
    "fit.ema_decay": "0.95",
}
_TINY_WINDOW = {"windows.seconds": "1", "windows.step_seconds": "0.5"}


def _tiny(definition: System) -> Mapping[str, str]:
    if definition.modality == VOICE:
        return _TINY_VOICE
    own = _TINY_VGG if definition.net.weights in ("vggface", "vggfer") else {}
    return _TINY_FACE | own | (_TINY_WINDOW if definition.windows else {})


SCALES: Mapping[str, Callable[[System], Mapping[str, str]]] = MappingProxyType({"tiny": _tiny, "paper": lambda _: {}})
# Independent of the machine, so that equal runs have equal bits on every machine.
THREADS: Mapping[str, int] = MappingProxyType({"tiny": 1, "paper": 4})


@dataclass(frozen=True)
class Trial:
    """Options of an experiment that do not depend on its systems.

    scale: a name in `SCALES`.
    weights: files of pretrained weights by name; default: those of `emofuse weights import`.
    from_scratch: train from random weights if pretrained ones are missing.
    threads: per training and scoring; 0 for the number of the scale in `THREADS`.
    """

    data: Path
    out: Path
    scale: str = "tiny"
    weights: Mapping[str, Path] = field(default_factory=dict)
    from_scratch: bool = False
    detector: str = "default"
    device: str = "auto"
    seed: int = 0
    threads: int = 0

    @property
    def setup(self) -> Setup:
        """The setup of all jobs."""
        return Setup(self.data, self.out, self.detector, self.device, self.threads or THREADS[self.scale])


def check_scale(scale: str) -> None:
    """Raise a SettingsError if a scale is unknown."""
    find(scale, SCALES, "--scale")


def at_scale(definition: System, scale: str) -> System:
    """The definition at a scale."""
    return with_settings(definition, dict(SCALES[scale](definition)))


def scale_notes(scale: str) -> Iterator[str]:
    """Notes on the scale for readers of the results."""
    if scale == "tiny":
        yield "Scale tiny: small networks, few epochs; the results show that the path works, not how good systems are."
