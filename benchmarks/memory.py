"""How much memory the training of a system needs, and what comes after it (`emofuse.experiments.memory`).

    python benchmarks/memory.py                        # the systems of Table 1, each with its own and half its batch
    python benchmarks/memory.py pann --batch 8 --seconds 6

Each measurement is a process of its own, on random inputs: two steps of the optimiser and a validation, the export,
then 64 examples through ONNX Runtime. Printed is the peak of the resident memory after each of these.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from peak import peak_bytes

from emofuse.nets.catalogue import Input, network, network_for
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.systems import VOICE, system
from emofuse.training import loop as fit

SYSTEMS = ("vggface2", "vggfer", "cnn1d-lstm", "cnn1d-lstm-sequence", "pann", "mobile", "compact-speech")
OUTPUTS = ("embedding", "logits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", default=SYSTEMS)
    parser.add_argument(
        "--batch", type=int, help="examples that the net sees at once; its own and half of it unless said"
    )
    parser.add_argument("--seconds", type=float, help="length of the windows of sound")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(given.systems[0], given.batch, given.seconds, tiny=given.tiny)
        return
    print(
        f"{'system':<22}{'batch':>6}{'imports':>9}{'training':>10}{'export':>8}{'scoring':>9}   GB at most, until then"
    )
    for name in given.systems:
        own = system(name).fit.batch
        for batch in [given.batch] if given.batch else [own, own // 2]:
            words = [sys.executable, __file__, name, "--one", "--batch", str(batch), *(["--tiny"] * given.tiny)]
            words += ["--seconds", str(given.seconds)] if given.seconds else []
            subprocess.run(words, check=True)


def measure(name: str, batch: int, seconds: float | None, *, tiny: bool) -> None:
    definition = system(name)
    settings = replace(definition.fit, epochs=1, batch=batch, accumulate=1)
    rng, peaks = np.random.default_rng(0), [peak_bytes()]
    targets = np.eye(7, dtype=np.float32)[rng.integers(7, size=3 * batch)]
    if definition.modality == VOICE:
        windows = replace(definition.windows, seconds=seconds) if seconds else definition.windows
        samples = windows.samples[0]
        build = network(definition.net.network, Input.WAVEFORMS).build
        net = build(tiny=tiny, rate_hz=windows.rate_hz, samples=samples, answers=windows.segments)
        prepare = fit.Waveforms(definition.net.augment)
        inputs, example = rng.normal(size=(3 * batch, samples)).astype(np.float32), fit.wave_example(samples)
        targets = np.repeat(targets[:, None], windows.segments, axis=1) if windows.segments > 1 else targets
    else:
        face = definition.net
        net = network_for(face.weights).build(tiny=tiny)
        size = net.settings.size if tiny else face.size
        prepare = fit.Faces(face.colour, face.mean, face.scale, size, fit.AUGMENTS[face.augment]())
        inputs = rng.integers(256, size=(3 * batch, face.side, face.side, 3), dtype=np.uint8)
        example = fit.face_example(size, n=2, channels=face.colour.channels)
    train, validation = (fit.Examples(inputs[s], targets[s]) for s in (slice(2 * batch), slice(2 * batch, None)))
    with TemporaryDirectory() as folder:
        fit.fit(net, fit.Data(train, validation, prepare), settings=settings, folder=Path(folder))
        peaks.append(peak_bytes())
        path = Path(folder) / "net.onnx"
        fit.export_onnx(net, example, path, outputs=OUTPUTS)
        peaks.append(peak_bytes())
        scorer = OnnxNetwork(path, Engine(threads=1))
        for _ in range(4):
            scorer(np.repeat(np.asarray(example[:1]), 16, axis=0), OUTPUTS[0])
        peaks.append(peak_bytes())
    imports, training, export, scoring = (peak / 1e9 for peak in peaks)
    print(f"{name:<22}{batch:>6}{imports:>9.2f}{training:>10.2f}{export:>8.2f}{scoring:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
