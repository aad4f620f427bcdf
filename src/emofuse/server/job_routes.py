"""Routes of jobs and events."""

from __future__ import annotations

import asyncio
import os
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import StreamingResponse

from emofuse.core.files import printable
from emofuse.inference.file_search import find_files
from emofuse.server.api_models import Job, LocalFiles, Persons, Rate
from emofuse.server.jobs import StoredJob, now
from emofuse.server.problems import CONFLICT, DISK_FULL, NOT_FOUND, STALLED, TOO_LARGE, TOO_MANY, problems
from emofuse.server.security import RefusedError
from emofuse.server.services import Services
from emofuse.server.uploads import safe_name, save_body

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The content of the file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
    }
}
UPLOAD_PROBLEMS = problems(STALLED, TOO_LARGE, TOO_MANY, DISK_FULL)
FileName = Annotated[str, Query(min_length=1, max_length=1000, description="Name of the file.", examples=["talk.mp4"])]
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "A stream."}
}


def job_routes(services: Services) -> APIRouter:
    """The routes."""
    router, jobs = APIRouter(tags=["jobs"]), services.queue

    @router.post("/jobs", status_code=HTTPStatus.CREATED, responses=UPLOAD_PROBLEMS, openapi_extra=FILE_BODY)
    async def upload(
        request: Request,
        name: FileName,
        keep: Annotated[bool, Query(description="Keep the file with its result.")] = True,
        rate: Annotated[Rate, Query()] = 5.0,
        persons: Annotated[Persons, Query()] = "auto",
    ) -> Job:
        """Upload a file, which becomes a job."""
        identifier = secrets.token_hex(8)
        with jobs.receiving(safe_name(name)) as chosen:
            path = jobs.uploads / identifier / chosen
            await save_body(request, path, services.settings.upload_bytes)
            job = StoredJob(identifier, chosen, str(path), True, keep, rate, persons, now())
            return (await asyncio.to_thread(jobs.add, [job]))[0]

    @router.post(
        "/jobs/local",
        status_code=HTTPStatus.CREATED,
        responses=problems(NOT_FOUND, CONFLICT, TOO_LARGE, TOO_MANY, STALLED),
    )
    def local(files: Annotated[LocalFiles, Body()]) -> list[Job]:
        """Add a file, or the files of a folder, on the server's machine."""
        if not services.settings.local_paths:
            raise RefusedError(HTTPStatus.FORBIDDEN, "files are named only on the machine itself; upload the file.")
        path = Path(os.path.expanduser(files.path)).absolute()
        if not os.path.exists(path):  # Path.exists raises an error for names that are too long
            raise RefusedError(HTTPStatus.NOT_FOUND, f"{printable(files.path)}: no such file or folder.")
        bundle = services.bundle
        found = find_files([path], audio=bool(bundle.voices), photographs=bool(bundle.faces)).files
        return jobs.add(
            [
                StoredJob(secrets.token_hex(8), file.name, str(file), False, False, files.rate, files.persons, now())
                for file in found
            ]
        )

    @router.get("/jobs")
    def list_jobs() -> list[Job]:
        """All jobs, in the order in which they were added."""
        return jobs.jobs()

    @router.get("/jobs/{id}", responses=problems(NOT_FOUND))
    def show(id: str) -> Job:
        """One job."""
        return jobs.job(id)

    @router.post("/jobs/{id}/cancel", responses=problems(NOT_FOUND, CONFLICT))
    def cancel(id: str) -> Job:
        """Cancel a job that waits or runs; what was uploaded for it is removed."""
        return jobs.cancel(id)

    @router.post("/jobs/{id}/retry", responses=problems(NOT_FOUND, CONFLICT, TOO_MANY))
    def retry(id: str) -> Job:
        """Start a job again that failed or was cancelled."""
        return jobs.retry(id)

    @router.delete("/jobs/{id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(NOT_FOUND, CONFLICT))
    def remove(id: str) -> Response:
        """Take a finished job off the list; its result stays."""
        jobs.remove(id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.get("/events", responses={**problems(TOO_MANY), **_EVENTS}, response_class=StreamingResponse)
    async def listen() -> StreamingResponse:
        """Changes as server-sent events.

        `job` with a job that changed, `removed` with the id of a job that left the list, `results` when the list of
        results changed.
        """
        if services.events.full:
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many clients are listening.")
        return StreamingResponse(services.events.stream(), media_type="text/event-stream")

    return router
