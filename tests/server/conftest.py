"""A server with its folder, and results in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs emofuse[web]")

from emofuse.models.bundle import load
from emofuse.server.app import create_app
from emofuse.server.settings import ServerSettings
from support.servers import ADDRESS, TestClient


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def client(folder) -> Iterator[TestClient]:
    settings = ServerSettings(folder, api_only=True, upload_bytes=3_000_000, queued_jobs=6)
    with TestClient(create_app(settings, load("default")), base_url=ADDRESS) as client:
        yield client


@pytest.fixture
def make_client(tmp_path) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of further servers, whose jobs do not run."""

    def make(**settings: Any) -> TestClient:
        app = create_app(ServerSettings(tmp_path, **{"api_only": True, **settings}), load("default"))
        return TestClient(app, base_url=ADDRESS)

    return make
