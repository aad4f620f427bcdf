"""The failures that every route may answer with, for the document of the API."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from emofuse.server.api_models import Problem

# What to give instead, by the kind of an error of pydantic.
_REMEDIES = {
    "greater_than": "give a number above {gt:g}",
    "greater_than_equal": "give a number of at least {ge:g}",
    "less_than_equal": "give a number of at most {le:g}",
    "string_too_short": "is empty; give some text",
    "string_too_long": "is too long; give at most {max_length} characters",
    "missing": "is missing; give it",
    "extra_forbidden": "is not known; leave it out, or correct its name",
    "bool_parsing": "give true or false",
    "float_parsing": "give a number",
    "int_parsing": "give a whole number",
    "json_invalid": "is not JSON; correct it",
}
_FORMS = {  # of what has a pattern
    "persons": "give auto, largest or a number from 1 to 9999",
    "names": "give names of one line by the numbers of persons",
    "merge": "give numbers of persons by numbers of persons",
}
_SHARED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)


def invalid_line(error: Mapping[str, Any]) -> str:
    """An error of pydantic in one line: where it is, and what to give instead.

    >>> invalid_line({"type": "greater_than", "loc": ("query", "rate"), "ctx": {"gt": 0.0}, "msg": ""})
    'rate: give a number above 0.'
    """
    kind, path = error["type"], [str(part) for part in error["loc"][1:]]
    if kind == "json_invalid" or not path:
        path = ["body"]
    words = _REMEDIES[kind].format_map(error.get("ctx", {})) if kind in _REMEDIES else _FORMS.get(path[0])
    line = words or f"{error['msg'][:1].lower()}{error['msg'][1:]}"
    return " ".join(f"{'.'.join(path)}: {line}.".split())


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The responses of these statuses in the document: JSON, also of routes whose answer is a file."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}  # of the model that `PROBLEM` brings along
    content = {"application/json": {"schema": schema}}
    return {int(status): {"content": content, "description": status.phrase} for status in statuses}


PROBLEMS = problems(*_SHARED)
PROBLEM: dict[int | str, dict[str, Any]] = {"default": {"model": Problem, "description": "A failure."}}
NOT_FOUND, CONFLICT = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
TOO_MANY, TOO_LARGE = HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
STALLED, DISK_FULL = HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.INSUFFICIENT_STORAGE
