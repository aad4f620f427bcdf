"""`emofuse predict`: emotions of every person in videos, photographs and audio files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import (
    Address,
    AsJson,
    BlurFaces,
    Decimal,
    Detector,
    Executor,
    Formats,
    Hysteresis,
    Jobs,
    MaxYaw,
    MergeSegments,
    MinConfidence,
    MinSegment,
    People,
    PerModality,
    Separator,
    SmallFaces,
    executor_of,
    names,
)
from emofuse.cli.output import print_error, print_json, print_text, progress_bar

if TYPE_CHECKING:
    from emofuse.core import parallel
    from emofuse.inference.batch import FileResult, FileTask

app = typer.Typer()

# Whether to isolate that many files. For one file, starting a process takes longer than is worth while.
ISOLATE: Mapping[str, Callable[[int], bool]] = {
    "auto": lambda files: files > 1,
    "always": lambda files: True,
    "never": lambda files: False,
}


@app.command(
    epilog="Example: emofuse predict talk.mp4 --plot   |   emofuse predict clips/ --out results --format parquet"
)
def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Videos, photographs, audio files, folders (searched recursively), or quoted globs.", metavar="PATH..."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("emofuse-results"),
    formats: Formats = "csv",
    every_frame: Annotated[bool, typer.Option("--every-frame", help="Write one row per decoded frame.")] = False,
    rate: Annotated[float, typer.Option(help="Rows per second.", metavar="HZ")] = 5.0,
    bundle: Annotated[str, typer.Option(help="Bundle to use, by name or folder.", metavar="NAME|DIR")] = "default",
    detector: Detector = "default",
    small_faces: SmallFaces = False,
    rotate: Annotated[
        str, typer.Option(help="Turn videos clockwise by 0, 90, 180 or 270 degrees, or until faces are upright: auto.")
    ] = "auto",
    min_confidence: MinConfidence = 0.0,
    max_yaw: MaxYaw = None,
    per_modality: PerModality = False,
    persons: Annotated[
        str,
        typer.Option(
            help="Persons in the table: auto (all), a number, or largest (the one with the largest face).",
            metavar="auto|N|largest",
        ),
    ] = "auto",
    people: People = None,
    start: Annotated[
        str | None,
        typer.Option(help="Process the video from this time on: seconds, mm:ss or hh:mm:ss.", metavar="TIME"),
    ] = None,
    end: Annotated[str | None, typer.Option(help="Process the video up to this time.", metavar="TIME")] = None,
    video_track: Annotated[
        str | None,
        typer.Option("--video-track", help="Video track by number, from 1, or language.", metavar="N|LANGUAGE"),
    ] = None,
    audio_track: Annotated[
        str | None,
        typer.Option("--audio-track", help="Audio track by number, from 1, or language.", metavar="N|LANGUAGE"),
    ] = None,
    transcript: Annotated[
        str | None,
        typer.Option(
            help="Score its words too: a .vtt, .srt, .json of Whisper or .TextGrid, or auto: the one beside the video.",
            metavar="FILE|auto",
        ),
    ] = None,
    transcribe: Annotated[
        str | None,
        typer.Option(help="Transcribe the audio with this Whisper model, to score its words too.", metavar="NAME|DIR"),
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw each timeline as a PNG.")] = False,
    min_segment: MinSegment = 0.0,
    hysteresis: Hysteresis = 0.0,
    merge_segments: MergeSegments = 0.0,
    separator: Separator = ",",
    decimal: Decimal = ".",
    blur_faces: BlurFaces = False,
    jobs: Jobs = None,
    executor: Executor = None,
    address: Address = None,
    threads: Annotated[
        int, typer.Option(help="Threads in all, on ray per file; 0: one per core, on ray one.", min=0)
    ] = 0,
    device: Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda or openvino.")] = "auto",
    isolate: Annotated[
        str,
        typer.Option(help="Use processes that may crash with one file: auto (for several files), always or never."),
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Predict the emotions of every person in videos and photographs.

    Writes a file for each input and format, and summary.json, to a folder. Files that are already done are skipped.
    """
    from dataclasses import replace

    from emofuse.core.registry import find
    from emofuse.export import ExportOptions, SegmentSettings
    from emofuse.inference import batch
    from emofuse.inference.file_search import find_files
    from emofuse.inference.orientation import checked_rotation
    from emofuse.inference.predictor import Options, checked_rate
    from emofuse.inference.renumbering import PersonChoice
    from emofuse.inference.selection import Selection
    from emofuse.inference.transcripts import WordsSource
    from emofuse.models.bundle import load
    from emofuse.runtime import Engine

    chosen = executor_of(executor, jobs=jobs, threads=threads, address=address, device=device)
    hz = None if every_frame else checked_rate(rate)
    engine, rotation = Engine(threads, device), checked_rotation(rotate)
    options = Options(bundle, detector, hz, engine, min_confidence, per_modality, rotation, small_faces)
    options = replace(options, persons=PersonChoice.parse(persons), people=people, max_yaw=max_yaw)
    options = replace(options, selection=Selection.parse(start, end, video_track, audio_track))
    options = replace(options, words=WordsSource.parse(transcript, transcribe))
    segments = SegmentSettings(min_segment, hysteresis, merge_segments)
    export, wanted = ExportOptions(segments, separator, decimal, blur_faces), names(formats)
    loaded = load(bundle)
    found = find_files(paths, audio=bool(loaded.voices), photographs=bool(loaded.faces))
    tasks = batch.plan(found.files, out=out, options=options, formats=wanted, plot=plot, export=export)
    isolated = find(isolate, ISOLATE, "--isolate")(len(tasks))
    results, notes = _run(tasks, chosen, isolate=isolated)
    summary = batch.write_summary(results, found.counts)
    if as_json:
        print_json(summary)
    else:
        for note in filter(None, (*notes, found.note)):
            print_error(f"note: {note}")
        (_show_one if len(results) == 1 else _show_batch)(results)
    if any(o.error for o in results):
        raise typer.Exit(2)


