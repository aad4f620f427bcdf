"""The queue of files to predict: kept on disk, carried out by processes that may die, resumed when the server starts.

A job is stored before it is confirmed, and its result is stored by `emofuse.inference.batch` before the job is done;
so a server that is killed at any moment finds its jobs again, and predicts no file twice.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from emofuse.core.files import RECORDS, decoded, write_json
from emofuse.core.parallel import Processes
from emofuse.errors import EmofuseError, OutputError
from emofuse.inference import batch
from emofuse.inference.batch import FileResult, FileTask
from emofuse.inference.predictor import Options, checked_rate
from emofuse.inference.renumbering import PersonChoice
from emofuse.inference.stems import claim_stems, release_stems
from emofuse.server.api_models import UNFINISHED, Job, JobStatus
from emofuse.server.pictures import picture_file, save_pictures
from emofuse.server.security import RefusedError
from emofuse.server.settings import MEDIA, ServerSettings
from emofuse.server.uploads import free_name
from emofuse.words.transcript_files import TRANSCRIPT_SUFFIXES

_IDLE_SECONDS = 60.0  # after which a process without jobs ends
_MOST_FINISHED = 500  # jobs that are listed
_WITHOUT_RESULT = tuple(TRANSCRIPT_SUFFIXES)  # files beside recordings, which will fail
_LEAST_PROGRESS = 0.02  # from which on the time left is estimated


@dataclass(frozen=True)
class StoredJob:
    """A job as it is stored.

    path: where its file is; of an upload, until it is done. upload, keep: whether the file is an upload, and whether it
        is kept then. final: whether it failed by its content, so that it would fail again.
    """

    id: str
    name: str
    path: str
    upload: bool
    keep: bool
    rate: float
    persons: str
    created: str
    status: JobStatus = JobStatus.QUEUED
    error: str | None = None
    result: str | None = None
    warnings: tuple[str, ...] = ()
    final: bool = False

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def retryable(self) -> bool:
        return self.status in (JobStatus.FAILED, JobStatus.CANCELLED) and (not self.upload or os.path.exists(self.path))


@dataclass(frozen=True)
class _Running:
    """progress: the fraction that is done; first: at the time `since`, on the monotonic clock."""

    progress: float = 0.0
    first: float = 0.0
    since: float = 0.0

    def reached(self, fraction: float) -> _Running:
        fraction = min(max(fraction, 0.0), 1.0)
        if not self.first:  # until then the process may have started only
            return _Running(fraction, fraction, time.monotonic())
        return replace(self, progress=fraction)

    def seconds_left(self) -> float | None:
        done = self.progress - self.first
        if done < _LEAST_PROGRESS:
            return None
        return round((time.monotonic() - self.since) * (1 - self.progress) / done, 1)


def now() -> str:
    """The time, in ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class JobQueue:
    """The jobs, and the threads that carry them out.

    Args:
        changed: called with a job that changed; removed: with the id of one that left the list.
        results_changed: called when there is a new result.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        changed: Callable[[Job], None],
        removed: Callable[[str], None],
        results_changed: Callable[[], None],
    ) -> None:
        self._settings, self._changed, self._removed = settings, changed, removed
        self._results_changed = results_changed
        self._records = settings.results / RECORDS
        self.uploads = self._records / "uploads"
        self._file = self._records / "jobs" / "queue.json"
        self._jobs: dict[str, StoredJob] = {}
        self._running: dict[str, _Running] = {}
        self._cancelled: set[str] = set()
        self._receiving = 0  # uploads on their way
        self._reserved: set[str] = set()  # names of uploads on their way, and of a live session
        self._closing = False
        self._condition = threading.Condition(threading.RLock())
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Read the stored jobs, remove what belongs to none of them, and start to work.

        Raises:
            OutputError: the folder of results cannot be written.
        """
        for job in self._stored():
            self._jobs[job.id] = job if job.finished else replace(job, status=JobStatus.QUEUED)
        kept = {job.id for job in self._jobs.values() if job.upload and job.status is not JobStatus.CANCELLED}
        for folder in self.uploads.iterdir() if self.uploads.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self._records / "exports", ignore_errors=True)
        self._store()
        for n in range(self._settings.jobs):
            thread = threading.Thread(target=self._work, name=f"job-{n + 1}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop working; unfinished jobs stay in the queue for the next start."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join(10)

    def _stored(self) -> list[StoredJob]:
        try:
            entries = json.loads(self._file.read_text("utf-8"))["jobs"]
            return [job for job in map(_job_of, entries) if job is not None]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _store(self) -> None:
        with self._condition:
            finished = [job.id for job in self._jobs.values() if job.finished]
            for identifier in finished[:-_MOST_FINISHED]:
                self._discard(identifier)
            write_json(self._file, {"jobs": [asdict(job) for job in self._jobs.values()]})

    def jobs(self) -> list[Job]:
        """All jobs, in the order in which they were added."""
        with self._condition:
            return [self._shown(job) for job in self._jobs.values()]

    def job(self, identifier: str) -> Job:
        """One job.

        Raises:
            RefusedError: there is none.
        """
        return self._shown(self._find(identifier))

    def _find(self, identifier: str) -> StoredJob:
        with self._condition:
            if identifier not in self._jobs:
                raise RefusedError(HTTPStatus.NOT_FOUND, "there is no job of this id; it may have left the list.")
            return self._jobs[identifier]

    def _shown(self, job: StoredJob) -> Job:
        running = self._running.get(job.id) if job.status is JobStatus.RUNNING else None
        return Job(
            id=job.id,
            name=job.name,
            status=job.status,
            progress=running.progress if running else float(job.status is JobStatus.DONE),
            seconds_left=running.seconds_left() if running else None,
            error=job.error,
            result=job.result if job.status is JobStatus.DONE else None,
            warnings=list(job.warnings),
            kept_media=job.keep or not job.upload,
            retryable=job.retryable and not (job.upload and job.final),
            created=job.created,
        )

    @contextmanager
    def receiving(self, name: str) -> Iterator[str]:
        """A place in the queue for an upload on its way, and its name, with a number if the name is taken.

        Raises:
            RefusedError: the queue is full.
        """
        with self._condition:
            self._check_space(1)
            self._receiving += 1
        try:
            with self.unused_name(name) as chosen:
                yield chosen
        finally:
            with self._condition:
                self._receiving -= 1

    @contextmanager
    def unused_name(self, name: str) -> Iterator[str]:
        """The name, or one with a number, that no result and no other upload has; it is reserved in this block."""
        with self._condition:
            chosen = free_name(name, self._is_taken)
            self._reserved.add(chosen)
        try:
            yield chosen
        finally:
            with self._condition:
                self._reserved.discard(chosen)

    def _is_taken(self, name: str) -> bool:
        """Whether a result or another upload has this name or stem; some file systems ignore case."""
        folder, stem = self._settings.results, Path(name).stem.lower()
        names = {n.lower() for n in self._reserved}
        uploads = {Path(job.path).name.lower() for job in self._jobs.values() if job.upload and not job.finished}
        names |= {upload for upload in uploads if not upload.endswith(_WITHOUT_RESULT)}
        for place in (folder / MEDIA, folder):
            with suppress(OSError):
                names |= {entry.name.lower() for entry in os.scandir(place)}
        return any(n == name.lower() or n == stem or n.rpartition(".")[0] == stem for n in names)

    def _check_space(self, count: int) -> None:
        waiting = sum(not job.finished for job in self._jobs.values()) + self._receiving
        if count and waiting + count > self._settings.queued_jobs:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"the queue has place for {self._settings.queued_jobs} jobs, {waiting} are in it and {count} would be "
                "added; wait, or add fewer.",
            )

    def add(self, jobs: list[StoredJob]) -> list[Job]:
        """Add jobs to the queue; they are stored when this returns. Uploads have their place already (`receiving`).

        Raises:
            RefusedError: the queue is full.
        """
        with self._condition:
            self._check_space(sum(not job.upload for job in jobs))
            self._jobs |= {job.id: job for job in jobs}
            self._store()
            self._condition.notify_all()
            return [self._report(job) for job in jobs]

    def cancel(self, identifier: str) -> Job:
        """Cancel a job that waits or runs; an upload is removed.

        Raises:
            RefusedError: there is none, or it is finished.
        """
        with self._condition:
            job = self._find(identifier)
            if job.finished:
                raise RefusedError(HTTPStatus.CONFLICT, f"the job is already {job.status}.")
            self._cancelled.add(identifier)
            if job.status is JobStatus.QUEUED:
                return self._end_cancelled(job)
        return self._shown(job)  # its thread ends its process

    def retry(self, identifier: str) -> Job:
        """Start a job again that failed or was cancelled.

        Raises:
            RefusedError: there is none, it is not finished or done, its upload is gone, or the queue is full.
        """
        with self._condition:
            job = self._find(identifier)
            if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
                raise RefusedError(
                    HTTPStatus.CONFLICT, f"the job is {job.status}; only failed ones can be started again."
                )
            if not job.retryable:
                raise RefusedError(HTTPStatus.CONFLICT, "the upload was removed; send the file again.")
            self._check_space(1)
            self._cancelled.discard(identifier)
            return self._change(replace(self._named_anew(job), status=JobStatus.QUEUED, error=None, final=False))

    def _named_anew(self, job: StoredJob) -> StoredJob:
        """The job with a number in its name, if another upload took the name of this one since."""
        name = free_name(job.name, self._is_taken) if job.upload else job.name
        if name == job.name:
            return job
        path = Path(job.path).with_name(name)
        Path(job.path).replace(path)
        return replace(job, name=name, path=str(path))

    def remove(self, identifier: str) -> None:
        """Take a finished job off the list.

        Raises:
            RefusedError: there is none, or it is not finished.
        """
        with self._condition:
            if not self._find(identifier).finished:
                raise RefusedError(HTTPStatus.CONFLICT, "the job is not finished; cancel it first.")
            self._discard(identifier)
            self._store()
        self._removed(identifier)

    def is_busy(self, result: str) -> bool:
        """Whether an unfinished job writes this result."""
        with self._condition:
            return any(job.result == result and not job.finished for job in self._jobs.values())

    def forget_result(self, result: str) -> None:
        """Take a result that was deleted out of the jobs that it is of."""
        with self._condition:
            for job in [job for job in self._jobs.values() if job.result == result and job.finished]:
                self._change(replace(job, result=None))

    def _discard(self, identifier: str) -> None:
        job = self._jobs.pop(identifier)
        if job.upload:
            shutil.rmtree(self.uploads / job.id, ignore_errors=True)

    def _change(self, job: StoredJob) -> Job:
        with self._condition:
            self._jobs[job.id] = job
            with suppress(OutputError):  # the disk is full; after a restart the job may start again
                self._store()
            self._condition.notify_all()
            return self._report(job)

    def _report(self, job: StoredJob) -> Job:
        shown = self._shown(job)
        self._changed(shown)
        return shown

    def _end_cancelled(self, job: StoredJob) -> Job:
        with self._condition:
            self._cancelled.discard(job.id)
            if job.upload:
                shutil.rmtree(self.uploads / job.id, ignore_errors=True)
            return self._change(replace(job, status=JobStatus.CANCELLED, error=None))

    def _work(self) -> None:
        """The main function of a thread."""
        while (job := self._next(None)) is not None:
            feed = _Feed(job, self._next, self._task)
            try:
                self._carry_out(feed)
            except EmofuseError as error:
                self._fail(feed.job, str(error))
            except Exception as error:
                self._fail(feed.job, f"unexpected error ({type(error).__name__}: {error}), a bug of emofuse.")

    def _carry_out(self, feed: _Feed) -> None:
        """Predict the files of a process until there is nothing to do for a while.

        Raises:
            Exception: the last job of the feed failed for a reason that is not its file.
        """
        for result in batch.predict_each(
            feed.tasks(),
            executor=Processes(self._settings.jobs),
            progress=lambda task, fraction: self._progress(feed.job, fraction),
            cancelled=lambda task: self._closing or feed.job.id in self._cancelled,
            then=save_pictures,
        ):
            self._finish(feed.job, result)

    def _next(self, seconds: float | None) -> StoredJob | None:
        """The next job, which is running from now on; None if none came in that time, or the queue is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closing or self._waiting() is not None, seconds)
            job = self._waiting()
            if self._closing or job is None:
                return None
            job = replace(job, status=JobStatus.RUNNING)
            self._running[job.id] = _Running()
            self._change(job)
            return job

    def _waiting(self) -> StoredJob | None:
        return next((job for job in self._jobs.values() if job.status is JobStatus.QUEUED), None)

    def _task(self, job: StoredJob) -> FileTask | None:
        """The task of a job; None if it failed already."""
        try:
            path = self._place(job)
            options = Options(
                self._settings.bundle, rate_hz=checked_rate(job.rate), persons=PersonChoice.parse(job.persons)
            )
            (task,) = batch.plan([path], out=self._settings.results, options=options)
        except EmofuseError as error:
            self._fail(job, str(error))
            return None
        with self._condition:
            self._jobs[job.id] = replace(self._jobs[job.id], result=task.stem)
        return task

    def _place(self, job: StoredJob) -> Path:
        """Where the file is: an upload may have been moved just before the server was killed."""
        path = Path(job.path)
        kept = self._settings.results / MEDIA / path.name
        return kept if job.upload and job.keep and not path.exists() and kept.exists() else path

    def _progress(self, job: StoredJob, fraction: float) -> None:
        with self._condition:
            running = self._running.get(job.id)
            if running is not None:
                self._running[job.id] = running.reached(fraction)
                self._changed(self._shown(self._jobs[job.id]))

    def _finish(self, job: StoredJob, result: FileResult) -> None:
        if result.error is not None and job.id in self._cancelled:
            self._end_cancelled(job)
        elif result.error is not None and self._closing:
            return  # it is stored as running, and starts again
        elif result.error is not None:
            self._fail(job, result.error, final=not (result.lost or "traceback" in result.entry))
        else:
            self._cancelled.discard(job.id)  # too late
            entry = self._settled(job, result)
            done = replace(job, status=JobStatus.DONE, result=result.task.stem, error=None)
            self._change(replace(done, warnings=tuple(map(str, entry.get("warnings", ())))))
            self._results_changed()

    def _settled(self, job: StoredJob, result: FileResult) -> dict[str, Any]:
        """The entry of a result in the summary, after its upload was moved or removed."""
        entry, folder = result.entry, self._settings.results
        if job.upload:
            path = Path(job.path)
            owner = folder / MEDIA / path.name if job.keep else picture_file(folder, result.task.stem)
            if job.keep and path.exists():
                owner.parent.mkdir(exist_ok=True)
                path.replace(owner)
            claim_stems([owner], self._records)  # so that no other file of this name replaces the result
            entry = {**entry, "file": decoded(owner if job.keep else path)}
            shutil.rmtree(self.uploads / job.id, ignore_errors=True)
        batch.write_summary([replace(result, entry=entry, prediction=None)])
        return entry

    def _fail(self, job: StoredJob, error: str, *, final: bool = False) -> None:
        with self._condition:
            self._cancelled.discard(job.id)
            if not self._closing:
                if job.upload:  # of which the client knows the name only
                    error = error.replace(job.path, job.name)
                    with suppress(OutputError):
                        release_stems([Path(job.path)], self._records)
                error = error.replace(f"{self._settings.results}{os.sep}", "")
                self._change(replace(job, status=JobStatus.FAILED, error=error, result=None, final=final))


def _job_of(entry: Mapping[str, Any]) -> StoredJob | None:
    """A job as it was stored; None if another version stored it."""
    try:
        return StoredJob(**{**entry, "status": JobStatus(entry["status"]), "warnings": tuple(entry["warnings"])})
    except (KeyError, TypeError, ValueError):
        return None


class _Feed:
    """The tasks of one process, as jobs arrive; `job` is that of the task that was taken last."""

    def __init__(
        self,
        first: StoredJob,
        following: Callable[[float | None], StoredJob | None],
        task_of: Callable[[StoredJob], FileTask | None],
    ) -> None:
        self.job, self._next, self._task_of = first, following, task_of

    def tasks(self) -> Iterator[FileTask]:
        job: StoredJob | None = self.job
        while job is not None:
            self.job = job
            if (task := self._task_of(job)) is not None:
                yield task
            job = self._next(_IDLE_SECONDS)
