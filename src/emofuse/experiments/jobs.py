"""The systems that a table is made of: which nets they share, what they start from, and where each is kept.

Everything lies in one folder under the digests of what it depends on, so that nothing is trained or scored twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emofuse.core.files import digest, file_digest
from emofuse.core.settings import with_settings
from emofuse.errors import BundleError, SettingsError
from emofuse.models import bundle as bundles
from emofuse.models import weights as kept
from emofuse.nets.catalogue import published_weights
from emofuse.systems import FACE, System
from emofuse.training.training_run import bundled_weights

Definition = System


@dataclass(frozen=True)
class Site:
    """Where systems are trained and scored, and with what.

    out: folder for everything. detector, device: as for a training alone.
    threads: of each training and scoring. Sums depend on their number, and so do the last bits of what is trained.
    """

    data: Path
    out: Path
    detector: str = "auto"
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Part:
    """A system to train.

    parent: name of the part whose net it takes over; weights: what it starts from otherwise.
    folder: what its folder is called, besides its digest.
    """

    definition: Definition
    parent: str | None = None
    weights: Path | None = None
    folder: str = ""


@dataclass(frozen=True)
class Parts:
    """Systems to train, by name; one whose net others take over stands before them.

    digests: of each with all that it depends on.
    """

    site: Site
    by_name: Mapping[str, Part]
    digests: Mapping[str, str]

    def folder(self, name: str) -> Path:
        """Where a part is trained and kept."""
        return self.site.out / "systems" / f"{self.by_name[name].folder or name}-{self.digests[name][:12]}"

    def bundle(self, name: str) -> bundles.Bundle | None:
        """The bundle of a part; None where it is not there, or not whole."""
        try:
            return bundles.load(self.folder(name))
        except BundleError:
            return None

    def table(self, name: str, identity: str, split: str) -> Path:
        """Where it is kept what a part says of a part of the data.

        Args:
            identity: that of its bundle.
        """
        stem = self.by_name[name].folder or name
        return self.site.out / "scores" / f"{stem}-{identity[:12]}" / f"{split}.parquet"


def parts_of(
    site: Site, definitions: Mapping[str, Definition], files: Mapping[str, Path], *, scale: str, folder: str = ""
) -> Parts:
    """Systems as parts: a net that several share is trained by the first of them.

    Args:
        files: of pretrained weights by name; others are looked for where `emofuse weights import` puts them.
        scale: that the definitions were made for, to be named where something is missing.
        folder: what the folders of all are called, besides their digests; by default each by its name.
    Raises:
        WeightsError: there are no pretrained weights of a name.
        SettingsError: pretrained weights are missing (all are listed).
    """
    for name in files:
        published_weights(name)
    parts, missing = dict[str, Part](), list[str]()
    for name, definition in definitions.items():
        parent = next((p for p in parts if _shares(definition, definitions[p])), None)
        if parent is not None:
            parts[name] = Part(_taking_over(definition), parent, None, folder)
            continue
        path, lacking = _weights(definition, files)
        missing += [f"{lacking} (for {name})"] if lacking else []
        parts[name] = Part(definition, None, path, folder)
    if missing:
        raise SettingsError(
            f"--scale {scale}: these pretrained weights are not here: {'; '.join(dict.fromkeys(missing))}. "
            "Give their files with --weights NAME=FILE, or train from nothing with --from-scratch."
        )
    return Parts(site, parts, _digests(parts))


def from_nothing(definition: Definition) -> Definition:
    """A definition that starts from random weights, where it would need others."""
    if not _needs(definition):
        return definition
    epochs = {} if definition.fit.epochs else {"fit.epochs": "60"}  # a head on a net that knows nothing is no system
    return with_settings(definition, {"net.scratch": "true", **epochs})


def _needs(definition: Definition) -> str | None:
    """Name of the pretrained weights that a definition cannot do without."""
    net = definition.net
    return None if net.tiny or net.scratch or not net.weights else net.weights


def _shares(definition: Definition, other: Definition) -> bool:
    """Whether the net of a definition is that of another one, fine-tuned in the same way."""
    same = definition.net == other.net and definition.fit == other.fit
    return definition.modality == FACE and bool(definition.fit.epochs) and same


def _taking_over(definition: Definition) -> Definition:
    net = replace(definition.net, scratch=False)
    return replace(definition, net=net, fit=replace(definition.fit, epochs=0))


def _weights(definition: Definition, files: Mapping[str, Path]) -> tuple[Path | None, str]:
    """The file of the weights that a definition needs, or what is missing."""
    name = _needs(definition)
    if name is None:
        return None, ""
    if name in files:
        return files[name], ""
    path = next(
        (p for folder in kept.folders() if (p := folder / f"{name}.safetensors").is_file()), bundled_weights(name)
    )
    entry = published_weights(name)
    return path, "" if path else f"{name}: {entry.file} from {entry.source}"


def _digests(parts: Mapping[str, Part]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, part in parts.items():
        start = file_digest(part.weights) if part.weights and part.weights.is_file() else str(part.weights or "")
        parent = found[part.parent] if part.parent else ""
        found[name] = digest({"definition": part.definition.to_json(), "weights": start, "parent": parent})
    return found
