"""How fast a net embeds faces by torch, by ONNX Runtime and in int8, side by side in one run; what int8 costs.

    python benchmarks/embed.py                                        # speed: ResNet-50 at 224 pixels, random weights
    python benchmarks/embed.py --net mobilefacenet
    python benchmarks/embed.py --train runs/embed --data fer2013.npz  # a ResNet-50 that knows expressions, from nothing
    python benchmarks/embed.py --accuracy runs/embed --data fer2013.npz
    python benchmarks/embed.py --accuracy src/emofuse/bundles/default --data fer2013.npz

Speed: the contenders take turns; medians over rounds. CPU time is that of all threads together, and says more where
others use the machine too. Accuracy: int8 is calibrated on 512 training images and judged on the public test part, the
private one is never read; intervals are 95 % bootstrap over images, the difference paired (2,000 resamples).
"""

from __future__ import annotations

import argparse
import ctypes
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from turns import SIDE, Turn, in_turns, products

from emofuse import metrics
from emofuse.datasets.fer2013.dataset import FaceImages, Fer2013
from emofuse.models.bundle import MANIFEST, load
from emofuse.models.face import OUTPUT
from emofuse.nets.catalogue import NETWORKS
from emofuse.nets.compact import CompactFace
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.nets.vggface import VGGFace
from emofuse.nets.vggface2 import VGGFace2, VGGFace2Settings
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training import loop as fit
from emofuse.training.loop.devices import keep_freed_memory, laid_out

NETS: dict[str, Callable[[], nn.Module]] = {
    "vggface2": VGGFace2, "vggface": VGGFace, "mobilefacenet": MobileFaceNet, "compact": CompactFace
}  # fmt: skip
FILE = "face.onnx"
OUTPUTS = ("embedding", OUTPUT)
FORMS = {
    "int8, last layer float32": fit.Int8(),
    "int8, first and last float32": fit.Int8(keep=("first", "last")),
    "int8, every layer": fit.Int8(keep=()),
    "int8, weights of 8 bits": fit.Int8(weight_bits=8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=NETS, default="vggface2")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--train", type=Path, metavar="RUNDIR", help="train a ResNet-50 on FER-2013 there")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--size", type=int, default=48, help="side of the faces it is trained on")
    parser.add_argument("--accuracy", type=Path, metavar="RUNDIR", help=f"a folder with a trained {FILE}, or a bundle")
    parser.add_argument("--data", type=Path, help="fer2013.npz")
    arguments = parser.parse_args()
    if (arguments.train or arguments.accuracy) and not arguments.data:
        parser.error("--train and --accuracy need --data fer2013.npz")
    print(
        f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"ONNX Runtime {onnxruntime.__version__}"
    )
    if arguments.train:
        train(arguments.train, arguments.data, epochs=arguments.epochs, size=arguments.size)
    if arguments.accuracy:
        accuracy(arguments.accuracy, arguments.data, arguments.net, threads=arguments.threads)
    if not arguments.train and not arguments.accuracy:
        speed(arguments.net, batch=arguments.batch, threads=arguments.threads, rounds=arguments.rounds)


# -- speed ----------------------------------------------------------------------------------------------------


def speed(name: str, *, batch: int, threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    net = laid_out(fit.fresh(NETS[name], seed=0), torch.channels_last).eval()
    size = net.settings.size
    faces = 255 * fit.face_example(size, n=batch, channels=1 if name == "compact" else 3)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(faces[:1])
    work = counter.get_total_flops() / 1e9
    with TemporaryDirectory() as folder:
        contenders, peaks = _contenders(net, faces, Path(folder), Engine(threads, "cpu"))
        costs = in_turns({**contenders, **peaks}, rounds=rounds)
    product = {key: 2e-9 * SIDE**3 / costs[key].wall for key in peaks}
    told = ", ".join(f"{key} {value:.0f} GOP/s" for key, value in product.items())
    print(f"{name}: {work:.2f} GFLOP a frame of {size} pixels, batches of {batch}, {threads} threads, {rounds} rounds")
    print(f"matrix product: {told}")
    first = costs[next(iter(contenders))]
    print(f"{'':<28}frames/s  x torch  by CPU time  spread  GOP/s  of the product")
    for key in contenders:
        cost, peak = costs[key], product["int8" if "int8" in key else "float32"]
        rate = work * batch / cost.wall
        print(
            f"{key:<28}{batch / cost.wall:8.1f}{first.wall / cost.wall:9.2f}{first.processor / cost.processor:13.2f}"
            f"{cost.spread:8.2f}{rate:7.0f}{rate / peak:16.0%}"
        )


def _contenders(
    net: nn.Module, faces: torch.Tensor, folder: Path, engine: Engine
) -> tuple[dict[str, Turn], dict[str, Turn]]:
    given = faces.contiguous(memory_format=torch.channels_last)
    plain = faces.contiguous().numpy()
    fit.export_onnx(net, faces[:2].contiguous(), folder / "float.onnx", outputs=OUTPUTS)
    laid_out(net, torch.channels_last)
    # The values decide nothing about speed, so the ranges may come from the same noise.
    said = fit.quantise_onnx(folder / "float.onnx", folder / "int8.onnx", calibration=[plain[:2]], held_back=[plain])
    print(f"int8: {said.layers} layers, {said.kept} kept in float32; files {_mb(folder / 'float.onnx')} and "
          f"{_mb(folder / 'int8.onnx')} MB")  # fmt: skip
    nets = {key: OnnxNetwork(folder / f"{key}.onnx", engine) for key in ("float", "int8")}

    @torch.inference_mode()
    def eager() -> object:
        return net(given)

    contenders = {
        "torch": Turn(eager),
        "torch, freed memory kept": Turn(eager, keep_freed_memory, _give_freed_memory_back),
        "ONNX Runtime float32": Turn(lambda: nets["float"](plain, "embedding")),
        "ONNX Runtime int8": Turn(lambda: nets["int8"](plain, "embedding")),
    }
    return contenders, products(folder, engine)


def _give_freed_memory_back() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-4, 65536)  # M_MMAP_MAX
        mallopt(-1, 128 * 1024)  # M_TRIM_THRESHOLD


