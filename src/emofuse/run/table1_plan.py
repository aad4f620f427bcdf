"""What a table 1 needs: which systems are trained, from what, and where each is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from emofuse.core.names import nearest
from emofuse.core.settings import with_settings
from emofuse.data.dataset import DataSet
from emofuse.errors import SettingsError
from emofuse.run.parts import Definition, Part, Parts, Site, from_nothing, parts_of
from emofuse.systems.paper import TABLE1, TableRow, system, table_row
from emofuse.systems.spec import VoiceSystem

# Small nets from nothing, few epochs, short windows: the whole path in minutes, with figures above chance and no more.
_TINY_FIT = {
    "fit.optimiser": "adamw",
    "fit.weight_decay": "1e-2",
    "fit.schedule": "cosine",
    "fit.accumulate": "1",
    "fit.patience": "none",
}
_TINY_FACE = _TINY_FIT | {
    "face.tiny": "true",
    "face.evened": "true",
    "face.augment": "gentle",
    "fit.epochs": "6",
    "fit.batch": "32",
    "fit.lr": "2e-3",
    "fit.average_decay": "0.98",
}
_TINY_VGG = {"fit.epochs": "10", "fit.lr": "1e-3"}  # it has no batch norms
_TINY_VOICE = _TINY_FIT | {
    "voice.tiny": "true",
    "voice.separation": "none",
    "voice.seconds": "1",
    "voice.step_seconds": "0.5",
    "fit.epochs": "15",
    "fit.batch": "16",
    "fit.lr": "3e-3",
    "fit.average_decay": "0.95",
}
_TINY_WINDOW = {"window.seconds": "1", "window.step_seconds": "0.5"}


def _tiny(definition: Definition) -> Mapping[str, str]:
    if isinstance(definition, VoiceSystem):
        return _TINY_VOICE
    own = _TINY_VGG if definition.face.weights in ("vggface", "vggfer") else {}
    return _TINY_FACE | own | (_TINY_WINDOW if definition.window else {})


SCALES: Mapping[str, Callable[[Definition], Mapping[str, str]]] = MappingProxyType(
    {"tiny": _tiny, "paper": lambda _: {}}
)
# Not those of the machine, since the same run is to give the same bits on another one.
THREADS: Mapping[str, int] = MappingProxyType({"tiny": 1, "paper": 4})


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    rows: names of `systems.paper.TABLE1`; empty for all. scale: a name in `SCALES`.
    changes: `NAME` to the system that stands in for it, or `NAME.setting` to a value, as `--set` gives them.
    weights: files of pretrained weights by name; others are looked for where `emofuse weights import` puts them.
    from_scratch: do without pretrained weights that are not there.
    threads: of each training and scoring; 0 for those of the scale in `THREADS`.
    """

    data: Path
    out: Path
    rows: tuple[str, ...] = ()
    scale: str = "tiny"
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    from_scratch: bool = False
    detector: str = "auto"
    device: str = "auto"
    seed: int = 0
    threads: int = 0


@dataclass(frozen=True)
class Plan:
    """What is trained for which rows."""

    request: Request
    rows: tuple[TableRow, ...]
    systems: Parts
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> Mapping[str, Part]:
        """The systems by name, those that others start from first."""
        return self.systems.by_name


def plan(request: Request, data: DataSet) -> Plan:
    """Which systems the rows need, each once, those that others start from first.

    Raises:
        SettingsError: an unknown row, scale or setting, or pretrained weights are missing (all are listed).
    """
    check_scale(request.scale)
    rows = tuple(table_row(name) for name in dict.fromkeys(request.rows)) or tuple(TABLE1.values())
    needed = [name for name in TABLE1 if any(name in row.parts for row in rows)]
    _check_changes(request.changes, needed)
    definitions = {name: _definition(name, request) for name in needed}
    threads = request.threads or THREADS[request.scale]
    site = Site(request.data, request.out, request.detector, request.device, threads)
    systems = parts_of(site, definitions, request.weights, scale=request.scale)
    return Plan(request, rows, systems, (*scale_notes(request.scale), *_notes(definitions)))


def check_scale(scale: str) -> None:
    """Refuse a scale that there is not; a SettingsError names those that there are."""
    if scale not in SCALES:
        raise SettingsError(f"--scale {scale}: unknown{nearest(scale, SCALES)}; choose {_all(SCALES)}.")


def scaled(definition: Definition, scale: str) -> Definition:
    """A definition as it is tried at a scale."""
    return with_settings(definition, dict(SCALES[scale](definition)))


def _definition(name: str, request: Request) -> Definition:
    definition = system(request.changes.get(name, name))
    if not (request.scale == "tiny" and request.changes.get(name)):  # what stands in is taken as it is
        definition = scaled(definition, request.scale)
    own = {k.removeprefix(f"{name}."): v for k, v in request.changes.items() if k.startswith(f"{name}.")}
    changed = with_settings(definition, own | {"fit.seed": str(request.seed)})
    return from_nothing(changed) if request.from_scratch else changed


def _check_changes(changes: Mapping[str, str], needed: list[str]) -> None:
    for key in changes:
        name = next((n for n in needed if key == n or key.startswith(f"{n}.")), None)
        if name is None:
            head = key.partition(".")[0]
            raise SettingsError(
                f"--set {key}: no system of these rows{nearest(head, needed)}; there are {_all(needed)}, and "
                "NAME=OTHER puts another in its place."
            )


def scale_notes(scale: str) -> Iterator[str]:
    """What a reader of figures must know of the scale that they were made at."""
    if scale == "tiny":
        yield "Scale tiny: small nets, few epochs; the figures show that the path works, not how good the systems are."


def _notes(definitions: Mapping[str, Definition]) -> Iterator[str]:
    for name, definition in definitions.items():
        if definition.name != name:
            yield f"{name}: {definition.name} stands in its place."
        net = definition.voice if isinstance(definition, VoiceSystem) else definition.face
        if net.scratch:
            yield f"{name}: from random weights, not from {net.weights}."


def _all(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(names)
