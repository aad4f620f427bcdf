"""The planned trainings of an experiment: which networks they share, what they start from, where results are kept.

Results are named by the digest of all that they depend on, so that nothing is trained or scored twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emofuse.core.files import digest, file_digest
from emofuse.core.settings import with_settings
from emofuse.errors import BundleError, SettingsError
from emofuse.models import bundle as bundles
from emofuse.models import weights
from emofuse.nets.catalogue import published_weights
from emofuse.systems import FACE, System
from emofuse.training.training_run import bundled_weights


@dataclass(frozen=True)
class Setup:
    """The data, output folder and machine settings of all jobs.

    threads: per training and scoring; sums, and so the last bits of the results, depend on it.
    """

    data: Path
    out: Path
    detector: str = "default"
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """A system to train.

    parent: name of the job whose network it reuses. weights: file to start from otherwise.
    folder: prefix of its folder's name; default: its name.
    """

    definition: System
    parent: str | None = None
    weights: Path | None = None
    folder: str = ""


@dataclass(frozen=True)
class Jobs:
    """Jobs by name, each after the one whose network it reuses.

    digests: of each job with all that it depends on.
    """

    setup: Setup
    by_name: Mapping[str, Job]
    digests: Mapping[str, str]

    def folder(self, name: str) -> Path:
        """The folder of a job's training and bundle."""
        return self.setup.out / "systems" / f"{self.by_name[name].folder or name}-{self.digests[name][:12]}"

    def bundle(self, name: str) -> bundles.Bundle | None:
        """The bundle of a job; None if it is missing or incomplete."""
        try:
            return bundles.load(self.folder(name))
        except BundleError:
            return None

    def table(self, name: str, identity: str, split: str) -> Path:
        """The file with a job's scores of a split; `identity` is that of its bundle."""
        stem = self.by_name[name].folder or name
        return self.setup.out / "scores" / f"{stem}-{identity[:12]}" / f"{split}.parquet"


def plan_jobs(
    setup: Setup, definitions: Mapping[str, System], files: Mapping[str, Path], *, scale: str, folder: str = ""
) -> Jobs:
    """Jobs for some systems; a network that several share is trained by the first of them.

    Args:
        files: pretrained weights by name; default: those of `emofuse weights import`.
        scale: of the definitions, for error messages.
        folder: prefix of the names of all folders; default: the name of each job.
    Raises:
        WeightsError: the name of weights is unknown.
        SettingsError: pretrained weights are missing (all are listed).
    """
    for name in files:
        published_weights(name)
    jobs, missing = dict[str, Job](), list[str]()
    for name, definition in definitions.items():
        parent = next((p for p in jobs if _shares_network(definition, definitions[p])), None)
        if parent is not None:
            jobs[name] = Job(_reusing_network(definition), parent, None, folder)
            continue
        path, lacking = _weights(definition, files)
        missing += [f"{lacking} (for {name})"] if lacking else []
        jobs[name] = Job(definition, None, path, folder)
    if missing:
        raise SettingsError(
            f"--scale {scale}: these pretrained weights are missing: {'; '.join(dict.fromkeys(missing))}. "
            "Give their files with --weights NAME=FILE, or train from scratch with --from-scratch."
        )
    return Jobs(setup, jobs, _digests(jobs))


def without_pretrained(definition: System) -> System:
    """The definition, from random weights if it would need pretrained ones."""
    if not _needs(definition):
        return definition
    epochs = {} if definition.fit.epochs else {"fit.epochs": "60"}  # a head on an untrained network is useless
    return with_settings(definition, {"net.scratch": "true", **epochs})


def _needs(definition: System) -> str | None:
    """Name of the pretrained weights that a definition requires; None if it requires none."""
    net = definition.net
    return None if net.tiny or net.scratch or not net.weights else net.weights


def _shares_network(definition: System, other: System) -> bool:
    """Whether two definitions have the same network, fine-tuned with the same settings."""
    same = definition.net == other.net and definition.fit == other.fit
    return definition.modality == FACE and bool(definition.fit.epochs) and same


def _reusing_network(definition: System) -> System:
    net = replace(definition.net, scratch=False)
    return replace(definition, net=net, fit=replace(definition.fit, epochs=0))


def _weights(definition: System, files: Mapping[str, Path]) -> tuple[Path | None, str]:
    """The file of the weights that a definition requires, and what is missing."""
    name = _needs(definition)
    if name is None:
        return None, ""
    if name in files:
        return files[name], ""
    path = next(
        (p for folder in weights.folders() if (p := folder / f"{name}.safetensors").is_file()), bundled_weights(name)
    )
    entry = published_weights(name)
    return path, "" if path else f"{name}: {entry.file} from {entry.source}"


def _digests(jobs: Mapping[str, Job]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, job in jobs.items():
        start = file_digest(job.weights) if job.weights and job.weights.is_file() else str(job.weights or "")
        parent = found[job.parent] if job.parent else ""
        found[name] = digest({"definition": job.definition.to_json(), "weights": start, "parent": parent})
    return found
