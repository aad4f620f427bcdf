"""A server, and Chromium with or without a camera. Without Playwright or Chromium these tests are skipped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emofuse.synthetic.sample import make_sample
from support.fake_camera import Capture, capture_of, run_ffmpeg

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_SECONDS = 60


@dataclass
class Served:
    """A running `emofuse serve`; `stop` and `start` again use the same port and folder."""

    results: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        command = [sys.executable, "-m", "emofuse", "serve", "--no-browser", f"--port={self.port}"]
        command += [f"--results={self.results}", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://[\d.]+:(\d+)/", self.process.stdout.readline())
        assert found is not None
        self.port = int(found[1])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}api{path}", timeout=START_SECONDS) as response:
            return json.load(response)

    def add(self, path: Path, name: str | None = None) -> str:
        """Upload a file and wait for its result."""
        query = f"name={name or path.name}&keep=true&rate=5&persons=auto"
        request = urllib.request.Request(f"{self.url}api/jobs?{query}", path.read_bytes(), method="POST")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
            job = json.load(response)
        while job["status"] in ("queued", "running"):
            time.sleep(0.2)
            job = self.get(f"/jobs/{job['id']}")
        assert job["status"] == "done", job
        return str(job["result"])


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'emofuse[browser]'")
    with api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright: Any) -> Callable[..., Any]:
    """Starts Chromium with some options, for a `with` statement."""

    @contextmanager
    def started(*options: str) -> Iterator[Any]:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *options])
        try:
            yield browser
        finally:
            browser.close()

    return started


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """The synthetic sample as camera and microphone."""
    folder = tmp_path_factory.mktemp("talking")
    make_sample(folder / "talk.mp4", seconds=10, size=(640, 480))
    return capture_of([folder / "talk.mp4"], folder)


@pytest.fixture(scope="session")
def browser(chromium: Callable[..., Any], talking: Capture) -> Iterator[Any]:
    """Chromium in front of which the synthetic subject talks."""
    with chromium(*talking.options) as started:
        yield started


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Starts a server on a folder, for a `with` statement."""

    @contextmanager
    def started(results: Path, *options: str) -> Iterator[Served]:
        served = Served(results, options)
        try:
            served.start()
            yield served
        finally:
            served.kill()

    return started


@pytest.fixture(scope="session")
def two_persons(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic sample twice, side by side."""
    path = tmp_path_factory.mktemp("pair") / "pair.mp4"
    run_ffmpeg("-i", talk, "-i", talk, "-filter_complex", "hstack", "-map", "0:a", path)
    return path


@pytest.fixture(scope="session")
def served(serving: Any, tmp_path_factory: pytest.TempPathFactory, talk: Path, two_persons: Path) -> Iterator[Served]:
    """A server with two results, of one person and of two."""
    with serving(tmp_path_factory.mktemp("served") / "results") as server:
        server.add(talk)
        server.add(two_persons)
        yield server


@dataclass
class Opened:
    """A page with what it reported."""

    page: Any
    problems: list[str]

    def shoot(self, name: str) -> None:
        """Save a screenshot where EMOFUSE_SCREENSHOTS names a folder."""
        folder = os.environ.get("EMOFUSE_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Opens the page in a new profile; exceptions and refused contents fail the test at its end."""
    contexts, problems = [], []

    def opened(url: str, view: str = "analyse", *, using: Any = None, **options: Any) -> Opened:
        options.setdefault("locale", "en-GB")
        context = (using or browser).new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: "Content Security Policy" in line.text and problems.append(line.text))
        page.goto(f"{url}#{view}")
        page.wait_for_selector(f"#{view}-title")
        return Opened(page, problems)

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
