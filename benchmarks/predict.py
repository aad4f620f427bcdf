"""Time of `predict` compared with decoding alone, and how its memory depends on the length of the video.

    python benchmarks/predict.py                     # speed at 5 rows per second, on a 60 s video
    python benchmarks/predict.py --memory            # also peak memory for 5 and 60 minutes (takes about 10 min)

The video is the synthetic sample (1280x720, 30 frames/s, H.264, one face, a voice), repeated without re-encoding.
Decoding alone is of the video stream. Every measurement runs in its own process; contenders alternate, and medians are
compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from measure import environment, peak_bytes, run_child

SAMPLE_SECONDS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--detector", default="auto", help="face detector: auto, yunet or haar; default: auto")
    parser.add_argument("--every-frame", action="store_true", help="also measure one row per frame")
    parser.add_argument("--memory", action="store_true", help="also measure peak memory for 5 and 60 minutes")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "VIDEO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, video = arguments.child
        run = CHILDREN[what]
        print(json.dumps(run(Path(video), arguments.detector)))
        return
    with tempfile.TemporaryDirectory() as folder:
        sample = _sample(Path(folder))
        print(f"{environment()}, detector {arguments.detector}")
        contenders = ("decode", "predict", "every_frame") if arguments.every_frame else ("decode", "predict")
        _speed(_repeated(sample, 60 // SAMPLE_SECONDS), arguments.rounds, arguments.detector, contenders)
        if arguments.memory:
            _memory(sample, arguments.detector)


def _speed(video: Path, rounds: int, detector: str, contenders: tuple[str, ...]) -> None:
    rows = [{what: _measured(what, video, detector) for what in contenders} for _ in range(rounds)]
    median = {what: statistics.median(r[what]["seconds"] for r in rows) for what in contenders}
    spread = {
        what: max(r[what]["seconds"] for r in rows) / min(r[what]["seconds"] for r in rows) for what in contenders
    }
    length = rows[0]["predict"]["length"]
    print(f"{'60 s of 720p30':<22} {'seconds':>8} {'max/min':>8} {'x decode':>9} {'x real time':>12}")
    for what in contenders:
        ratio, speed = median[what] / median["decode"], length / median[what]
        print(f"{what:<22} {median[what]:8.2f} {spread[what]:8.2f} {ratio:9.2f} {speed:12.1f}")


def _memory(sample: Path, detector: str) -> None:
    peak = {
        minutes: _measured("predict", _repeated(sample, minutes * 60 // SAMPLE_SECONDS), detector)["peak_mb"]
        for minutes in (5, 60)
    }
    print(f"peak memory: 5 min {peak[5]:.0f} MB, 60 min {peak[60]:.0f} MB, ratio {peak[60] / peak[5]:.3f}")


def _measured(what: str, video: Path, detector: str) -> dict[str, float]:
    return run_child(__file__, "--detector", detector, "--child", what, video)


def _decode(video: Path, _: str) -> dict[str, float]:
    start, frames = time.perf_counter(), 0
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _frame in container.decode(stream):
            frames += 1
    return {"seconds": time.perf_counter() - start, "frames": frames}


def _predict(video: Path, detector: str, rate: Fraction | None = Fraction(5)) -> dict[str, float]:
    from emofuse.inference.predictor import Options, Predictor

    predictor = Predictor(Options(detector=detector, rate_hz=rate))
    start = time.perf_counter()
    prediction = predictor.predict(video)
    elapsed = time.perf_counter() - start
    peak = peak_bytes() / 2**20
    length = prediction.timeline.end[-1] / 705_600_000
    return {"seconds": elapsed, "length": length, "rows": prediction.rows, "peak_mb": peak}


def _every_frame(video: Path, detector: str) -> dict[str, float]:
    return _predict(video, detector, None)


CHILDREN: dict[str, Callable[[Path, str], dict[str, float]]] = {
    "decode": _decode,
    "predict": _predict,
    "every_frame": _every_frame,
}


def _sample(folder: Path) -> Path:
    from emofuse.synthetic.sample import make_sample

    path = folder / "sample.mp4"
    make_sample(path, seconds=SAMPLE_SECONDS)
    return path


def _repeated(source: Path, times: int) -> Path:
    """Write the packets of `source` several times in a row, without re-encoding."""
    target = source.with_name(f"{source.stem}-{times}.mp4")
    with av.open(str(target), "w") as out:
        streams: dict[int, av.stream.Stream] = {}
        last: dict[int, int] = {}
        for n in range(times):
            with av.open(str(source)) as one:
                for packet in one.demux():
                    own = packet.stream
                    if packet.dts is None:
                        continue
                    if not streams:
                        streams = {s.index: out.add_stream_from_template(s) for s in one.streams}
                    shift = round(n * SAMPLE_SECONDS / own.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    if packet.dts <= last.get(own.index, packet.dts - 1):
                        continue  # an audio packet overlaps the next repetition
                    last[own.index] = packet.dts
                    packet.stream = streams[own.index]
                    out.mux(packet)
    return target


if __name__ == "__main__":
    main()
