"""Server-sent events."""

from __future__ import annotations

import asyncio

from emofuse.server.events import Events


async def received(events: Events, messages: int) -> str:
    stream, found = events.stream(), []
    async for text in stream:
        found.append(text)
        if len(found) == messages:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return "".join(found)


def test_a_slow_client_receives_the_last_state_of_each_job():
    async def run() -> str:
        events = Events()
        events.open()
        listening = asyncio.create_task(received(events, 2))
        await asyncio.sleep(0)
        for progress in range(1000):
            events.publish("job", "a", {"id": "a", "progress": progress})
        events.publish("job", "b", {"id": "b"})
        events.publish("results")
        return await listening

    text = asyncio.run(run())
    assert text.count("event: job") == 2
    assert '"progress": 999}' in text
    assert text.endswith("event: results\ndata: null\n\n")


def test_streams_end_with_the_server():
    async def run() -> str:
        events = Events()
        events.open()
        listening = asyncio.create_task(received(events, 5))
        await asyncio.sleep(0)
        events.close()
        return await listening

    assert asyncio.run(run()) == ": connected\n\n"


def test_the_number_of_listeners_is_limited_and_they_are_forgotten_when_they_leave():
    async def run() -> tuple[bool, bool]:
        events = Events()
        events.open()
        streams = [events.stream() for _ in range(32)]
        for stream in streams:
            await anext(stream)
        full = events.full
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        return full, events.full

    assert asyncio.run(run()) == (True, False)
