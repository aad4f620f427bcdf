"""What a table 1 needs: which systems are trained, from what, and where each is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from emofuse.core.names import nearest
from emofuse.core.settings import with_settings
from emofuse.core.store import digest, file_digest
from emofuse.data.dataset import DataSet
from emofuse.errors import SettingsError
from emofuse.nets import pretrained
from emofuse.systems import weights as kept
from emofuse.systems.paper import TABLE1, TableRow, system, table_row
from emofuse.systems.spec import System, VoiceSystem

Definition = System | VoiceSystem

# Small nets from nothing and few epochs: the whole path in minutes, with figures above chance and no more.
_TINY_FACE = {
    "face.tiny": "true",
    "fit.epochs": "6",
    "fit.batch": "32",
    "fit.lr": "3e-3",
    "fit.schedule": "cosine",
    "fit.patience": "none",
    "face.rate_hz": "2",
}
_TINY_VOICE = {
    "voice.tiny": "true",
    "voice.separation": "none",
    "fit.epochs": "20",
    "fit.batch": "16",
    "fit.accumulate": "1",
    "fit.lr": "3e-3",
    "fit.schedule": "cosine",
    "fit.patience": "none",
}
SCALES: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = MappingProxyType(
    {"tiny": (_TINY_FACE, _TINY_VOICE), "paper": ({}, {})}
)


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    rows: names of `systems.paper.TABLE1`; empty for all. scale: a name in `SCALES`.
    changes: `NAME` to the system that stands in for it, or `NAME.setting` to a value, as `--set` gives them.
    weights: files of pretrained weights by name; others are looked for where `emofuse weights import` puts them.
    from_scratch: do without pretrained weights that are not there.
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


@dataclass(frozen=True)
class Part:
    """A system to train. parent: name of the part whose net it takes over; weights: what it starts from otherwise."""

    definition: Definition
    parent: str | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What is trained for which rows. digests: of each part with all that it depends on."""

    request: Request
    rows: tuple[TableRow, ...]
    parts: Mapping[str, Part]
    digests: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def folder(self, name: str) -> Path:
        """Where a part is trained and kept."""
        return self.request.out / "systems" / f"{name}-{self.digests[name][:12]}"


def plan(request: Request, data: DataSet) -> Plan:
    """Which systems the rows need, each once, those that others start from first.

    Raises:
        SettingsError: an unknown row, scale or setting, or pretrained weights are missing (all are listed).
    """
    if request.scale not in SCALES:
        raise SettingsError(f"--scale {request.scale}: unknown{nearest(request.scale, SCALES)}; choose {_all(SCALES)}.")
    rows = tuple(table_row(name) for name in dict.fromkeys(request.rows)) or tuple(TABLE1.values())
    needed = [name for name in TABLE1 if any(name in row.parts for row in rows)]
    _check_changes(request.changes, needed)
    definitions = {name: _definition(name, request) for name in needed}
    parts, missing = dict[str, Part](), list[str]()
    for name, definition in definitions.items():
        parent = next((p for p in parts if _shares(definition, definitions[p])), None)
        if parent is not None:
            parts[name] = Part(_taking_over(definition), parent)
            continue
        path, lacking = _weights(definition, request)
        missing += [f"{lacking} (for {name})"] if lacking else []
        parts[name] = Part(definition, None, path)
    if missing:
        raise SettingsError(
            f"--scale {request.scale}: these pretrained weights are not here: {'; '.join(dict.fromkeys(missing))}. "
            "Give their files with --weights NAME=FILE, or train from nothing with --from-scratch."
        )
    return Plan(request, rows, parts, _digests(parts), tuple(_notes(request, definitions)))


def _definition(name: str, request: Request) -> Definition:
    definition = system(request.changes.get(name, name))
    listens = isinstance(definition, VoiceSystem)
    scaled = with_settings(definition, dict(SCALES[request.scale][listens]))
    if request.scale == "tiny" and request.changes.get(name):
        scaled = definition  # what stands in is taken as it is
    own = {k.removeprefix(f"{name}."): v for k, v in request.changes.items() if k.startswith(f"{name}.")}
    changed = with_settings(scaled, own | {"fit.seed": str(request.seed)})
    if request.from_scratch and _needs(changed):
        part = "voice" if listens else "face"
        epochs = {} if changed.fit.epochs else {"fit.epochs": "60"}  # a head on a net that knows nothing is no system
        changed = with_settings(changed, {f"{part}.scratch": "true", **epochs})
    return changed


def _needs(definition: Definition) -> str | None:
    """Name of the pretrained weights that a definition cannot do without."""
    net = definition.voice if isinstance(definition, VoiceSystem) else definition.face
    return None if net.tiny or net.scratch or not net.weights else net.weights


def _shares(definition: Definition, other: Definition) -> bool:
    """Whether the net of a definition is that of another one, fine-tuned in the same way."""
    if isinstance(definition, VoiceSystem) or isinstance(other, VoiceSystem):
        return False
    return bool(definition.fit.epochs) and definition.face == other.face and definition.fit == other.fit


def _taking_over(definition: Definition) -> Definition:
    assert isinstance(definition, System)
    face = replace(definition.face, scratch=False)
    return replace(definition, face=face, fit=replace(definition.fit, epochs=0))


def _weights(definition: Definition, request: Request) -> tuple[Path | None, str]:
    """The file of the weights that a definition needs, or what is missing."""
    name = _needs(definition)
    if name is None:
        return None, ""
    if name in request.weights:
        return request.weights[name], ""
    path = next((p for folder in kept.folders() if (p := folder / f"{name}.safetensors").is_file()), None)
    entry = pretrained.known(name)
    return path, "" if path else f"{name}: {entry.file} from {entry.source}"


def _digests(parts: Mapping[str, Part]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, part in parts.items():
        start = file_digest(part.weights) if part.weights and part.weights.is_file() else str(part.weights or "")
        parent = found[part.parent] if part.parent else ""
        found[name] = digest({"definition": part.definition.to_json(), "weights": start, "parent": parent})
    return found


def _check_changes(changes: Mapping[str, str], needed: list[str]) -> None:
    for key in changes:
        name = next((n for n in needed if key == n or key.startswith(f"{n}.")), None)
        if name is None:
            head = key.partition(".")[0]
            raise SettingsError(
                f"--set {key}: no system of these rows{nearest(head, needed)}; there are {_all(needed)}, and "
                "NAME=OTHER puts another in its place."
            )


def _notes(request: Request, definitions: Mapping[str, Definition]) -> Iterator[str]:
    if request.scale == "tiny":
        yield "Scale tiny: small nets, few epochs; the figures show that the path works, not how good the systems are."
    for name, definition in definitions.items():
        if definition.name != name:
            yield f"{name}: {definition.name} stands in its place."
        net = definition.voice if isinstance(definition, VoiceSystem) else definition.face
        if net.scratch:
            yield f"{name}: from random weights, not from {net.weights}."


def _all(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(names)
