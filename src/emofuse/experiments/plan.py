"""The plan of a Table 1: the systems that its rows need, as jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from emofuse.core.registry import nearest
from emofuse.core.settings import with_settings
from emofuse.datasets import DataSet
from emofuse.errors import SettingsError
from emofuse.experiments.jobs import Definition, Job, Jobs, plan_jobs, without_pretrained
from emofuse.experiments.trial import Trial, at_scale, check_scale, scale_notes
from emofuse.systems import system
from emofuse.systems.paper import TABLE1, Table1Row, table_row


@dataclass(frozen=True)
class Table1Request:
    """The request of a Table 1.

    rows: names of `systems.paper.TABLE1`; empty for all.
    changes: as given with `--set`: `NAME` to the system that replaces it, or `NAME.setting` to a value.
    """

    trial: Trial
    rows: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The rows and the jobs that they need."""

    request: Table1Request
    rows: tuple[Table1Row, ...]
    systems: Jobs
    notes: tuple[str, ...] = ()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs by name, those that others start from first."""
        return self.systems.by_name


def plan(request: Table1Request, data: DataSet) -> Plan:
    """The systems that the rows need as jobs, each once.

    Raises:
        SettingsError: an unknown row, scale or setting, or pretrained weights are missing (all are listed).
    """
    trial = request.trial
    check_scale(trial.scale)
    rows = tuple(table_row(name) for name in dict.fromkeys(request.rows)) or tuple(TABLE1.values())
    needed = [name for name in TABLE1 if any(name in row.systems for row in rows)]
    _check_changes(request.changes, needed)
    definitions = {name: _definition(name, request) for name in needed}
    systems = plan_jobs(trial.setup, definitions, trial.weights, scale=trial.scale)
    return Plan(request, rows, systems, (*scale_notes(trial.scale), *_notes(definitions)))


def _definition(name: str, request: Table1Request) -> Definition:
    definition = system(request.changes.get(name, name))
    if not (request.trial.scale == "tiny" and request.changes.get(name)):  # a replacement is taken as it is
        definition = at_scale(definition, request.trial.scale)
    own = {k.removeprefix(f"{name}."): v for k, v in request.changes.items() if k.startswith(f"{name}.")}
    changed = with_settings(definition, own | {"fit.seed": str(request.trial.seed)})
    return without_pretrained(changed) if request.trial.from_scratch else changed


def _check_changes(changes: Mapping[str, str], needed: list[str]) -> None:
    for key in changes:
        name = next((n for n in needed if key == n or key.startswith(f"{n}.")), None)
        if name is None:
            head = key.partition(".")[0]
            raise SettingsError(
                f"--set {key}: not a system of these rows{nearest(head, needed)}; choose {', '.join(needed)}. "
                "NAME=OTHER replaces a system."
            )


def _notes(definitions: Mapping[str, Definition]) -> Iterator[str]:
    for name, definition in definitions.items():
        if definition.name != name:
            yield f"{name}: replaced by {definition.name}."
        net = definition.net
        if net.scratch:
            yield f"{name}: from random weights instead of {net.weights}."
