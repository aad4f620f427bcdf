"""Slow clients: heads of requests, bodies and uploads that do not arrive."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from emofuse.server import connections, security, uploads
from emofuse.server.connections import Connection, open_socket
from emofuse.server.security import Guard, RefusedError
from emofuse.server.settings import ServerSettings

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def never() -> Any:
    await asyncio.Event().wait()


def exchange(*parts: bytes) -> bytes:
    """What a server answers to the parts of a request until it closes the connection."""

    async def run() -> bytes:
        config = uvicorn.Config(PlainTextResponse("hello"), http=Connection, log_level="critical")
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        listening = open_socket("127.0.0.1", 0)
        server = await loop.create_server(lambda: Connection(config, state, {}, loop), sock=listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        answer = b""
        for part in parts:
            writer.write(part)
            answer += await reader.readuntil(b"hello") if part == REQUEST else b""
        with suppress(ConnectionResetError):
            answer += await reader.read()
        writer.close()
        server.close()
        return answer

    return asyncio.run(run())


@pytest.mark.parametrize("parts", [(), (b"GET / HTTP/1.1\r\nX: ",), (REQUEST, b"GET / HTTP/1.1\r\nX: ")])
def test_a_connection_is_closed_if_the_head_of_a_request_does_not_come(monkeypatch, parts):
    monkeypatch.setattr(connections, "_HEADER_SECONDS", 0.05)
    assert exchange(*parts).count(b"200 OK") == parts.count(REQUEST)


def test_too_many_connections_are_closed_at_once(monkeypatch):
    monkeypatch.setattr(connections, "_MOST_CONNECTIONS", 0)
    assert exchange(REQUEST[:-2]) == b""


def test_a_body_that_does_not_arrive_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(security, "STALL_SECONDS", 0.05)
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PATCH",
        "path": "/api/x",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(Guard(PlainTextResponse("hello"), settings=ServerSettings(tmp_path))(scope, never, send))
    assert sent[0]["status"] == 408


def test_an_upload_that_stalls_is_refused_and_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.05)
    messages = [{"type": "http.request", "body": b"part", "more_body": True}]

    async def receive() -> Any:
        return messages.pop() if messages else await never()

    request = Request({"type": "http", "headers": []}, receive)
    with pytest.raises(RefusedError, match="the upload stalled"):
        asyncio.run(uploads.save_body(request, tmp_path / "1" / "a.mp4", 1000))
    assert not list(tmp_path.iterdir())


def test_an_upload_that_is_broken_off_is_removed(tmp_path):
    messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"part", "more_body": True}]

    async def receive() -> Any:
        return messages.pop()

    request = Request({"type": "http", "headers": []}, receive)
    with pytest.raises(RefusedError, match="broken off"):
        asyncio.run(uploads.save_body(request, tmp_path / "1" / "a.mp4", 1000))
    assert not list(tmp_path.iterdir())
