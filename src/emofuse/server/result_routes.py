"""Routes of results: the list, the report, pictures, media, exports, and changes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.background import BackgroundTask

from emofuse.core.files import RECORDS, printable
from emofuse.export import WRITERS, ExportOptions, export_results
from emofuse.export.person_changes import read_changes
from emofuse.report.results import PageSettings, results_page
from emofuse.server.api_models import Overlap, PersonChanges, Result, Results
from emofuse.server.job_routes import FILE_BODY, UPLOAD_PROBLEMS, FileName
from emofuse.server.pictures import KeptPictures, cut_and_save, have_pictures, picture_file
from emofuse.server.problems import CONFLICT, NOT_FOUND, STALLED, TOO_LARGE, TOO_MANY, problems
from emofuse.server.results import StoredResult
from emofuse.server.security import RefusedError
from emofuse.server.services import Services
from emofuse.server.settings import MEDIA
from emofuse.server.uploads import free_name, safe_name, save_body

_MEDIA_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm",
    ".mkv": "video/x-matroska", ".ogv": "video/ogg", ".avi": "video/x-msvideo", ".wav": "audio/wav",
    ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg",
    ".flac": "audio/flac", ".aac": "audio/aac", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png",
    ".webp": "image/webp", ".bmp": "image/bmp",
}  # fmt: skip
_ANY_TYPE = "application/octet-stream"
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def _file_response(description: str, *types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": description, "content": dict.fromkeys(types, schema)}}


@dataclass(frozen=True)
class CutPictures:
    """Cut the pictures of a result; for the process of media."""

    table: Path
    media: Path
    target: Path
    digest: str

    def run(self, progress: Callable[[float], None]) -> None:
        if not have_pictures(self.target, self.digest):  # another request may have asked for them
            cut_and_save(self.table, self.media, self.target, self.digest)


@dataclass(frozen=True)
class Export:
    """Write a result in a format; for the process of media."""

    table: Path
    format: str
    out: Path

    def run(self, progress: Callable[[float], None]) -> list[Path]:
        return export_results(
            [self.table],
            formats=[self.format],
            out=self.out,
            options=ExportOptions(beside_media=True),
            progress=lambda path, fraction: progress(fraction),
        )


def result_routes(services: Services) -> APIRouter:
    """The routes."""
    router, results = APIRouter(tags=["results"]), services.results

    async def found(identifier: str) -> StoredResult:
        return await asyncio.to_thread(results.find, identifier)

    async def pictures(stored: StoredResult) -> KeptPictures:
        kept = await asyncio.to_thread(KeptPictures.read, results.folder, stored.id, stored.digest)
        if kept is None and (media := stored.media) is not None:
            target = picture_file(results.folder, stored.id)
            await asyncio.wrap_future(services.media.submit(CutPictures(stored.table, media, target, stored.digest)))
            kept = await asyncio.to_thread(KeptPictures.read, results.folder, stored.id, stored.digest)
        return kept or KeptPictures([])

    @router.get("/results")
    def list_results(
        search: Annotated[str, Query(max_length=200, description="Words in names of files and persons.")] = "",
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> Results:
        """The results, newest first."""
        total, shown = results.search(search, offset, limit)
        return Results(total=total, results=shown)

    @router.get("/results/{id}", responses=problems(NOT_FOUND))
    def show(id: str) -> Result:
        """One result."""
        return results.shown(results.find(id))

    @router.get(
        "/results/{id}/report",
        responses={**problems(NOT_FOUND, CONFLICT, TOO_MANY), **_file_response("The page.", "text/html")},
        response_class=HTMLResponse,
    )
    async def report(id: str) -> HTMLResponse:
        """The report: a player in step with the timeline of each person, as a page without external resources."""
        stored = await found(id)
        kept = await pictures(stored)

        def page() -> str:
            settings = PageSettings(media_url="media", pictures=kept.source(read_changes(stored.table)))
            return results_page(stored.tables(), results.folder, settings)

        content = await asyncio.to_thread(page)
        return HTMLResponse(content, headers={"Content-Security-Policy": _report_policy(content)})

    @router.get(
        "/results/{id}/media",
        responses={**problems(NOT_FOUND), **_file_response("The file.", *sorted({*_MEDIA_TYPES.values(), _ANY_TYPE}))}
        | {206: {"description": "The parts that the Range header asks for."}, 416: {"description": "Wrong Range."}},
        response_class=FileResponse,
    )
    async def media(id: str) -> FileResponse:
        """The video, photograph or audio file, or the part of it that a Range header asks for."""
        stored = await found(id)
        path = await asyncio.to_thread(lambda: stored.media)
        if path is None:
            raise RefusedError(
                HTTPStatus.NOT_FOUND, f"{printable(stored.file)} is not kept, or no longer where it was."
            )
        kind = _MEDIA_TYPES.get(path.suffix.lower(), _ANY_TYPE)
        return FileResponse(path, media_type=kind, content_disposition_type="inline", filename=stored.file)

    @router.post(
        "/results/{id}/media",
        status_code=HTTPStatus.CREATED,
        responses={**UPLOAD_PROBLEMS, **problems(NOT_FOUND, CONFLICT)},
        openapi_extra=FILE_BODY,
    )
    async def upload_media(request: Request, id: str, name: FileName = "recording.webm") -> Result:
        """Upload the video of a result that has none, such as the recording of a live session."""
        stored = await found(id)
        if stored.media is not None:
            raise RefusedError(HTTPStatus.CONFLICT, "the result has its media file already.")
        wanted = safe_name(f"{stored.id}{Path(safe_name(name)).suffix}")
        folder = results.folder / MEDIA

        def taken(candidate: str) -> bool:
            return (folder / candidate).exists()

        partial = services.queue.uploads / secrets.token_hex(8) / wanted
        await save_body(request, partial, services.settings.upload_bytes)

        def link() -> Result:
            folder.mkdir(exist_ok=True)
            target = folder / free_name(wanted, taken)
            partial.replace(target)
            partial.parent.rmdir()
            results.link_media(stored, target)
            return results.shown(results.find(id))

        shown = await asyncio.to_thread(link)
        services.events.publish("results")
        return shown

    @router.get(
        "/results/{id}/persons/{number}/thumbnail",
        responses={**problems(NOT_FOUND, CONFLICT, TOO_MANY), **_file_response("The picture.", "image/jpeg")},
        response_class=Response,
    )
    async def thumbnail(id: str, number: int) -> Response:
        """A small picture of a person."""
        kept = await pictures(await found(id))
        content = kept.thumbnail(number)
        if content is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no picture of this person.")
        return Response(content, media_type="image/jpeg")

    @router.patch("/results/{id}/persons", responses=problems(NOT_FOUND, CONFLICT, TOO_LARGE, STALLED))
    def change_persons(id: str, changes: Annotated[PersonChanges, Body()]) -> Result:
        """Give persons names, or merge persons who are one; exports, reports and statistics follow."""
        names = {int(number): name for number, name in changes.names.items()}
        merge = {int(number): target for number, target in changes.merge.items()}
        shown = results.change_persons(results.find(id), names, merge)
        services.events.publish("results")
        return shown

    @router.get("/results/{id}/persons/overlaps", responses=problems(NOT_FOUND, CONFLICT))
    def overlaps(id: str) -> list[Overlap]:
        """Persons who are visible at the same time; of two that are merged only one row of each moment stays."""
        return results.overlaps(results.find(id))

    @router.get(
        "/results/{id}/export/{format}",
        responses={
            **problems(NOT_FOUND, CONFLICT, TOO_MANY),
            **_file_response("The file, or a ZIP of several.", _ANY_TYPE),
        },
        response_class=FileResponse,
    )
    async def export(id: str, format: str) -> FileResponse:
        """The result in a format."""
        stored = await found(id)
        if format not in stored.formats():
            raise RefusedError(
                HTTPStatus.NOT_FOUND, f"this result has no format of this name; choose {', '.join(stored.formats())}."
            )
        out = results.folder / RECORDS / "exports" / secrets.token_hex(8)
        task = Export(stored.table, format, out / "files")
        remove = BackgroundTask(shutil.rmtree, out, ignore_errors=True)
        try:
            if WRITERS[format].needs_video:
                written = await asyncio.wrap_future(services.media.submit(task))
            else:
                written = await asyncio.to_thread(task.run, lambda _: None)
            path = written[0] if len(written) == 1 else await asyncio.to_thread(_zipped, written, out / stored.id)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)
            raise
        return FileResponse(path, media_type=_ANY_TYPE, filename=path.name, background=remove)

    @router.delete("/results/{id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(NOT_FOUND, CONFLICT))
    def delete(id: str) -> Response:
        """Delete all files of a result, and its media file if that was uploaded."""
        stored = results.find(id)
        if services.queue.is_busy(stored.id):
            raise RefusedError(HTTPStatus.CONFLICT, "the result is being written; cancel its job first.")
        results.delete(stored)
        services.queue.forget_result(stored.id)
        services.events.publish("results")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


def _zipped(files: Sequence[Path], target: Path) -> Path:
    """A ZIP of files; its name is the target's with `.zip` added."""
    path = target.with_name(f"{target.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return path


def _report_policy(page: str) -> str:
    """The policy of the page of a report: its own scripts and style by their digests, and media from this server."""
    digests = {"script": list[str](), "style": list[str]()}
    for kind, content in _INLINE.findall(page):
        digests[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'")
    scripts, styles = (" ".join(digests[kind]) for kind in ("script", "style"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data: blob:; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
