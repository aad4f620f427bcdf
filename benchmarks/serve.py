"""`emofuse serve` under load and attack: 50 uploads at once, 20 of them damaged, while four clients ask for the status.

    python benchmarks/serve.py
    python benchmarks/serve.py --clips ../shared/data/clips --jobs 2

Prints what became of the uploads, the latency of `/api/status` without and with the load, memory of the server, what
hostile requests are answered, and what is left after the server is killed while it predicts. Exit code 1 if anything is
wrong.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from emofuse.synthetic.sample import make_sample

UPLOADS, DAMAGED, CLIENTS = 50, 20, 4
LIMIT_MB = 50


class Server:
    """A server in a process of its own; `memory_mb` is its resident memory without that of its children."""

    def __init__(self, folder: Path, jobs: int) -> None:
        options = ["--port", "0", "--results", str(folder), "--no-browser", "--json", "--jobs", str(jobs)]
        command = [sys.executable, "-m", "emofuse", "serve", *options, "--max-upload", f"{LIMIT_MB}MB"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        printed = ""
        while not printed.endswith("}\n"):
            printed += self.process.stdout.readline()
        self.address = urlsplit(json.loads(printed)["address"]).netloc

    @property
    def memory_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> tuple[int, Any]:
        """The status and the JSON value of an answer."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content.startswith((b"{", b"[")) else content
        finally:
            connection.close()

    def upload(self, name: str, content: bytes) -> tuple[int, Any]:
        return self.ask("POST", f"/api/jobs?name={name}&keep=false", content)

    def wait(self, seconds: float = 900) -> list[dict[str, Any]]:
        """The jobs when all are finished."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            jobs: list[dict[str, Any]] = self.ask("GET", "/api/jobs")[1]
            if all(job["status"] not in ("queued", "running") for job in jobs):
                return jobs
            time.sleep(0.2)
        raise TimeoutError("jobs did not end")


def damaged(content: bytes, number: int) -> bytes:
    """A file that cannot be read, or only in part."""
    rng = random.Random(number)
    flipped = bytearray(content)
    for _ in range(200):
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    kinds = [
        rng.randbytes(10_000),
        content[: len(content) // 2],
        bytes(flipped),
        content[:64] + rng.randbytes(5000),
        b"#!/bin/sh\necho hello\n",
    ]
    return kinds[number % len(kinds)]


@contextmanager
def polled(server: Server) -> Iterator[list[float]]:
    """Latencies (milliseconds) of the status, which clients ask for all the time in this block."""
    latencies, stop = list[float](), threading.Event()

    def poll() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            status, _ = server.ask("GET", "/api/status")
            latencies.append(1000 * (time.perf_counter() - began))
            assert status == 200
            server.ask("GET", "/api/jobs")
            time.sleep(0.05)

    threads = [threading.Thread(target=poll) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield latencies
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def described(latencies: list[float]) -> str:
    median, high = np.percentile(latencies, [50, 95])
    return f"median {median:.1f} ms, 95th percentile {high:.1f} ms, n {len(latencies)}"


def loaded(server: Server, clips: list[bytes]) -> list[str]:
    """Upload everything at once; what is wrong afterwards."""
    with polled(server) as idle:
        time.sleep(3)
    print(f"status, idle:      {described(idle)}")
    before, began = server.memory_mb, time.monotonic()
    names = {f"good-{n}.mp4": clips[n % len(clips)] for n in range(UPLOADS - DAMAGED)}
    names |= {f"damaged-{n}.mp4": damaged(clips[n % len(clips)], n) for n in range(DAMAGED)}
    shuffled = random.Random(0).sample(sorted(names), len(names))
    with polled(server) as busy:
        with ThreadPoolExecutor(UPLOADS) as pool:
            answers = list(pool.map(lambda name: server.upload(name, names[name]), shuffled))
        jobs = server.wait()
    print(f"status, loaded:    {described(busy)}")
    print(f"memory of server:  {before:.0f} MB before, {server.memory_mb:.0f} MB after")
    good = Counter(job["status"] for job in jobs if job["name"].startswith("good"))
    bad = Counter(job["status"] for job in jobs if job["name"].startswith("damaged"))
    seconds = time.monotonic() - began
    print(f"{UPLOADS} uploads in {seconds:.0f} s: good {dict(good)}, damaged {dict(bad)}")
    results = server.ask("GET", "/api/results?limit=500")[1]["results"]
    done = {job["result"] for job in jobs if job["status"] == "done"}
    wrong = [f"answer {status}: {value}" for status, value in answers if status != 201]
    wrong += [f"{job['name']}: {job['error']}" for job in jobs if job["name"].startswith("good") and job["error"]]
    wrong += [] if len(jobs) == UPLOADS and done == {r["id"] for r in results} else ["jobs or results are lost"]
    return wrong + [line for job in jobs if "\n" in (line := job["error"] or "")]


def attacked(server: Server) -> list[str]:
    """What hostile requests are answered, and which answers are wrong."""
    large = bytes(LIMIT_MB * 1_000_000 + 1)
    foreign = {"Origin": "http://evil.example"}
    expected = {
        "path traversal": (404, server.ask("GET", "/api/results/..%2f..%2f..%2fetc%2fpasswd/media")),
        "path traversal, static": (404, server.ask("GET", "/static/..%2f..%2fapp.py")),
        "name with a path": (201, server.upload("..%2f..%2fevil.mp4", b"x")),
        "too large, stated": (413, _of_large(server, large)),
        "too large, chunked": (413, _of_large(server, iter([large[: 1 << 20]] * (LIMIT_MB + 1)))),
        "large JSON": (413, server.ask("POST", "/api/jobs/local", bytes(100_000))),
        "Host of another site": (403, server.ask("GET", "/api/status", headers={"Host": "evil.example"})),
        "Origin of another site": (403, server.ask("POST", "/api/jobs?name=a", b"a", foreign)),
        "request that is none": (400, _raw(server, b"NONSENSE\r\n\r\n")),
        "head that is too large": (400, _raw(server, b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")),
        "head that never ends": (0, _raw(server, b"GET / HTTP/1.1\r\nX: ")),
        "body that never ends": (408, _raw(server, b"POST /api/jobs?name=a HTTP/1.1\r\nHost: localhost\r\n"
                                                   b"Content-Length: 1000\r\n\r\nabc")),
    }  # fmt: skip
    wrong = []
    for what, (status, (found, value)) in expected.items():
        line = value.get("error", "") if isinstance(value, dict) else ""
        print(f"{what:24} {found or 'closed'} {line}")
        wrong += [] if found == status else [f"{what}: {found}, not {status}"]
    server.wait()
    return wrong


def _of_large(server: Server, body: Any) -> tuple[int, Any]:
    try:
        return server.ask("POST", "/api/jobs?name=large.mp4", body)
    except (BrokenPipeError, ConnectionResetError):  # closed while it was sent
        return 413, "closed"


def _raw(server: Server, content: bytes) -> tuple[int, Any]:
    """The status that bytes are answered with, 0 if the connection is closed without."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(content)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    return (int(answer.split()[1]), answer) if answer else (0, b"")


def killed(folder: Path, jobs: int, clip: bytes) -> list[str]:
    """Kill the server while it predicts, start it again, and see whether all jobs end."""
    server = Server(folder, jobs)
    for n in range(6):
        server.ask("POST", f"/api/jobs?name=again-{n}.mp4&keep=true", clip)
    while not any(job["status"] == "running" and job["progress"] for job in server.ask("GET", "/api/jobs")[1]):
        time.sleep(0.01)
    children = _children(server.process.pid)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    time.sleep(2)
    left = [pid for pid in children if Path(f"/proc/{pid}").exists()]
    server = Server(folder, jobs)
    found = [job for job in server.wait() if job["name"].startswith("again")]
    statuses = dict(Counter(job["status"] for job in found))
    print(f"killed with 6 jobs: {statuses} after the next start, {len(left)} processes left")
    server.process.send_signal(signal.SIGINT)
    code = server.process.wait(20)
    wrong = [f"process {pid} is left" for pid in left] + ([] if code == 0 else [f"exit code {code}"])
    done = [job["result"] for job in found if job["status"] == "done"]
    return wrong + ([] if len(set(done)) == 6 else ["jobs are lost"])


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    threads = (path.joinpath("children").read_text() for path in Path(f"/proc/{pid}/task").iterdir())
    return sorted({int(word) for word in " ".join([text, *threads]).split()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, help="folder of videos to upload; default: a synthetic one")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sample(folder / "sample.mp4", seconds=6, size=(320, 180))
        paths = sorted(arguments.clips.glob("*.mp4")) if arguments.clips else [folder / "sample.mp4"]
        clips = [path.read_bytes() for path in paths[: UPLOADS - DAMAGED]]
        server = Server(folder / "results", arguments.jobs)
        try:
            wrong = loaded(server, clips) + attacked(server)
        finally:
            server.process.send_signal(signal.SIGINT)
            server.process.wait(20)
        wrong += killed(folder / "again", arguments.jobs, clips[0])
    print("\n".join(wrong) or "nothing wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
