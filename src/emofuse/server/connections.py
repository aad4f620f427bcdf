"""Serving an application with uvicorn: the socket, limits of connections, and an end that waits for no client."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from emofuse.errors import SettingsError

_HEADER_SECONDS = 10.0  # in which a client has to send the head of a request
_KEEP_ALIVE_SECONDS = 20
_MOST_CONNECTIONS = 256
_END_SECONDS = 3  # that open requests have when the server ends
_WEBSOCKET_BYTES = 8 << 20  # of a message


class Connection(H11Protocol):
    """A connection that is closed if the head of a request does not come in time, or if there are too many."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """Start the timer where the rest of a request is to come, and end it where that has come."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEADER_SECONDS, self._close)

    def _close(self) -> None:
        self._head_timer = None
        # The protocol of WebSocket takes over the transport, and this one stays without a request.
        if self.transport.get_protocol() is self and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping()
        super().handle_exit(sig, frame)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: the address is not of this machine, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SettingsError(f"--host {host}: is not an address ({error.strerror}); give one of this machine.") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"--port {port}: is in use; choose another, or 0 for any that is free.") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise SettingsError(f"--port {port}: may not be used; choose one above 1023.") from None
        raise SettingsError(f"--host {host}: cannot be used ({error.strerror}); give one of this machine.") from None
    return listening


def serve(app: FastAPI, listening: socket.socket, *, started: Callable[[], None]) -> None:
    """Serve until an interrupt or SIGTERM.

    Args:
        started: called in a thread of its own when requests are answered.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        ws=WebSocketsSansIOProtocol,
        ws_max_size=_WEBSOCKET_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
    )
    server = _Server(config, stopping=app.state.services.events.close)

    async def run() -> None:
        async def report() -> None:
            while not server.started:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(started)

        reporting = asyncio.create_task(report())
        try:
            await server.serve(sockets=[listening])
        finally:
            reporting.cancel()

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
