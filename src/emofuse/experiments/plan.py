"""What a table 1 needs: which systems are trained, from what, and where each is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from emofuse.core.registry import nearest
from emofuse.core.settings import with_settings
from emofuse.datasets import DataSet
from emofuse.errors import SettingsError
from emofuse.experiments.jobs import Definition, Part, Parts, from_nothing, parts_of
from emofuse.experiments.trial import Trial, check_scale, scale_notes, scaled
from emofuse.systems import system
from emofuse.systems.paper import TABLE1, TableRow, table_row


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    rows: names of `systems.paper.TABLE1`; empty for all.
    changes: `NAME` to the system that stands in for it, or `NAME.setting` to a value, as `--set` gives them.
    """

    trial: Trial
    rows: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)


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
    trial = request.trial
    check_scale(trial.scale)
    rows = tuple(table_row(name) for name in dict.fromkeys(request.rows)) or tuple(TABLE1.values())
    needed = [name for name in TABLE1 if any(name in row.systems for row in rows)]
    _check_changes(request.changes, needed)
    definitions = {name: _definition(name, request) for name in needed}
    systems = parts_of(trial.site, definitions, trial.weights, scale=trial.scale)
    return Plan(request, rows, systems, (*scale_notes(trial.scale), *_notes(definitions)))


def _definition(name: str, request: Request) -> Definition:
    definition = system(request.changes.get(name, name))
    if not (request.trial.scale == "tiny" and request.changes.get(name)):  # what stands in is taken as it is
        definition = scaled(definition, request.trial.scale)
    own = {k.removeprefix(f"{name}."): v for k, v in request.changes.items() if k.startswith(f"{name}.")}
    changed = with_settings(definition, own | {"fit.seed": str(request.trial.seed)})
    return from_nothing(changed) if request.trial.from_scratch else changed


def _check_changes(changes: Mapping[str, str], needed: list[str]) -> None:
    for key in changes:
        name = next((n for n in needed if key == n or key.startswith(f"{n}.")), None)
        if name is None:
            head = key.partition(".")[0]
            raise SettingsError(
                f"--set {key}: no system of these rows{nearest(head, needed)}; there are {_all(needed)}, and "
                "NAME=OTHER puts another in its place."
            )


def _notes(definitions: Mapping[str, Definition]) -> Iterator[str]:
    for name, definition in definitions.items():
        if definition.name != name:
            yield f"{name}: {definition.name} stands in its place."
        net = definition.net
        if net.scratch:
            yield f"{name}: from random weights, not from {net.weights}."


def _all(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(names)
