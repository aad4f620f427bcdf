"""What changes, for clients that listen: server-sent events, of each job the newest state only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

_PAUSE_SECONDS = 0.25  # between two messages to one client
_COMMENT_SECONDS = 15.0
_MOST_LISTENERS = 32


class _Listener:
    """What one client has not received yet; of the event loop's thread only."""

    def __init__(self) -> None:
        self.pending: dict[tuple[str, str], Any] = {}
        self.changed = asyncio.Event()

    def put(self, event: str, key: str, value: Any) -> None:
        self.pending.pop((event, key), None)
        self.pending[event, key] = value
        self.changed.set()


class Events:
    """Passes changes to all clients that listen; may be called from any thread once it is open."""

    def __init__(self) -> None:
        self._listeners = set[_Listener]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def open(self) -> None:
        """Use the running event loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End all streams; may be called from a signal handler."""
        self._closed = True

        def wake() -> None:
            for listener in self._listeners:
                listener.changed.set()

        self._call(wake)

    @property
    def full(self) -> bool:
        """Whether no other client may listen."""
        return len(self._listeners) >= _MOST_LISTENERS

    def publish(self, event: str, key: str = "", value: Any = None) -> None:
        """Report a change. Of several with one event and key a client that is slow receives the last."""

        def put() -> None:
            for listener in self._listeners:
                listener.put(event, key, value)

        self._call(put)

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    async def stream(self) -> AsyncIterator[str]:
        """The changes from now on, as text of server-sent events."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            yield ": connected\n\n"
            while not self._closed:
                try:
                    await asyncio.wait_for(listener.changed.wait(), _COMMENT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                listener.changed.clear()
                pending, listener.pending = listener.pending, {}
                text = "".join(_message(event, value) for (event, _), value in pending.items())
                if text:
                    yield text
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._listeners.discard(listener)


def _message(event: str, value: Any) -> str:
    r"""One event.

    >>> _message("job", {"id": "a"})
    'event: job\ndata: {"id": "a"}\n\n'
    """
    return f"event: {event}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n"
