"""`emofuse live`: emotions of the persons before a camera or in a stream, while it runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import Detector, MaxYaw, MinConfidence, People, PerModality, SmallFaces
from emofuse.cli.output import print_error, print_text

if TYPE_CHECKING:
    import pandas as pd

    from emofuse.inference.live_run import LiveState
    from emofuse.media.live_address import Address

NONE, AUTO = "none", "auto"

app = typer.Typer()


@app.command(epilog="Example: emofuse live --source 0   |   emofuse live --source rtsp://door/1 --out door.csv --json")
def live(
    source: Annotated[
        str,
        typer.Option(
            help="Number of a camera, a device, a URL (rtsp, udp, rtp, http), a file, or - for standard input.",
            metavar="SOURCE",
        ),
    ] = "0",
    audio: Annotated[
        str,
        typer.Option(
            help="Microphone: default, a device or a URL; none; or auto: that of the source, for a camera the default.",
            metavar="auto|none|default|DEVICE",
        ),
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Table that grows with the rows.", metavar="FILE.csv|.jsonl|.parquet")
    ] = None,
    lsl: Annotated[
        str | None, typer.Option(help="Also send the scores of each frame to Lab Streaming Layer.", metavar="NAME")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after this time. Default: when the source ends.", metavar="SECONDS")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Read a file as fast as possible, and drop no frame.")] = False,
    rate: Annotated[float, typer.Option(help="Rows per second.", metavar="HZ")] = 5.0,
    bundle: Annotated[str, typer.Option(help="Bundle to use, by name or folder.", metavar="NAME|DIR")] = "default",
    detector: Detector = "default",
    small_faces: SmallFaces = False,
    rotate: Annotated[int, typer.Option(help="Turn frames clockwise by 0, 90, 180 or 270 degrees.")] = 0,
    min_confidence: MinConfidence = 0.0,
    max_yaw: MaxYaw = None,
    per_modality: PerModality = False,
    people: People = None,
    threads: Annotated[int, typer.Option(help="Threads in all; 0: one per core.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda or openvino.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print each final row as a line of JSON.")] = False,
) -> None:
    """Show the emotions of the persons before a camera or in a stream, while it runs.

    Stop with Ctrl-C. Files are complete then; rows are those of `emofuse predict`, a few seconds later than the frames.
    """
    from dataclasses import replace

    from emofuse.cli.live_display import live_display
    from emofuse.core.time import ticks
    from emofuse.errors import SettingsError
    from emofuse.export.growing import growing_table, json_lines
    from emofuse.inference.live import LiveSession
    from emofuse.inference.live_run import LiveRun, source_settings
    from emofuse.inference.lsl import LslOutlet
    from emofuse.inference.orientation import checked_rotation
    from emofuse.inference.predictor import Options, Predictor, checked_rate
    from emofuse.media.live import LiveSource
    from emofuse.media.live_address import video_address
    from emofuse.runtime import Engine

    engine, rotation = Engine(threads, device), checked_rotation(rotate)
    options = Options(bundle, detector, checked_rate(rate), engine, min_confidence, per_modality, rotation, small_faces)
    options = replace(options, people=people, max_yaw=max_yaw)
    video = None if source == NONE else video_address(source)
    microphone = _microphone(audio, video)
    main = video or microphone
    if main is None:
        raise SettingsError("--source none: needs a microphone; add --audio default.")
    predictor = Predictor(options)
    labels = predictor.bundle.label_set.names
    session = LiveSession(predictor, Path(main.name).name if main.finite else main.name)
    settings = source_settings(session, turn=rotation or 0, fast=fast)
    found = LiveSource(video, microphone, with_audio=audio != NONE, settings=settings)
    run = LiveRun(session, found, until=None if seconds is None else ticks(seconds))
    with ExitStack() as stack:
        append = stack.enter_context(growing_table(out, session.empty_rows)) if out is not None else _nowhere
        outlet = LslOutlet(lsl, labels) if lsl is not None else None
        display = stack.enter_context(live_display(labels, shown=not as_json))
        stack.enter_context(_stopped_by_signals(run.stop))
        for note in predictor.notes:
            display.note(note)
        rows = 0
        for event in run.events():
            if event.notice is not None:
                display.note(event.notice)
            if event.update is None:
                continue
            if outlet is not None and event.update.faces:
                outlet.push(event.update.faces, event.age)
            if event.update.rows is not None:
                rows += len(event.update.rows)
                append(event.update.rows)
                if as_json:
                    sys.stdout.write("".join(json_lines(event.update.rows)))
                    sys.stdout.flush()
            display.update(event.update, run.state)
    for warning in session.warnings:
        print_error(f"warning: {warning}")
    closing = print_error if as_json else print_text
    closing(_summary(run.state, rows))
    if out is not None:
        closing(f"wrote {out}")
    if found.lost:
        raise typer.Exit(2)


def _microphone(audio: str, video: Address | None) -> Address | None:
    """The microphone that `--audio` names; of a camera the default one, where it has a name."""
    from emofuse.errors import SettingsError
    from emofuse.media.live_address import audio_address

    if audio == NONE or (audio == AUTO and video is not None and not video.silent):
        return None
    try:
        return audio_address("default" if audio == AUTO else audio)
    except SettingsError:
        if audio != AUTO or video is None:
            raise
        return None


def _nowhere(rows: pd.DataFrame) -> None:
    del rows


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """End the session with its last rows on the first Ctrl-C or SIGTERM; another one ends the program."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stopped(number: int, frame: object) -> None:
        restore()
        stop()

    for number in numbers:
        signal.signal(number, stopped)
    try:
        yield
    finally:
        restore()


def _summary(state: LiveState, rows: int) -> str:
    from emofuse.core.time import seconds

    return (
        f"{seconds(state.time):.1f} s, {state.frames} frames processed, {state.dropped} dropped, {rows} rows, "
        f"latency {1000 * state.latency:.0f} ms"
    )
