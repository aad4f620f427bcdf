"""The page's live view in Chromium on this machine: from the capture of a frame to its overlay, and frames per second.

    python benchmarks/live_page.py

The camera is a file of 640x480 at 30 frames per second with one synthetic person, or two side by side. Server, its
process of the session and browser share the machine, and Chromium draws without a graphics card. The page measures
itself (User Timing, `live-frame`): from the time at which the browser captured the frame to the end of drawing; what of
it is the server's processing comes from its answers. Nothing is said of cameras, which add their own delay.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measure import environment
from playwright.sync_api import sync_playwright

from emofuse.synthetic.sample import make_sample

OBSERVE = """
    window.measured = [];
    new PerformanceObserver((list) => {
        for (const { duration, startTime, detail } of list.getEntries())
            window.measured.push([startTime + duration, duration, detail.processing]);
    }).observe({ type: "measure" });
"""


@dataclass(frozen=True)
class Measured:
    """Of each frame of one session: when it was drawn, its delay, and the server's part of the delay, ms [frames]."""

    drawn: np.ndarray
    delay: np.ndarray
    processing: np.ndarray
    left_out: str

    def __str__(self) -> str:
        rate = 1000 * (len(self.drawn) - 1) / (self.drawn[-1] - self.drawn[0])
        return (
            f"{rate:10.1f}{np.median(self.delay):13.0f}{np.quantile(self.delay, 0.95):8.0f}"
            f"{np.median(self.processing):14.0f}{np.quantile(self.processing, 0.95):8.0f}{self.left_out:>10}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="of each session; default: 20")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    columns = (
        ("frames/s", 10),
        ("delay", 13),
        ("95 %", 8),
        ("server", 14),
        ("95 %", 8),
        ("left out", 10),
    )
    print(f"{environment('onnxruntime')}; {os.cpu_count()} cores; {options.seconds:g} s a session; medians in ms")
    print(f"{'persons':<9}{''.join(f'{name:>{width}}' for name, width in columns)}{'load':>7}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        cameras = {1: camera(folder, 1), 2: camera(folder, 2)}
        for _ in range(options.rounds):
            for persons, (video, audio) in cameras.items():
                measured = session(folder / "results", video, audio, seconds=options.seconds)
                print(f"{persons:<9}{measured}{os.getloadavg()[0]:7.1f}")


def camera(folder: Path, persons: int) -> tuple[Path, Path]:
    """A video and audio for the fake devices of Chromium."""
    sample, video, audio = (folder / f"{persons}{suffix}" for suffix in (".mp4", ".y4m", ".wav"))
    make_sample(sample, seconds=10, size=(640, 480))
    halves = "crop=320:480:160:0,split[a][b];[a][b]hstack" if persons == 2 else "null"
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        sys.exit("live_page: needs ffmpeg.")
    subprocess.run([ffmpeg, "-v", "error", "-y", "-i", sample, "-vf", halves, "-an", video, "-vn", audio], check=True)
    return video, audio


def session(results: Path, video: Path, audio: Path, *, seconds: float) -> Measured:
    """One live session of a new server in a new browser."""
    command = [sys.executable, "-m", "emofuse", "serve", "--no-browser", "--port=0", f"--results={results}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+/", server.stdout.readline())
            assert found is not None
            return _browsed(found[0], video, audio, seconds)
        finally:
            server.terminate()


def _browsed(url: str, video: Path, audio: Path, seconds: float) -> Measured:
    devices = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    files = [f"--use-file-for-fake-video-capture={video}", f"--use-file-for-fake-audio-capture={audio}"]
    with sync_playwright() as playwright:
        chromium: Any = playwright.chromium
        browser = chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", *devices, *files])
        page = browser.new_page()
        page.add_init_script(OBSERVE)
        page.goto(f"{url}#live")
        page.get_by_role("button", name="Start", exact=True).click()
        page.wait_for_selector("#live .timelines canvas", timeout=120_000)  # the first rows: everything is warm
        page.evaluate("() => { window.measured.length = 0; }")
        page.wait_for_timeout(1000 * seconds)
        values = np.array(page.evaluate("measured"))
        left_out = page.locator("#live .figures dd").last.text_content()
        browser.close()
    return Measured(values[:, 0], values[:, 1], values[:, 2], left_out or "")


if __name__ == "__main__":
    main()
