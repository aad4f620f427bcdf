"""Provenance of a result: its systems, their trainings, and the software and machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from emofuse.evaluation.sources import Source, open_source
from emofuse.experiments.jobs import Jobs
from emofuse.experiments.runner import history, training_seconds
from emofuse.models.bundle import Bundle

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "onnxruntime", "av", "opencv-python-headless")

Bundles = Mapping[str, Bundle]


def score_sources(jobs: Jobs, bundles: Bundles, split: str) -> dict[str, Source]:
    """The scores of a split by each system, by its name in the table."""
    tables = {name: jobs.table(name, bundle.identity, split) for name, bundle in bundles.items()}
    return {name: replace(open_source(path), system=name) for name, path in tables.items()}  # type: ignore[type-var]


def describe_system(jobs: Jobs, name: str, bundle: Bundle) -> dict[str, Any]:
    """A trained system as JSON values. Epochs are counted from 0."""
    definition, folder = jobs.by_name[name].definition, jobs.folder(name)
    wanted = ("train_loss", "validation_loss", "cpm")
    return {
        "replaced_by": definition.name if definition.name != name else None,
        "digest": bundle.identity,
        "definition": definition.to_json(),
        "bundle": str(folder.relative_to(jobs.setup.out)),
        "examples": bundle.card["examples"],
        "history": [{"epoch": int(e["epoch"]), **{k: e[k] for k in wanted}} for e in history(folder)],
        "seconds": training_seconds(folder),
    }


def machine() -> dict[str, Any]:
    """The software and machine, as JSON values."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }
