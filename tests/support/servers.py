"""A server as a client sees it, and results as `emofuse predict` leaves them."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

from emofuse.core.files import RECORDS, file_digest, write_json
from emofuse.testing.writers import prediction

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Starlette, that another package than httpx is to come
    from starlette.testclient import TestClient

ADDRESS = "http://127.0.0.1:8765"
LIVE = "ws://127.0.0.1:8765/api/live"


def finished(client: TestClient, identifier: str, seconds: float = 60) -> dict[str, Any]:
    """A job when it is no longer waiting or running."""
    end = time.monotonic() + seconds
    while (job := client.get(f"/api/jobs/{identifier}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < end, job
        time.sleep(0.05)
    return job


def uploaded(client: TestClient, content: bytes, **parameters: Any) -> dict[str, Any]:
    """The job of an upload."""
    response = client.post("/api/jobs", params={"name": "talk.mp4", **parameters}, content=content)
    assert response.status_code == 201, response.text
    return response.json()


def stored_result(folder: Path, stem: str, **entry: Any) -> Path:
    """A table of two persons with its record, as `emofuse predict` writes them; returns the table."""
    table = prediction().save(folder / f"{stem}.csv")
    persons = [{"person": n, "face_seconds": 1.0, "mean_probabilities": {"neutral": 1.0}} for n in (1, 2)]
    content = {"file": f"{stem}.mp4", "status": "done", "duration_seconds": 2.0, "persons": persons, "warnings": []}
    record = {"digest": stem, "entry": {**content, "outputs": [table.name], **entry}}
    write_json(folder / RECORDS / f"{stem}.json", record | {"sha256": {table.name: file_digest(table)}})
    write_json(folder / "summary.json", {"emofuse": "0", "files": [*_files(folder), record["entry"]]})
    return table


def _files(folder: Path) -> list[Any]:
    path = folder / "summary.json"
    return json.loads(path.read_text("utf-8"))["files"] if path.exists() else []
