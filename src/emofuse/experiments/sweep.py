"""One system with varied settings: every variant is trained and scored once, all in one table.

The paper's side experiments are such tables: lengths of windows, kernels of the SVM, one segment per window or several.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emofuse.core.files import write_json
from emofuse.core.parallel import Executor, Here
from emofuse.core.registry import nearest
from emofuse.core.settings import settings_names, with_settings
from emofuse.core.version import __version__
from emofuse.errors import SettingsError
from emofuse.evaluation.evaluate import Settings, scored_clips, video_confusions
from emofuse.experiments.comparison import about, estimates, gain_over
from emofuse.experiments.jobs import Jobs, plan_jobs, without_pretrained
from emofuse.experiments.runner import (
    Bundles,
    Monitor,
    claim_folder,
    describe_system,
    machine,
    open_once,
    run_jobs,
    score_sources,
)
from emofuse.experiments.trial import Trial, at_scale, check_scale, scale_notes
from emofuse.systems import VOICE, System, system

FORMAT = 1
LARGEST = 64
_STEP_OF_VOICE = 0.4  # of the window, in the paper
_SHORT = ("window", "kernel", "C", "gamma", "degree", "g", "segments", "lr", "epochs", "seed")


@dataclass(frozen=True)
class SweepRequest:
    """A request for a sweep.

    over: values to try, as text, by the name of a setting or by one of the short names: `window` (seconds, with its
        step), `kernel`, `C`, `gamma`, `degree`, `g` of the head, `segments` of a window of audio, `lr`, `epochs`,
        `seed`. Of several settings all combinations are tried.
    changes: other settings, for all variants.
    """

    system: str
    over: Mapping[str, tuple[str, ...]]
    trial: Trial
    changes: Mapping[str, str] = field(default_factory=dict)


def sweep(request: SweepRequest, monitor: Monitor = Monitor(), *, executor: Executor = Here()) -> dict[str, Any]:  # noqa: B008 (frozen)
    """Train and score all variants, and compare them on the validation split; writes the returned values to sweep.json.

    Raises:
        SettingsError: an unknown system, setting or scale, values that do not fit, or missing pretrained weights.
        DataError: the data set has no train or validation split, or nothing in it is labelled.
        OutputError: the folder cannot be written, or holds something else.
    """
    began = time.monotonic()
    definitions = variants(request)
    trial = request.trial
    jobs = plan_jobs(trial.setup, definitions, trial.weights, scale=trial.scale, folder=request.system)
    data = open_once(trial.data)
    for split in ("train", "validation"):
        data.split(split)
    claim_folder(trial.out, data, what="a sweep", version=FORMAT)
    bundles = run_jobs(jobs, ["validation"], executor=executor, monitor=monitor)
    monitor.progress("comparing", 1.0)
    result = {
        "format": FORMAT,
        "emofuse": __version__,
        "data": data.name,
        "split": "validation",
        "labels": list(data.label_set.names),
        "system": request.system,
        "over": {name: list(values) for name, values in request.over.items()},
        "scale": trial.scale,
        "seed": trial.seed,
        **_compared(jobs, bundles, Settings(seed=trial.seed)),
        "machine": machine(),
        "seconds": round(time.monotonic() - began, 1),
    }
    result["notes"] = [*scale_notes(trial.scale), *result["notes"]]
    write_json(trial.out / "sweep.json", result)
    plain: dict[str, Any] = json.loads(json.dumps(result))
    return plain


def variants(request: SweepRequest) -> dict[str, System]:
    """The definitions of all combinations of the values, by a name such as "C=1, kernel=poly".

    Raises:
        SettingsError: an unknown system, setting or scale, no values, or more than 64 variants.
    """
    check_scale(request.trial.scale)
    if not request.over:
        raise SettingsError(f"sweep {request.system}: nothing to vary; give --over NAME=VALUE,VALUE.")
    for name, values in request.over.items():
        if not all(values) or len(set(values)) < len(values):
            raise SettingsError(f"--over {name}={','.join(values)}: give different values, separated by commas.")
    combinations = list(itertools.product(*request.over.values()))
    if len(combinations) > LARGEST:
        raise SettingsError(f"sweep: {len(combinations)} variants are more than {LARGEST}; give fewer values.")
    base = with_settings(at_scale(system(request.system), request.trial.scale), dict(request.changes))
    base = with_settings(base, {"fit.seed": str(request.trial.seed)})
    found = {}
    for values in combinations:
        chosen = dict(zip(request.over, values, strict=True))
        changed = with_settings(base, _settings(chosen, base))
        name = ", ".join(f"{k}={v}" for k, v in chosen.items())
        found[name] = without_pretrained(changed) if request.trial.from_scratch else changed
    return found


def _settings(chosen: Mapping[str, str], base: System) -> dict[str, str]:
    """Settings by their full names."""
    changes: dict[str, str] = {}
    for name, value in chosen.items():
        changes |= _long(name, value, base) if name in _SHORT else {_known(name, base): value}
    return changes


def _long(name: str, value: str, base: System) -> dict[str, str]:
    if name in ("lr", "epochs", "seed"):
        return {f"fit.{name}": value}
    if name == "window" and base.windows is not None:
        step = _STEP_OF_VOICE if base.modality == VOICE else base.windows.step_seconds / base.windows.seconds
        return {"windows.seconds": value, "windows.step_seconds": f"{_seconds(value) * step:g}"}
    if name == "segments" and base.modality == VOICE:
        return {"windows.segments": value}
    if name not in ("window", "segments") and base.head is not None:
        return {f"head.{name}": value}
    raise SettingsError(f"--over {name}: {base.name} has no such setting.")


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise SettingsError(f"--over window={value}: give seconds, such as 2,4,6.") from None


def _known(name: str, base: System) -> str:
    names = settings_names(base)
    if name not in names:
        raise SettingsError(
            f"--over {name}: {base.name} has no such setting{nearest(name, [*names, *_SHORT])}; short names are "
            f"{', '.join(_SHORT)}."
        )
    return name


def _compared(jobs: Jobs, bundles: Bundles, settings: Settings) -> dict[str, Any]:
    sources = score_sources(jobs, bundles, "validation")
    clips, notes = scored_clips(open_once(jobs.setup.data), list(sources.values()), settings)
    counts = {n: video_confusions(clips, [c.scores[k] for c in clips]) for k, n in enumerate(bundles)}
    first = next(iter(counts))
    rows = [
        {
            "name": name,
            "metrics": estimates(counts[name], settings),
            "gain": gain_over(counts[name], counts[first], first, settings) if name != first else None,
            **describe_system(jobs, name, bundle),
        }
        for name, bundle in bundles.items()
    ]
    return {**about(clips, settings), "rows": rows, "notes": notes}
