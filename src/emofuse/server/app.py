"""The web application: its routes, and what surrounds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from html import escape
from http import HTTPStatus
from importlib.resources import files
from itertools import cycle

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from emofuse.core.colour import COLOURS
from emofuse.core.version import __version__
from emofuse.errors import EmofuseError, OutputError
from emofuse.export import WRITERS
from emofuse.models.bundle import Bundle
from emofuse.server.api_models import BundleInfo, Limits, LiveStatus, Status
from emofuse.server.job_routes import job_routes
from emofuse.server.live import live_routes
from emofuse.server.problems import PROBLEM, PROBLEMS, invalid_line
from emofuse.server.result_routes import result_routes
from emofuse.server.security import Guard, RefusedError
from emofuse.server.services import Services
from emofuse.server.settings import ServerSettings

_DESCRIPTION = (
    "Predict emotions in videos, photographs and audio files on this machine, and read the results. "
    "Displayed expressions as a network classifies them, not feelings."
)
_PROBLEM_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>emofuse: no report</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/style.css">
</head>
<body><main>
<h1>This report cannot be shown</h1>
<p>{}</p>
<p><a class="button first" href="/#results">All results</a></p>
</main></body>
</html>
"""
_CACHED = {"Cache-Control": "no-cache"}


def create_app(settings: ServerSettings, bundle: Bundle) -> FastAPI:
    """The application; its jobs run while its lifespan does."""
    services = Services.of(settings, bundle)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.start()
        watching = asyncio.create_task(services.watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await asyncio.to_thread(services.close)

    app = FastAPI(
        title="emofuse",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        # OpenTelemetry of newer versions would send requests away where the environment asks for it.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = services
    _add_handlers(app, services)
    app.include_router(job_routes(services), prefix="/api", responses=PROBLEMS)
    app.include_router(result_routes(services), prefix="/api", responses=PROBLEMS)

    app.include_router(live_routes(services), prefix="/api")

    @app.get("/api/status", tags=["server"], responses={**PROBLEMS, **PROBLEM})
    async def status() -> Status:
        """What the server is and what it can do."""
        return Status(
            version=__version__,
            bundle=BundleInfo(
                name=bundle.name,
                version=bundle.version,
                modalities=list(bundle.modalities),
                colours=dict(zip(bundle.label_set.names, cycle(COLOURS))),
            ),
            formats=list(WRITERS),
            limits=Limits(upload_bytes=settings.upload_bytes, queued_jobs=settings.queued_jobs),
            live=LiveStatus(available=True, busy=services.live.locked()),
            local_paths=settings.local_paths,
            results=settings.results.name,
        )

    if not settings.api_only:
        _add_page(app)
    app.add_middleware(Guard, settings=settings)
    return app


def _add_page(app: FastAPI) -> None:
    page = files("emofuse.server").joinpath("web")
    charts = files("emofuse.report.results").joinpath("vendor")

    @app.get("/favicon.ico", include_in_schema=False)  # which browsers ask for beside reports
    def icon() -> FileResponse:
        return FileResponse(str(page.joinpath("icon.svg")), media_type="image/svg+xml")

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(str(page.joinpath("index.html")), headers=_CACHED)

    app.mount("/static/vendor", StaticFiles(directory=str(charts)))
    app.mount("/static", StaticFiles(directory=str(page), check_dir=False))


def _add_handlers(app: FastAPI, services: Services) -> None:
    """Every error as one line."""

    def answer(request: Request, line: str, status: int) -> Response:
        if not services.settings.api_only and _is_opened_report(request):
            return HTMLResponse(_PROBLEM_PAGE.format(escape(f"{line[:1].upper()}{line[1:]}")), status)
        return JSONResponse({"error": line}, status)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return answer(request, error.error, error.status)

    @app.exception_handler(EmofuseError)  # about a file of a result, such as a damaged table
    async def known(request: Request, error: EmofuseError) -> Response:
        status = HTTPStatus.INSUFFICIENT_STORAGE if isinstance(error, OutputError) else HTTPStatus.CONFLICT
        return answer(request, services.without_folder(str(error)), status)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": invalid_line(error.errors()[0])}, HTTPStatus.UNPROCESSABLE_ENTITY)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(app, request.scope))
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        line = "an unexpected error, a bug of emofuse; the terminal of the server says more."
        return JSONResponse({"error": line}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _is_opened_report(request: Request) -> bool:
    """Whether a browser opens a report, and is to show a page whatever happens."""
    return request.url.path.endswith("/report") and "text/html" in request.headers.get("accept", "")


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """The methods of a path; Starlette names those of one of its routes only."""
    routes = [route for route in app.routes if not isinstance(route, Mount)]
    return [
        method
        for method in ("GET", "POST", "PATCH", "DELETE")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