def _run(tasks: Sequence[FileTask], chosen: parallel.Executor, *, isolate: bool) -> tuple[list[FileResult], list[str]]:
    """The results in the order of the tasks, and notes. Of a batch predictions are dropped, or memory would grow."""
    from dataclasses import replace

    from emofuse.inference.batch import predict_files
    from emofuse.report.timeline import draw_timeline

    results: dict[Path, FileResult] = {}
    notes: list[str] = []
    with progress_bar("predicting", count=True) as bar:

        def progress(task: FileTask, part: float) -> None:
            bar.update(task.path.name, len(results) + part, len(tasks))

        finished = predict_files(
            tasks, executor=chosen, draw=draw_timeline, progress=progress, note=notes.append, isolate=isolate
        )
        for result in finished:
            results[result.task.path] = result if len(tasks) == 1 else replace(result, prediction=None)
            progress(result.task, 0)
            if result.error and len(tasks) > 1:
                bar.note(f"failed: {result.error}")
    return [results[task.path] for task in tasks], notes


def _show_batch(results: Sequence[FileResult]) -> None:
    failed, skipped = sum(o.error is not None for o in results), sum(o.skipped for o in results)
    done, out = len(results) - failed - skipped, results[0].task.out
    if skipped == len(results):
        print_text(f"All {skipped} files were already done. Results: {out}")
    else:
        already = f", {skipped} already done" if skipped else ""
        print_text(f"{done} of {len(results)} files predicted{already}, {failed} failed. Results: {out}")
    for result in results:
        for warning in result.entry.get("warnings", []):
            print_text(f"warning: {result.entry['file']}: {warning}")


def _show_one(results: Sequence[FileResult]) -> None:
    from emofuse.report.segments import headline, segment_table

    (result,) = results
    if result.error:
        print_error(f"emofuse: {result.error}")
        return
    entry, task, prediction = result.entry, result.task, result.prediction
    if result.skipped:
        print_text(f"{entry['file']} was already done.")
    if prediction is not None:
        print_text(headline(prediction))
        table, more = segment_table(prediction, task.export.segments)
        print_text(table)
        if more:
            print_text(f"... and {more} more; all rows are in the table.")
    for warning in entry["warnings"]:
        print_text(f"warning: {warning}")
    for path in [*task.paths.values(), *([task.plot_path] if task.plot else [])]:
        print_text(f"wrote {path}")
