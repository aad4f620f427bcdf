"""What a table tells of the systems that were made for it, and of the machine that made them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from emofuse.evaluation.sources import Source, open_source
from emofuse.experiments.jobs import Parts
from emofuse.experiments.runner import history, training_seconds
from emofuse.models.bundle import Bundle

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "onnxruntime", "av", "opencv-python-headless")

Bundles = Mapping[str, Bundle]


def sources_of(parts: Parts, bundles: Bundles, split: str) -> dict[str, Source]:
    """What each system says of a part of the data, by its name in the table."""
    tables = {name: parts.table(name, bundle.identity, split) for name, bundle in bundles.items()}
    return {name: replace(open_source(path), system=name) for name, path in tables.items()}  # type: ignore[type-var]


def system_of(parts: Parts, name: str, bundle: Bundle) -> dict[str, Any]:
    """What was trained under a name, as JSON values. Epochs are counted from 0."""
    definition, folder = parts.by_name[name].definition, parts.folder(name)
    wanted = ("train_loss", "validation_loss", "cpm")
    return {
        "replaced_by": definition.name if definition.name != name else None,
        "digest": bundle.identity,
        "definition": definition.to_json(),
        "bundle": str(folder.relative_to(parts.site.out)),
        "examples": bundle.card["examples"],
        "history": [{"epoch": int(e["epoch"]), **{k: e[k] for k in wanted}} for e in history(folder)],
        "seconds": training_seconds(folder),
    }


def machine() -> dict[str, Any]:
    """What figures are made with."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }
