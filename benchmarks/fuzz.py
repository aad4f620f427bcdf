"""Damaged files through the command line: none may crash it, hang it, vanish from the summary, or be done without rows.

    python benchmarks/fuzz.py --seed 7                  # 100 damaged copies of each container and codec pair
    python benchmarks/fuzz.py --copies 20 --only mkv    # a smaller campaign, on pairs whose name contains `mkv`

The files are the first 2 s of the synthetic sample at 320x180. A copy is damaged by bit flips, a cut, zeroed ranges or
blocks in another order. Batches run in processes of their own. If anything is violated, exits with 1 and keeps the
files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SECONDS, SIZE = 2, (320, 180)
BATCH = 50
HANG_SECONDS = 30
MOST_MB = 700
GOOD_CODES = (0, 2)  # all files done; some failed

# Name -> extension, video encoder, its pixel format, audio encoder; None for no such stream.
PAIRS: dict[str, tuple[str, str | None, str, str | None]] = {
    "mp4-h264-aac": ("mp4", "libx264", "yuv420p", "aac"),
    "mov-h264-pcm": ("mov", "libx264", "yuv420p", "pcm_s16le"),
    "mkv-h264-opus": ("mkv", "libx264", "yuv420p", "libopus"),
    "ts-h264-aac": ("ts", "libx264", "yuv420p", "aac"),
    "flv-h264-mp3": ("flv", "libx264", "yuv420p", "libmp3lame"),
    "mp4-hevc-aac": ("mp4", "libx265", "yuv420p", "aac"),
    "mkv-hevc-pcm": ("mkv", "libx265", "yuv420p", "pcm_s16le"),
    "mp4-av1-aac": ("mp4", "libsvtav1", "yuv420p", "aac"),
    "webm-vp9-opus": ("webm", "libvpx-vp9", "yuv420p", "libopus"),
    "webm-vp8-opus": ("webm", "libvpx", "yuv420p", "libopus"),
    "avi-mpeg4-mp3": ("avi", "mpeg4", "yuv420p", "libmp3lame"),
    "avi-mjpeg-pcm": ("avi", "mjpeg", "yuvj420p", "pcm_s16le"),
    "mpg-mpeg2-mp2": ("mpg", "mpeg2video", "yuv420p", "mp2"),
    "ts-mpeg2-ac3": ("ts", "mpeg2video", "yuv420p", "ac3"),
    "mxf-mpeg2-pcm": ("mxf", "mpeg2video", "yuv420p", "pcm_s16le"),
    "wmv-wmv2-wma": ("wmv", "wmv2", "yuv420p", "wmav2"),
    "3gp-mpeg4-aac": ("3gp", "mpeg4", "yuv420p", "aac"),
    "mkv-ffv1-ac3": ("mkv", "ffv1", "yuv420p", "ac3"),
    "mov-prores": ("mov", "prores_ks", "yuv422p10le", None),
    "gif": ("gif", "gif", "rgb8", None),
    "wav": ("wav", None, "", "pcm_s16le"),
    "mp3": ("mp3", None, "", "libmp3lame"),
    "m4a": ("m4a", None, "", "aac"),
    "flac": ("flac", None, "", "flac"),
    "opus": ("opus", None, "", "libopus"),
}


@dataclass
class Campaign:
    """What happened to the damaged copies of one pair."""

    name: str
    files: int = 0
    done: int = 0
    failed: int = 0
    peak_mb: float = 0.0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """One call of the command. code: negative if a signal ended it, None if it took too long and was killed."""

    code: int | None
    seconds: float
    peak_mb: float
    errors: str
    summary: list[dict[str, Any]] | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the damage; default: 0")
    parser.add_argument("--copies", type=int, default=100, help="damaged files per pair; default: 100")
    parser.add_argument("--only", default="", metavar="TEXT", help="only pairs whose name contains this")
    parser.add_argument("--detector", default="default")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that a batch ends with this process
    os.environ["SVT_LOG"] = "1"  # errors only
    folder = Path(tempfile.mkdtemp(prefix="emofuse-fuzz-"))
    names = [name for name in PAIRS if options.only in name]
    print(f"seed {options.seed}, {options.copies} copies of each of {len(names)} pairs")
    print(f"{'pair':<18}{'files':>6}{'done':>6}{'failed':>7}{'peak MB':>9}{'s/file':>8}{'violations':>12}", flush=True)
    sample = _sample(folder / "sample.mp4")
    campaigns = []
    for name in names:
        whole = encode(sample, folder / f"whole-{name}.{PAIRS[name][0]}", *PAIRS[name][1:])
        copies = damaged_copies(whole, folder / name, options.copies, seed=options.seed)
        campaign = Campaign(name)
        for n in range(0, len(copies), BATCH):
            _run_batch(campaign, copies[n : n + BATCH], folder / f"out-{name}-{n}", options.detector)
        campaigns.append(campaign)
        print(
            f"{name:<18}{campaign.files:>6}{campaign.done:>6}{campaign.failed:>7}{campaign.peak_mb:>9.0f}"
            f"{campaign.seconds / max(campaign.files, 1):>8.2f}{len(campaign.violations):>12}",
            flush=True,
        )
    violations = [f"{c.name}: {line}" for c in campaigns for line in c.violations]
    print("\n".join(violations) if violations else "no violations")
    if violations:
        print(f"files: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


# -- files ----------------------------------------------------------------------------------------------------


def _sample(path: Path) -> Path:
    from emofuse.synthetic.sample import make_sample

    make_sample(path, seconds=6, size=SIZE)
    return path


def encode(source: Path, path: Path, video: str | None, pixels: str, audio: str | None) -> Path:
    """The first seconds of a file with other encoders."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        outputs = dict[str, Any]()
        if video is not None:
            quiet = {"x265-params": "log-level=none"} if video == "libx265" else {}
            stream: Any = made.add_stream(video, rate=25 if path.suffix == ".mxf" else 30, options=quiet)
            (stream.width, stream.height), stream.pix_fmt = SIZE, pixels
            outputs["video"] = stream
        if audio is not None:
            outputs["audio"] = made.add_stream(audio, rate=48000)
            outputs["audio"].bit_rate = 128_000
        count = 0
        frame: Any
        for frame in given.decode(*(s for s in given.streams if s.type in outputs)):
            if frame.time is None or frame.time >= SECONDS:
                continue
            output: Any = outputs["video" if isinstance(frame, av.VideoFrame) else "audio"]
            if isinstance(frame, av.VideoFrame):
                frame.pts, frame.time_base = count, Fraction(1, int(output.codec_context.rate))
                frame.pict_type, count = 0, count + 1  # the new encoder chooses the types of frames
                made.mux(output.encode(frame.reformat(format=pixels)))
            else:
                frame.pts = None
                made.mux(output.encode(frame))
        for output in outputs.values():
            made.mux(output.encode(None))
    return path


