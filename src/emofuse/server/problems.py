"""The failures that every route may answer with, for the document of the API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from emofuse.server.api_models import Problem

_SHARED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)


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
