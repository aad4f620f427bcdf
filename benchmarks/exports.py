"""Exports as other software reads them, and how long an annotated video takes.

    python benchmarks/exports.py VIDEO --out DIR

Compares the annotated video with the original by ffprobe: number and times of frames, and each packet of audio.
Where they are installed, Praat reads the TextGrid, and R and LibreOffice (in a German locale) the CSV with decimal
commas.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import openpyxl

import emofuse
from emofuse.export import ExportOptions
from emofuse.inference.prediction import Prediction

FORMATS = ("elan", "praat", "webvtt", "srt", "boris", "csv", "json", "parquet")
GERMAN = "59,34,76,1,,1031"  # tokens of LibreOffice's CSV filter: separator, quote, UTF-8, first line, language


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--blur-faces", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prediction = emofuse.predict(options.video)
    for name in FORMATS:
        _, took = timed(prediction, options.out / f"{name}.out", name, ExportOptions())
        print(f"{name:10} {took:8.3f} s")
    path, export = options.out / "annotated.mp4", ExportOptions(blur_faces=options.blur_faces)
    cpu = time.process_time()
    took = min(timed(prediction, path, "annotated-video", export)[1] for _ in range(options.rounds))
    cpu = (time.process_time() - cpu) / options.rounds
    length = prediction.duration_seconds
    print(
        f"annotated  {took:8.3f} s, {length / took:.1f} times real time; {cpu:.1f} s of CPU, {length / cpu:.1f} times"
    )
    compare(options.video, path)
    praat(prediction.save(options.out / "grid.TextGrid"))
    german(prediction, prediction.export(options.out / "german.csv", "csv", ExportOptions(separator=";", decimal=",")))


def timed(prediction: Prediction, path: Path, name: str, options: ExportOptions) -> tuple[Path, float]:
    start = time.perf_counter()
    return prediction.export(path, name, options), time.perf_counter() - start


def compare(before: Path, after: Path) -> None:
    """Print how the frames and the packets of audio of two files differ."""
    for what in ("v:0", "a:0"):
        old, new = packets(before, what), packets(after, what)
        late = max((abs(a - b) for (a, _), (b, _) in zip(old, new, strict=False)), default=0.0)
        same = "" if what == "v:0" else f", equal content: {[h for _, h in old] == [h for _, h in new]}"
        print(f"{what}: {len(old)} packets, annotated {len(new)}; times differ by {late * 1000:.3f} ms at most{same}")


def packets(path: Path, stream: str) -> list[tuple[float, str]]:
    """The time and the hash of each packet of a stream, in the order of time."""
    words = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_packets", "-show_data_hash", "md5"]
    found: Any = json.loads(subprocess.run([*words, "-of", "json", path], capture_output=True, check=True).stdout)
    return sorted((float(p["pts_time"]), p["data_hash"]) for p in found.get("packets", []))


def praat(path: Path) -> None:
    if shutil.which("praat") is None:
        print("praat: not installed")
        return
    script = path.with_suffix(".praat")
    script.write_text(f'Read from file: "{path.resolve()}"\nn = Get number of tiers\nappendInfoLine: n, " tiers"\n')
    print("praat:", run("praat", "--run", script))


def german(prediction: Prediction, path: Path) -> None:
    """Print the rows and the mean probability of the first class as other programs read them."""
    first, table = prediction.label_set.names[0], prediction.table()
    print(f"written: {len(table)} rows, mean {table[first].mean():.6f}")
    if shutil.which("Rscript"):
        code = f'd <- read.csv2("{path.resolve()}"); cat(nrow(d), "rows, mean", mean(d${first}, na.rm = TRUE))'
        print("R:", run("Rscript", "-e", code))
    if shutil.which("soffice"):
        run("soffice", "--headless", f"--infilter=CSV:{GERMAN}", "--convert-to", "xlsx", "--outdir", path.parent, path)
        header, *rows = openpyxl.load_workbook(path.with_suffix(".xlsx")).active.values
        values = [row[header.index(first)] for row in rows]
        numbers = [v for v in values if isinstance(v, float | int)]
        mean = sum(numbers) / max(len(numbers), 1)
        print(f"LibreOffice: {len(rows)} rows, mean {mean:.6f}, {sum(isinstance(v, str) for v in values)} not numbers")


def run(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


if __name__ == "__main__":
    main()
