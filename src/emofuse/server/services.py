"""What the routes share: the queue, the results and the process for media, started and ended together."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, field

from emofuse.models.bundle import Bundle
from emofuse.server.api_models import Job
from emofuse.server.events import Events
from emofuse.server.jobs import JobQueue
from emofuse.server.media_worker import MediaWorker
from emofuse.server.results import ResultsFolder
from emofuse.server.settings import ServerSettings

_WATCH_SECONDS = 2.0  # between two looks at the results, which the command line may write too


@dataclass(frozen=True)
class Services:
    """What the routes share. live: held by the client that has a live session."""

    settings: ServerSettings
    bundle: Bundle
    events: Events
    queue: JobQueue
    results: ResultsFolder
    media: MediaWorker
    live: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, settings: ServerSettings, bundle: Bundle) -> Services:
        """The services of a server that is not started yet."""
        events = Events()

        def changed(job: Job) -> None:
            events.publish("job", job.id, job.model_dump(mode="json"))

        queue = JobQueue(
            settings,
            changed=changed,
            removed=lambda identifier: events.publish("removed", identifier, {"id": identifier}),
            results_changed=lambda: events.publish("results"),
        )
        return cls(settings, bundle, events, queue, ResultsFolder(settings.results), MediaWorker())

    def start(self) -> None:
        """Start; in the thread of the event loop."""
        self.events.open()
        self.queue.start()
        self.media.start()

    def close(self) -> None:
        """End all processes; unfinished jobs are kept for the next start."""
        self.events.close()
        self.media.close()
        self.queue.close()

    def without_folder(self, line: str) -> str:
        """A line without the place of the results on this machine, which clients need not know."""
        return line.replace(f"{self.settings.results}{os.sep}", "")

    async def watch(self) -> None:
        """Report results that others write into the folder."""
        before = await asyncio.to_thread(self.results.stamps)
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            after = await asyncio.to_thread(self.results.stamps)
            if after != before:
                self.events.publish("results")
            before = after
