"""Speed of face networks in torch and in ONNX Runtime, float32 and int8; and the accuracy that int8 loses.

    python benchmarks/embed.py                                        # speed: ResNet-50 at 224 pixels, random weights
    python benchmarks/embed.py --net mobilefacenet
    python benchmarks/embed.py --train runs/embed --data fer2013.npz  # train a ResNet-50 on FER-2013 from scratch
    python benchmarks/embed.py --accuracy runs/embed --data fer2013.npz
    python benchmarks/embed.py --accuracy src/emofuse/bundles/default --data fer2013.npz

Speed: contenders alternate; medians over rounds. CPU time is of all threads; compare it on a machine with other load.
Accuracy: int8 is calibrated on 512 training images and evaluated on the public test set; the private one is never
read. Intervals: 95 % bootstrap over images, of paired differences (2,000 resamples).
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import (
    PRODUCT_GFLOP,
    Contender,
    alternate,
    environment,
    matrix_products,
    sample_images,
    with_interval,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from emofuse import metrics
from emofuse.datasets.fer2013.dataset import Fer2013
from emofuse.models.bundle import MANIFEST, load
from emofuse.models.face import OUTPUT
from emofuse.nets.catalogue import NETWORKS
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.nets.vggface import VGGFace
from emofuse.nets.vggface2 import VGGFace2, VGGFace2Settings
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training import loop
from emofuse.training.loop.devices import keep_freed_memory, laid_out

NETS: dict[str, Callable[[], nn.Module]] = {
    "vggface2": VGGFace2, "vggface": VGGFace, "mobilefacenet": MobileFaceNet
}  # fmt: skip
FILE = "face.onnx"
OUTPUTS = ("embedding", OUTPUT)
QUANTISATIONS = {
    "int8, last layer float32": ("last",),
    "int8, first and last float32": ("first", "last"),
    "int8, every layer": (),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=NETS, default="vggface2")
    parser.add_argument("--batch", type=int, default=8, help="faces per call; default: 8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--train", type=Path, metavar="DIR", help="train a ResNet-50 on FER-2013 in this folder")
    parser.add_argument("--epochs", type=int, default=2, help="number of epochs of --train; default: 2")
    parser.add_argument("--size", type=int, default=48, help="side in pixels of the faces of --train; default: 48")
    parser.add_argument("--accuracy", type=Path, metavar="DIR", help=f"a folder with a trained {FILE}, or a bundle")
    parser.add_argument("--data", type=Path, help="FER-2013, for --train and --accuracy")
    options = parser.parse_args()
    if (options.train or options.accuracy) and not options.data:
        parser.error("--train and --accuracy need --data fer2013.npz")
    print(environment("torch", "onnxruntime"))
    if options.train:
        train(options.train, options.data, epochs=options.epochs, size=options.size)
    if options.accuracy:
        report_accuracy(options.accuracy, options.data, options.net, threads=options.threads)
    if not options.train and not options.accuracy:
        report_speed(options.net, batch=options.batch, threads=options.threads, rounds=options.rounds)


# -- speed ----------------------------------------------------------------------------------------------------


def report_speed(name: str, *, batch: int, threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    net = laid_out(loop.fresh(NETS[name], seed=0), torch.channels_last).eval()
    size = net.settings.size
    faces = 255 * loop.face_example(size, n=batch, channels=3)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(faces[:1])
    gflop = counter.get_total_flops() / 1e9
    with TemporaryDirectory() as folder:
        engine = Engine(threads, "cpu")
        contenders, products = engines(net, faces, Path(folder), engine), matrix_products(Path(folder), engine)
        costs = alternate(contenders | products, rounds=rounds)
    peaks = {key: PRODUCT_GFLOP / costs[key].wall for key in products}
    print(
        f"{name}: {gflop:.2f} GFLOP per frame of {size} pixels, batches of {batch}, {threads} threads, {rounds} rounds"
    )
    print("matrix product: " + ", ".join(f"{key} {peak:.0f} GOP/s" for key, peak in peaks.items()))
    first = costs[next(iter(contenders))]
    print(f"{'':<28}frames/s  x torch  by CPU time  spread  GOP/s  of the product")
    for key in contenders:
        cost, peak = costs[key], peaks["int8" if "int8" in key else "float32"]
        rate = gflop * batch / cost.wall
        print(
            f"{key:<28}{batch / cost.wall:8.1f}{first.wall / cost.wall:9.2f}{first.cpu / cost.cpu:13.2f}"
            f"{cost.spread:8.2f}{rate:7.0f}{rate / peak:16.0%}"
        )


def engines(net: nn.Module, faces: torch.Tensor, folder: Path, engine: Engine) -> dict[str, Contender]:
    """The network in torch, and in ONNX Runtime in float32 and int8."""
    channels_last = faces.contiguous(memory_format=torch.channels_last)
    array = faces.contiguous().numpy()
    paths = {form: folder / f"{form}.onnx" for form in ("float32", "int8")}
    loop.export_onnx(net, faces[:2].contiguous(), paths["float32"], outputs=OUTPUTS)
    laid_out(net, torch.channels_last)
    # Values have no effect on speed, so the ranges may be measured on the same noise.
    loop.quantise_onnx(*paths.values(), calibration=[array[:2]])
    print(f"files {megabytes(paths['float32'])} and {megabytes(paths['int8'])} MB")
    sessions = {form: OnnxNetwork(path, engine) for form, path in paths.items()}

    @torch.inference_mode()
    def eager() -> object:
        return net(channels_last)

    return {
        "torch": Contender(eager),
        "torch, freed memory kept": Contender(eager, keep_freed_memory, release_freed_memory),
        "ONNX Runtime float32": Contender(lambda: sessions["float32"](array, "embedding")),
        "ONNX Runtime int8": Contender(lambda: sessions["int8"](array, "embedding")),
    }


def release_freed_memory() -> None:
    """Undo `keep_freed_memory`."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-4, 65536)  # M_MMAP_MAX
        mallopt(-1, 128 * 1024)  # M_TRIM_THRESHOLD


def megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"


# -- training -------------------------------------------------------------------------------------------------


def train(folder: Path, data: Path, *, epochs: int, size: int) -> None:
    """Train a ResNet-50 on FER-2013 from random weights and export it; a killed run resumes."""
    faces, public = Fer2013(data).images("train"), Fer2013(data).images("public-test")
    net = loop.fresh(lambda: VGGFace2(VGGFace2Settings(size=size)), seed=0)
    # Residual branches that start at zero learn faster in the first epochs.
    for block in (block for stage in net.stages for block in stage):
        nn.init.zeros_(block.increase.bn.weight)
    face_input = NETWORKS["vggface2"].preprocessing
    augment = loop.PaperAugment(rotation_degrees=10.0, brightness=(0.8, 1.0))
    examples = loop.TrainingData(
        loop.Examples(faces.faces, faces.targets(votes_weight=0.4)),
        loop.Examples(public.faces, public.targets(votes_weight=0)),
        loop.Faces(face_input.colour, face_input.mean, face_input.scale, size, augment),
    )
    settings = loop.FitSettings(
        epochs=epochs, batch=64, optimiser="adamw", lr=5e-4, weight_decay=0.01, warmup_epochs=0.1, ema_decay=None
    )
    progress = loop.Callbacks(epoch=lambda e: print(f"  epoch {e.epoch + 1}: {e.measures['accuracy']:.3f}", flush=True))
    machine = loop.Machine(checkpoint_minutes=5)
    loop.fit(net, examples, settings=settings, folder=folder, machine=machine, callbacks=progress)
    loop.export_onnx(net, 255 * loop.face_example(size, channels=3), folder / FILE, outputs=OUTPUTS)


# -- accuracy -------------------------------------------------------------------------------------------------


def report_accuracy(folder: Path, data: Path, name: str, *, threads: int) -> None:
    path, engine = folder / FILE, Engine(threads, "cpu")
    face = load(folder).face if (folder / MANIFEST).is_file() else None
    face_input = face.input if face else NETWORKS[name].preprocessing
    size = next(iter(OnnxNetwork(path).inputs.values()))[-1]
    prepare = loop.Faces(face_input.colour, face_input.mean, face_input.scale, size, None)
    training, public = sample_images(Fer2013(data).images("train"), 512), Fer2013(data).images("public-test")

    def correct(network: Path) -> np.ndarray:
        run = OnnxNetwork(network, engine)
        logits = np.concatenate([run(batch, OUTPUT) for batch in batches(public.faces, prepare)])
        scores = face.calibration(logits) if face and face.calibration else logits
        return scores.argmax(axis=1) == public.labels

    before = correct(path)
    accuracy = metrics.bootstrap(paired_counts(before, before), accuracy_after)
    print(f"{path}, faces of {size} pixels: {len(public)} public test images")
    print(f"{'float32':<30} accuracy {with_interval(accuracy, '.4f')}, {megabytes(path)} MB")
    with TemporaryDirectory() as temporary:
        for form, keep in QUANTISATIONS.items():
            int8 = Path(temporary) / "int8.onnx"
            loop.quantise_onnx(path, int8, calibration=batches(training.faces, prepare), keep=keep)
            change = metrics.bootstrap(paired_counts(before, correct(int8)), accuracy_change)
            print(
                f"{form:<30} accuracy {accuracy.value + change.value:.4f}, {with_interval(change, '+.4f')}; "
                f"{megabytes(int8)} MB",
                flush=True,
            )


def batches(faces: np.ndarray, prepare: loop.Faces) -> Iterator[np.ndarray]:
    return loop.prepared(faces, np.arange(len(faces)), prepare, batch=16)


def paired_counts(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """int [images, 2, 2]: whether each image was classified correctly before (row) and after (column)."""
    counts = np.zeros((len(before), 2, 2), np.int64)
    counts[np.arange(len(before)), before.astype(int), after.astype(int)] = 1
    return counts


def accuracy_after(counts: np.ndarray) -> np.ndarray:
    return counts[..., 1].sum(axis=-1) / counts.sum(axis=(-2, -1))


def accuracy_change(counts: np.ndarray) -> np.ndarray:
    return (counts[..., 0, 1] - counts[..., 1, 0]) / counts.sum(axis=(-2, -1))


if __name__ == "__main__":
    main()
