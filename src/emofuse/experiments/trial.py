"""What a table 1 and a sweep share: on what data, to which folder, at which scale, from what and how.

The scale `paper` takes systems as they are defined, `tiny` small nets that show the path in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from emofuse.core.registry import find
from emofuse.core.settings import with_settings
from emofuse.experiments.jobs import Definition, Site
from emofuse.systems import VOICE

# Small nets from nothing, few epochs, short windows: the whole path in minutes, with figures above chance and no more.
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
_TINY_VGG = {"fit.epochs": "10", "fit.lr": "1e-3"}  # it has no batch norms
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


def _tiny(definition: Definition) -> Mapping[str, str]:
    if definition.modality == VOICE:
        return _TINY_VOICE
    own = _TINY_VGG if definition.net.weights in ("vggface", "vggfer") else {}
    return _TINY_FACE | own | (_TINY_WINDOW if definition.windows else {})


SCALES: Mapping[str, Callable[[Definition], Mapping[str, str]]] = MappingProxyType(
    {"tiny": _tiny, "paper": lambda _: {}}
)
# Not those of the machine, since the same run is to give the same bits on another one.
THREADS: Mapping[str, int] = MappingProxyType({"tiny": 1, "paper": 4})


@dataclass(frozen=True)
class Trial:
    """What is asked for whatever systems are tried.

    scale: a name in `SCALES`.
    weights: files of pretrained weights by name; others are looked for where `emofuse weights import` puts them.
    from_scratch: do without pretrained weights that are not there.
    threads: of each training and scoring; 0 for those of the scale in `THREADS`.
    """

    data: Path
    out: Path
    scale: str = "tiny"
    weights: Mapping[str, Path] = field(default_factory=dict)
    from_scratch: bool = False
    detector: str = "auto"
    device: str = "auto"
    seed: int = 0
    threads: int = 0

    @property
    def site(self) -> Site:
        """Where and with what systems are trained and scored."""
        return Site(self.data, self.out, self.detector, self.device, self.threads or THREADS[self.scale])


def check_scale(scale: str) -> None:
    """Refuse a scale that there is not; a SettingsError names those that there are."""
    find(scale, SCALES, "--scale")


def scaled(definition: Definition, scale: str) -> Definition:
    """A definition as it is tried at a scale."""
    return with_settings(definition, dict(SCALES[scale](definition)))


def scale_notes(scale: str) -> Iterator[str]:
    """What a reader of figures must know of the scale that they were made at."""
    if scale == "tiny":
        yield "Scale tiny: small nets, few epochs; the figures show that the path works, not how good the systems are."