def _mb(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"


# -- a net that knows expressions -----------------------------------------------------------------------------


def train(folder: Path, data: Path, *, epochs: int, size: int) -> None:
    """A ResNet-50 on FER-2013 from random weights; a run that was killed goes on where it was."""
    learn, public = Fer2013(data).images("train"), Fer2013(data).images("public-test")
    net = fit.fresh(lambda: VGGFace2(VGGFace2Settings(size=size)), seed=0)
    # Residual branches that begin at zero learn faster at first.
    for block in (block for stage in net.stages for block in stage):
        nn.init.zeros_(block.increase.bn.weight)
    wanted = NETWORKS["vggface2"].preprocessing
    augment = fit.PaperAugment(rotation_degrees=10.0, brightness=(0.8, 1.0))
    examples = fit.TrainingData(
        fit.Examples(learn.faces, learn.targets(votes_weight=0.4)),
        fit.Examples(public.faces, public.targets(votes_weight=0)),
        fit.Faces(wanted.colour, wanted.mean, wanted.scale, size, augment),
    )
    settings = fit.FitSettings(
        epochs=epochs, batch=64, optimiser="adamw", lr=5e-4, weight_decay=0.01, warmup_epochs=0.1, ema_decay=None
    )  # fmt: skip
    watch = fit.Callbacks(epoch=lambda e: print(f"  epoch {e.epoch + 1}: {e.measures['accuracy']:.3f}", flush=True))
    fit.fit(net, examples, settings=settings, folder=folder, machine=fit.Machine(checkpoint_minutes=5), callbacks=watch)
    fit.export_onnx(net, 255 * fit.face_example(size, channels=3), folder / FILE, outputs=OUTPUTS)


# -- accuracy -------------------------------------------------------------------------------------------------


def accuracy(folder: Path, data: Path, name: str, *, threads: int) -> None:
    net, engine = folder / FILE, Engine(threads, "cpu")
    part = load(folder).face if (folder / MANIFEST).is_file() else None
    wanted = part.input if part else NETWORKS[name].preprocessing
    size = next(iter(OnnxNetwork(net).inputs.values()))[-1]
    prepare = fit.Faces(wanted.colour, wanted.mean, wanted.scale, size, None)
    learn, public = some(Fer2013(data).images("train"), 512), Fer2013(data).images("public-test")

    def right(path: Path) -> np.ndarray:
        run = OnnxNetwork(path, engine)
        logits = np.concatenate([run(batch, OUTPUT) for batch in batches(public.faces, prepare)])
        said = part.calibration(logits) if part and part.calibration else logits
        return said.argmax(axis=1) == public.labels

    before = right(net)
    plain = metrics.bootstrap(_pairs(before, before), _share_right)
    print(f"{net}, faces of {size} pixels: {len(public)} public test images")
    print(f"{'float32':<30} accuracy {plain.value:.4f} [{plain.low:.4f}, {plain.high:.4f}], {_mb(net)} MB")
    with TemporaryDirectory() as place:
        for form, settings in FORMS.items():
            path = Path(place) / "int8.onnx"
            said = fit.quantise_onnx(
                net, path, calibration=batches(learn.faces, prepare), held_back=batches(public.faces, prepare),
                settings=settings,
            )  # fmt: skip
            e = metrics.bootstrap(_pairs(before, right(path)), _gain)
            errors = ", ".join(f"{key} {error:.1%}" for key, error in said.errors.items())
            print(
                f"{form:<30} accuracy {plain.value + e.value:.4f}, {e.value:+.4f} [{e.low:+.4f}, {e.high:+.4f}]; "
                f"same answer {said.agreement:.1%}; off by {errors}; {_mb(path)} MB", flush=True
            )  # fmt: skip


def some(part: FaceImages, count: int) -> FaceImages:
    rows = np.random.default_rng(0).permutation(len(part))[:count]
    return part[rows]


def batches(faces: np.ndarray, prepare: fit.Faces) -> Iterator[np.ndarray]:
    return fit.prepared(faces, np.arange(len(faces)), prepare, batch=16)


def _pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """int [images, 2, 2]: whether each image was right before (row) and after (column)."""
    pairs = np.zeros((len(one), 2, 2), np.int64)
    pairs[np.arange(len(one)), one.astype(int), other.astype(int)] = 1
    return pairs


def _share_right(pairs: np.ndarray) -> np.ndarray:
    return pairs[..., 1, 1] / pairs.sum(axis=(-2, -1))


def _gain(pairs: np.ndarray) -> np.ndarray:
    return (pairs[..., 0, 1] - pairs[..., 1, 0]) / pairs.sum(axis=(-2, -1))


if __name__ == "__main__":
    main()
