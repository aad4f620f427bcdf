"""Runs every recipe of a folder, and shows what the command line did with the files that it makes.

    python benchmarks/cases.py ../shared/cases              # all recipes
    python benchmarks/cases.py ../shared/cases --only c0    # those whose name contains `c0`, with all that they print

A recipe is a shell or Python script that takes a video and runs `emofuse`, or only makes files, which are then
predicted one by one. Each runs in a folder of its own with the synthetic sample; some need ffmpeg or strace. Its head
says what is expected: read it beside the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
INTERPRETERS = {".sh": "bash", ".py": sys.executable}
LIMIT_SECONDS, FILE_SECONDS = 600, 60
MOST_FILES = 40  # that are predicted after a recipe which only makes them

# Runs this checkout's command line, and notes each exit code and what was written to standard error.
_COMMAND = """#!/usr/bin/env bash
export PYTHONPATH={src}${{PYTHONPATH:+:$PYTHONPATH}}
{python} -m emofuse "$@" 2> >(tee -a {log}/errors >&2)
code=$?
echo $code >> {log}/codes
exit $code
"""


@dataclass(frozen=True)
class Case:
    """One recipe after its run. code: its exit code, None if it was killed. codes: exit codes of `emofuse`."""

    name: str
    code: int | None
    seconds: float
    codes: Counter[str]
    tracebacks: int
    summary: str
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", metavar="TEXT", help="only recipes whose name contains this")
    parser.add_argument("--video", type=Path, help="default: the synthetic sample")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that a recipe ends with this process
    recipes = [p for p in sorted(options.folder.resolve().iterdir()) if p.suffix in INTERPRETERS]
    print(f"{'case':<32}{'exit':>5}{'s':>6}  {'emofuse exits':<18}{'tracebacks':>11}  summary", flush=True)
    with tempfile.TemporaryDirectory(prefix="emofuse-cases-") as folder:
        video = options.video.resolve() if options.video else _sample(Path(folder) / "s.mp4")
        for recipe in recipes:
            if options.only in recipe.name:
                _show(run(recipe, video, Path(folder) / recipe.stem), with_output=bool(options.only))


def run(recipe: Path, video: Path, folder: Path) -> Case:
    """Run a recipe in a new folder, and predict the files that it makes if it does not do so."""
    work, log = folder / "work", folder / "log"
    command = log / "bin" / "emofuse"
    command.parent.mkdir(parents=True)
    work.mkdir()
    log_name, python = shlex.quote(str(log)), shlex.quote(sys.executable)
    command.write_text(_COMMAND.format(src=shlex.quote(str(SRC)), python=python, log=log_name))
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (work / video.name).symlink_to(video)
    variables = os.environ | {
        "PATH": f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep),
    }
    start = time.monotonic()
    words = [INTERPRETERS[recipe.suffix], str(recipe), video.name]
    code, output = _bounded(words, work, variables, LIMIT_SECONDS)
    if not (log / "codes").exists() and code == 0:
        made = [p for p in sorted(work.rglob("*")) if p.is_file() and not p.is_symlink()]
        for n, path in enumerate(made[:MOST_FILES]):
            one = ["emofuse", "predict", str(path.relative_to(work)), "--out", f"out-{n:02d}"]
            late, text = _bounded([str(command), *one[1:]], work, variables, FILE_SECONDS)
            output += f"\n$ {shlex.join(one)}\n{text}"
            if late is None:
                (log / "codes").open("a").write("killed\n")
    codes = (log / "codes").read_text().split() if (log / "codes").exists() else []
    errors = (log / "errors").read_text("utf-8", "replace") if (log / "errors").exists() else ""
    tracebacks = max(errors.count("Traceback"), output.count("Traceback"))
    return Case(
        recipe.stem, code, time.monotonic() - start, Counter(codes), tracebacks, _summaries(work), output.strip()
    )


def _sample(path: Path) -> Path:
    from emofuse.synthetic.sample import make_sample

    make_sample(path)
    return path


def _bounded(words: list[str], folder: Path, variables: dict[str, str], seconds: float) -> tuple[int | None, str]:
    """Exit code, None if it was killed after so many seconds, and what was printed."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=seconds)[0]
        return process.returncode, output.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0].decode("utf-8", "replace")
    except BaseException:  # stopped by the user
        os.killpg(process.pid, signal.SIGKILL)
        raise


def _summaries(folder: Path) -> str:
    """What all summaries below a folder say together."""
    totals, warnings, empty = Counter[str](), 0, 0
    for path in folder.rglob("summary.json"):
        for entry in json.loads(path.read_text("utf-8")).get("files", []):
            totals[entry["status"]] += 1
            warnings += len(entry.get("warnings", []))
            empty += entry["status"] == "done" and not entry.get("rows")
    parts = [f"{count} {status}" for status, count in sorted(totals.items())]
    parts += [f"{warnings} warnings"] * bool(warnings) + [f"{empty} DONE WITHOUT ROWS"] * bool(empty)
    return ", ".join(parts) or "-"


def _show(case: Case, *, with_output: bool) -> None:
    codes = " ".join(f"{code}x{count}" for code, count in sorted(case.codes.items()))
    exit_code = "late" if case.code is None else str(case.code)
    print(
        f"{case.name[:31]:<32}{exit_code:>5}{case.seconds:>6.0f}  {codes:<18}{case.tracebacks:>11}  {case.summary}",
        flush=True,
    )
    warnings = Counter(re.findall(r"^(?:warning|note): (.*)$", case.output, re.MULTILINE))
    lines = case.output.splitlines() if with_output else [f"{n} x {text}" for text, n in warnings.items()]
    for line in lines:
        print(f"    {line[:200]}", flush=True)


if __name__ == "__main__":
    main()