def damaged_copies(whole: Path, folder: Path, count: int, *, seed: int) -> list[Path]:
    """Copies of a file, each with one kind of damage; the same seed gives the same bytes."""
    folder.mkdir()
    content, kinds, paths = np.frombuffer(whole.read_bytes(), np.uint8), list(DAMAGES), []
    for n in range(count):
        rng = np.random.default_rng([seed, n, len(content)])
        kind = kinds[n % len(kinds)]
        path = folder / f"{n:03d}-{kind}{whole.suffix}"
        path.write_bytes(DAMAGES[kind](content.copy(), rng).tobytes())
        paths.append(path)
    return paths


Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def _flip(content: Bytes, rng: np.random.Generator) -> Bytes:
    """One bit in 100 to 100,000 bytes, at random."""
    count = max(1, round(len(content) / 10 ** rng.uniform(2, 5)))
    content[rng.integers(0, len(content), count)] ^= (1 << rng.integers(0, 8, count)).astype(np.uint8)
    return content


def _flip_header(content: Bytes, rng: np.random.Generator) -> Bytes:
    """Bits in the first or last kilobyte, where containers describe their streams."""
    places = rng.integers(0, min(1024, len(content)), rng.integers(1, 12))
    content[places if rng.random() < 0.7 else len(content) - 1 - places] ^= np.uint8(1 << rng.integers(0, 8))
    return content


def _cut(content: Bytes, rng: np.random.Generator) -> Bytes:
    """Without the end, and in one of four cases without the beginning."""
    end = rng.integers(1, len(content))
    return content[rng.integers(0, end) : end] if rng.random() < 0.25 else content[:end]


