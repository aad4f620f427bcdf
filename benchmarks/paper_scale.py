"""Speed and memory of the paper's five unimodal systems at full size, in one bundle with random weights.

    python benchmarks/paper_scale.py DIR                     # int8 in ONNX Runtime
    python benchmarks/paper_scale.py DIR --devices cpu,openvino --forms float32,int8

DIR keeps the bundles. The systems: VGGFace2 ResNet-50 on single faces (Visual 1) and with an SVM on windows (Visual 2),
which share the network; VGG-16 with a kernel ELM on windows (Visual 3); 1D CNN and LSTM (Raw audio 4); PANN Cnn14 (Raw
audio 5). The audio is not separated by Spleeter, whose weights cannot be random (it takes 2.8 s of CPU per minute).
The video is the synthetic sample (1280x720, 30 frames/s, one face, a voice), 5 rows per second. Each run is a process
of its own. "by CPU time": times real time if all threads had been busy all the time; other processes disturb it less.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measure import environment, peak_bytes, run_child

SECONDS, FITTED = 60, 1000  # length of the video, and windows that heads are fitted on
FACES, VOICES = ("vggface2-svm", "vggfer-kelm"), ("cnn1d-lstm", "pann")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forms", default="int8", help="float32, int8; default: int8")
    parser.add_argument("--devices", default="cpu", help="values of --device; default: cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detector", default="default")
    parser.add_argument("--child", nargs=3, metavar=("BUNDLE", "VIDEO", "DEVICE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        bundle, video, device = options.child
        print(json.dumps(predict(Path(bundle), Path(video), device, options.threads, options.detector)))
        return
    forms = options.forms.split(",")
    for form in forms:
        if not (options.folder / form / "bundle.json").exists():
            build(options.folder)
    with tempfile.TemporaryDirectory() as temporary:
        from predict import SAMPLE_SECONDS, repeated, sample

        video = repeated(sample(Path(temporary), "sample"), SECONDS // SAMPLE_SECONDS)
        print(f"{environment('onnxruntime')}, {options.threads} threads, {options.rounds} rounds, medians")
        print(f"{'':<20}{'seconds':>9}{'x real time':>13}{'CPU s':>9}{'by CPU time':>13}{'peak MB':>9}{'faces':>7}")
        for form in forms:
            for device in options.devices.split(","):
                runs = [
                    run_child(
                        __file__, options.folder, "--threads", options.threads, "--detector", options.detector,
                        "--child", options.folder / form, video, device,
                    )
                    for _ in range(options.rounds)
                ]  # fmt: skip
                wall, cpu, peak, faces = (np.median([r[key] for r in runs]) for key in ("wall", "cpu", "peak", "faces"))
                by_cpu, speed = SECONDS / (cpu / options.threads), SECONDS / wall
                print(
                    f"{form + ', ' + device:<20}{wall:9.1f}{speed:13.2f}{cpu:9.1f}{by_cpu:13.2f}{peak:9.0f}{faces:7.0f}"
                )


def predict(bundle: Path, video: Path, device: str, threads: int, detector: str) -> dict[str, float]:
    from emofuse.inference.predictor import Options, Predictor
    from emofuse.runtime import Engine

    predictor = Predictor(Options(str(bundle), detector, engine=Engine(threads, device)))
    wall, cpu = time.perf_counter(), time.process_time()
    prediction = predictor.predict(video)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    first = prediction.modalities[prediction.persons[0]]
    assert all(s.valid.any() for s in first.values()), "a modality was not scored"
    faces = int(sum(prediction.face_found(person).sum() for person in prediction.persons))
    return {"wall": wall, "cpu": cpu, "peak": peak_bytes() / 2**20, "faces": faces}


# -- bundles --------------------------------------------------------------------------------------------------


def build(folder: Path) -> None:
    """Write the bundle in float32 and in int8."""
    from dataclasses import replace

    from emofuse.core.labels import AFFWILD2
    from emofuse.fusion.weighted import WeightedFusion
    from emofuse.models.bundle import Bundle, modalities_of, write_bundle
    from emofuse.models.fusion import ModalityFusion
    from emofuse.training import loop

    work = folder / "work"
    networks = dict(zip(("face", "face:vggfer"), map(face_network, FACES, [work] * 2), strict=True))
    networks |= dict(zip(("voice", "voice:pann"), map(voice_network, VOICES, [work] * 2), strict=True))
    modalities = modalities_of(networks)
    weights = np.full((len(modalities), len(AFFWILD2)), 1 / len(modalities), np.float32)
    fusion = ModalityFusion(WeightedFusion("swf", modalities, AFFWILD2, weights))

    def write(form: str, found: dict) -> None:
        first = {key: found[key] for key in ("face", "voice")}
        further = {key: network for key, network in found.items() if key not in first}
        card = {"what": "random weights", "data": "none", "licence": "none", "metrics": {}}
        write_bundle(folder / form, Bundle("paper", form, AFFWILD2, card, fusion=fusion, further=further, **first))

    write("float32", networks)
    for key, network in networks.items():
        path = work / f"{key.replace(':', '-')}-int8.onnx"
        loop.quantise_onnx(network.net, path, calibration=inputs(network), keep=("last", *front_end(key)))
        networks[key] = replace(network, net=path)
    write("int8", networks)


def face_network(name: str, work: Path):
    """A network for faces as its system trains it, with a head on random windows."""
    from torch import nn

    from emofuse import heads
    from emofuse.core.calibration import LogitCalibration
    from emofuse.core.labels import AFFWILD2
    from emofuse.faces.crop import CROP_PRESETS
    from emofuse.models.face import EMBEDDING, OUTPUT, FaceInput, FaceModality
    from emofuse.nets.catalogue import network_for
    from emofuse.nets.wrappers import Resize
    from emofuse.runtime import OnnxNetwork
    from emofuse.systems import system
    from emofuse.training import loop
    from emofuse.training.window_head import head_of

    definition = system(name)
    net, path, head = definition.net, work / f"{name}.onnx", work / f"{name}.safetensors"
    whole = nn.Sequential(Resize(net.size), loop.fresh(network_for(net.weights).build, seed=0))
    work.mkdir(parents=True, exist_ok=True)
    loop.export_onnx(whole, 255 * loop.face_example(net.side, n=2, channels=3), path, outputs=(EMBEDDING, OUTPUT))
    features = 2 * OnnxNetwork(path)(np.zeros((1, 3, net.side, net.side), np.float32), EMBEDDING).shape[1]
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(FITTED, features)).astype(np.float32), np.arange(FITTED) % len(AFFWILD2)
    heads.save(head, head_of(definition.head).fit(rows, labels, np.arange(FITTED) % 10), label_set=AFFWILD2)
    inputs = FaceInput(net.colour, net.mean, net.scale)
    calibration = LogitCalibration.identity(len(AFFWILD2)) if name == "vggface2-svm" else None
    return FaceModality(path, CROP_PRESETS[net.framing](net.side), inputs, calibration, definition.windows, head)


def voice_network(name: str, work: Path):
    """A network for audio as its system trains it, without separation."""
    from emofuse.core.calibration import LogitCalibration
    from emofuse.core.labels import AFFWILD2
    from emofuse.models.face import EMBEDDING, OUTPUT
    from emofuse.models.voice import VoiceModality
    from emofuse.nets.catalogue import Input, network
    from emofuse.systems import system
    from emofuse.training import loop

    definition, path = system(name), work / f"{name}.onnx"
    windows = definition.windows
    shape = {"rate_hz": windows.rate_hz, "samples": windows.samples[0], "segments": windows.segments}
    net = loop.fresh(lambda: network(definition.net.network, Input.WAVEFORMS).build(len(AFFWILD2), **shape), seed=0)
    loop.export_onnx(net, loop.wave_example(windows.samples[0]), path, outputs=(EMBEDDING, OUTPUT))
    return VoiceModality(path, windows, LogitCalibration.identity(len(AFFWILD2)), activity=definition.net.activity)


def inputs(network) -> Iterator[np.ndarray]:
    """Random inputs: of random weights only the speed is measured."""
    from emofuse.models.face import FaceModality

    rng = np.random.default_rng(0)
    if isinstance(network, FaceModality):
        side = network.crop.size
        yield network.input(rng.integers(0, 256, (2, side, side, 3), dtype=np.uint8))
    else:
        yield rng.normal(0, 0.1, (2, network.windows.samples[0])).astype(np.float32)


def front_end(key: str) -> tuple[str, ...]:
    return ("/logmel",) if key == "voice:pann" else ()


if __name__ == "__main__":
    main()
