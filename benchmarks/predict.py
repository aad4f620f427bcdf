"""Time of `predict` compared with decoding alone, and how its memory depends on the length of the video.

    python benchmarks/predict.py                     # speed at 5 rows per second, on 60 s of each video
    python benchmarks/predict.py --stages            # also where the time goes, by stage
    python benchmarks/predict.py --memory            # also peak memory for 5 and 60 minutes (takes about 10 min)

The videos are the synthetic sample (1280x720, 30 frames/s, H.264, one face, a voice), the same with two faces, and the
same in 1920x1080, repeated without re-encoding. Decoding alone is of the video stream. Every measurement runs in its
own process; contenders alternate, and medians are compared, of wall-clock time and of the CPU time of all threads.
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
import numpy as np
from measure import environment, peak_bytes, run_child
from stage_times import StageTimes

SAMPLE_SECONDS = 12
VIDEOS = ("720p", "two-faces", "1080p")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--detector", default="default", help="face detector: default, or yunet")
    parser.add_argument("--videos", nargs="+", choices=VIDEOS, default=VIDEOS, help="default: all")
    parser.add_argument("--every-frame", action="store_true", help="also measure one row per frame")
    parser.add_argument("--stages", action="store_true", help="also measure the time of each stage")
    parser.add_argument("--memory", action="store_true", help="also measure peak memory for 5 and 60 minutes")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "VIDEO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, video = arguments.child
        run = CHILDREN[what]
        print(json.dumps(run(Path(video), arguments.detector)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(f"{environment()}, detector {arguments.detector}")
        contenders = ("decode", "predict", "every_frame") if arguments.every_frame else ("decode", "predict")
        for name in arguments.videos:
            video = repeated(sample(Path(folder), name), 60 // SAMPLE_SECONDS)
            _speed(video, arguments.rounds, arguments.detector, contenders)
            if arguments.stages:
                _stages(_measured("stages", video, arguments.detector))
        if arguments.memory:
            _memory(sample(Path(folder), VIDEOS[0]), arguments.detector)


def _speed(video: Path, rounds: int, detector: str, contenders: tuple[str, ...]) -> None:
    rows = [{what: _measured(what, video, detector) for what in contenders} for _ in range(rounds)]
    wall = {what: [row[what]["seconds"] for row in rows] for what in contenders}
    cpu = {what: statistics.median(row[what]["cpu_seconds"] for row in rows) for what in contenders}
    columns = f"{'seconds':>8} {'max/min':>8} {'x decode':>9} {'x real time':>12} {'CPU s':>8} {'x decode':>9}"
    print(f"{video.stem:<16} {columns}")
    for what, times in wall.items():
        median = statistics.median(times)
        ratio, speed = median / statistics.median(wall["decode"]), rows[0]["predict"]["length"] / median
        print(
            f"{what:<16} {median:8.2f} {max(times) / min(times):8.2f} {ratio:9.2f} {speed:12.1f} "
            f"{cpu[what]:8.2f} {cpu[what] / cpu['decode']:9.2f}"
        )


def _stages(measured: dict[str, float]) -> None:
    """Print what one run spent in each stage; stages overlap, so wall-clock times do not add up to that of the run."""
    print(f"{'ms per second of video':<34} {'wall':>8} {'CPU':>8}")
    for name in dict.fromkeys(key.rpartition(" ")[0] for key in measured if key.endswith((" wall", " cpu"))):
        print(f"{name:<34} {measured[name + ' wall']:8.2f} {measured[name + ' cpu']:8.2f}")


def _memory(sample: Path, detector: str) -> None:
    peak = {
        minutes: _measured("predict", repeated(sample, minutes * 60 // SAMPLE_SECONDS), detector)["peak_mb"]
        for minutes in (5, 60)
    }
    print(f"peak memory: 5 min {peak[5]:.0f} MB, 60 min {peak[60]:.0f} MB, ratio {peak[60] / peak[5]:.3f}")


def _measured(what: str, video: Path, detector: str) -> dict[str, float]:
    return run_child(__file__, "--detector", detector, "--child", what, video)


def _decode(video: Path, _: str) -> dict[str, float]:
    start, used, frames = time.perf_counter(), time.process_time(), 0
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _frame in container.decode(stream):
            frames += 1
    cpu_seconds = time.process_time() - used
    return {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds, "frames": frames}


def _predict(video: Path, detector: str, rate: Fraction | None = Fraction(5)) -> dict[str, float]:
    from emofuse.inference.predictor import Options, Predictor

    predictor = Predictor(Options(detector=detector, rate_hz=rate))
    start, used = time.perf_counter(), time.process_time()
    prediction = predictor.predict(video)
    elapsed, cpu_seconds = time.perf_counter() - start, time.process_time() - used
    peak = peak_bytes() / 2**20
    length = prediction.timeline.end[-1] / 705_600_000
    rows = prediction.rows
    return {"seconds": elapsed, "cpu_seconds": cpu_seconds, "length": length, "rows": rows, "peak_mb": peak}


def _every_frame(video: Path, detector: str) -> dict[str, float]:
    return _predict(video, detector, None)


def _predict_by_stage(video: Path, detector: str) -> dict[str, float]:
    """Milliseconds of each stage per second of video in one run; the wanted frames are also decoded by themselves."""
    from emofuse.faces.search import FaceSearch
    from emofuse.inference import predictor as prediction
    from emofuse.media.audio import AudioReader
    from emofuse.media.video import Frame, VideoReader
    from emofuse.runtime import Engine

    times = StageTimes()
    parallel_map = Engine.parallel_map
    Engine.parallel_map = lambda engine: times.map(parallel_map(engine))  # type: ignore[method-assign]
    predictor = prediction.Predictor(prediction.Options(detector=detector))
    assert predictor.bundle.face is not None
    wall, used = [time.perf_counter()], [time.process_time()]

    def lap(stage: str) -> None:
        wall.append(time.perf_counter())
        used.append(time.process_time())
        times.wall[stage], times.cpu[stage] = wall[-1] - wall[-2], used[-1] - used[-2]

    with VideoReader(video, threads=predictor.options.engine.decoder_threads) as reader:
        lap("open and index")
        length = reader.end / 705_600_000
        for _ in reader.frames(predictor.sampling.wanted(reader.timeline)):
            pass
    lap("decode the wanted frames alone")
    for owner, name, stage in (
        (prediction, "upright_frames", "orientation"),
        (Frame, "luma", "luma"),
        (Frame, "rgb", "RGB of whole frames"),
        (FaceSearch, "push", "search whole frames"),
        (FaceSearch, "_in_region", "search regions"),
        (type(predictor.bundle.face.crop), "__call__", "crop"),
        (type(predictor.scorer), "__call__", "score faces"),
        (AudioReader, "blocks", "audio: decode and resample"),
        (prediction.Session, "push_audio", "audio: score"),
    ):
        times.follow(owner, name, stage)
    predictor.predict(video)
    stages = list(times.cpu)
    lap("all of predict")
    times.cpu["rest"] = times.cpu["all of predict"] - sum(times.cpu[stage] for stage in stages)
    return {
        f"{stage} {kind}": 1000 * spent[stage] / length
        for stage in times.cpu
        for kind, spent in (("wall", times.wall), ("cpu", times.cpu))
    }


CHILDREN: dict[str, Callable[[Path, str], dict[str, float]]] = {
    "decode": _decode,
    "predict": _predict,
    "every_frame": _every_frame,
    "stages": _predict_by_stage,
}


def sample(folder: Path, name: str) -> Path:
    from emofuse.synthetic.sample import make_sample

    path = folder / f"{name}.mp4"
    make_sample(path, seconds=SAMPLE_SECONDS, size=(1920, 1080) if name == "1080p" else (1280, 720))
    return _doubled(path) if name == "two-faces" else path


def _doubled(path: Path) -> Path:
    """The middle half of a video beside its mirror image, with the same audio."""
    from emofuse.media.audio import AudioReader
    from emofuse.media.encode import write_video
    from emofuse.media.video import VideoReader

    target = path.with_name(f"{path.stem}-beside.mp4")
    with AudioReader(path, rate_hz=48_000) as reader:
        audio = np.concatenate([block.samples for block in reader.blocks()])
    with VideoReader(path) as video:
        images = (frame.rgb() for frame in video.frames())
        middles = (np.split(image, [image.shape[1] // 4, image.shape[1] * 3 // 4], axis=1)[1] for image in images)
        write_video(target, (np.hstack([m, m[:, ::-1]]) for m in middles), rate_hz=Fraction(30), audio=audio)
    return target


def repeated(source: Path, times: int) -> Path:
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