def _zero(content: Bytes, rng: np.random.Generator) -> Bytes:
    """Zeros in one to five ranges."""
    for _ in range(rng.integers(1, 6)):
        start = rng.integers(0, len(content))
        content[start : start + round(len(content) * rng.uniform(0, 0.1)) + 1] = 0
    return content


def _shuffle(content: Bytes, rng: np.random.Generator) -> Bytes:
    """A few of 16 to 256 blocks in another order."""
    blocks = np.array_split(content, rng.integers(16, 257))
    moved = rng.choice(len(blocks), rng.integers(2, 6), replace=False)
    for place, block in zip(moved, [blocks[n] for n in rng.permutation(moved)], strict=True):
        blocks[place] = block
    return np.concatenate(blocks)


DAMAGES: dict[str, Callable[[Bytes, np.random.Generator], Bytes]] = {
    "flip": _flip,
    "header": _flip_header,
    "cut": _cut,
    "zero": _zero,
    "shuffle": _shuffle,
}


# -- runs -----------------------------------------------------------------------------------------------------


def _run_batch(campaign: Campaign, paths: Sequence[Path], out: Path, detector: str) -> None:
    run = predict(paths, out, detector, limit_seconds=HANG_SECONDS + 3 * len(paths))
    campaign.files += len(paths)
    campaign.seconds += run.seconds
    campaign.peak_mb = max(campaign.peak_mb, run.peak_mb)
    entries = run.summary or []
    campaign.done += sum(entry["status"] == "done" for entry in entries)
    campaign.failed += sum(entry["status"] == "failed" for entry in entries)
    found = violations(run, paths)
    if found and run.code not in GOOD_CODES:  # name the files that end or hang the command
        alone = (
            (path, predict([path], out / f"alone-{n}", detector, limit_seconds=HANG_SECONDS))
            for n, path in enumerate(paths)
        )
        found += [f"{path.name}: alone {line}" for path, one in alone for line in violations(one, [path])]
    campaign.violations += found


def predict(paths: Sequence[Path], out: Path, detector: str, *, limit_seconds: float) -> Run:
    """Run `emofuse predict` in a process group of its own, and measure it with the processes it waits for."""
    out.mkdir(parents=True)
    words = ["predict", *map(str, paths), "--out", str(out), "--detector", detector]
    start = time.monotonic()
    with (out / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "emofuse", *words],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        late = False
        try:
            while (waited := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                if not late and time.monotonic() - start > limit_seconds:
                    late = True
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(0.05)
        except BaseException:  # stopped by the user
            os.killpg(process.pid, signal.SIGKILL)
            raise
    _, status, usage = waited
    process.returncode = os.waitstatus_to_exitcode(status)
    summary = out / "summary.json"
    return Run(
        None if late else process.returncode,
        time.monotonic() - start,
        usage.ru_maxrss / 1024,
        (out / "stderr.txt").read_text("utf-8", "replace"),
        json.loads(summary.read_text("utf-8"))["files"] if summary.is_file() else None,
    )


def violations(run: Run, paths: Sequence[Path]) -> list[str]:
    """What a run did that no damage excuses."""
    found = []
    if run.code is None:
        found.append(f"hangs: killed after {run.seconds:.0f} s")
    elif run.code not in GOOD_CODES:
        found.append(f"exit code {run.code}")
    if "Traceback" in run.errors:
        found.append(f"traceback: {run.errors.strip().splitlines()[-1]}")
    if run.peak_mb > MOST_MB:
        found.append(f"peak memory {run.peak_mb:.0f} MB")
    if run.summary is None:
        return [*found, "no summary.json"]
    listed = [entry["file"] for entry in run.summary]
    found += [f"{path.name}: not in the summary" for path in paths if str(path) not in listed]
    for entry in run.summary:
        name = Path(entry["file"]).name
        if entry["status"] == "done" and not entry["rows"]:
            found.append(f"{name}: done with zero rows")
        if entry["status"] == "failed" and "\n" in entry.get("error", "\n"):
            found.append(f"{name}: failed without an error of one line")
        if "unexpected error" in entry.get("error", ""):
            found.append(f"{name}: {entry['error']}")
    return found


if __name__ == "__main__":
    main()
