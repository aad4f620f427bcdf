"""The training loop: augment, step, average the weights, keep the best epoch, resume exactly.

Every random draw of an epoch comes from (seed, epoch), so a run that was killed and started again
ends with the same weights as one that was not. Checkpoints are safetensors files, never pickles.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from emofuse.core.store import atomic, digest, write_bytes
from emofuse.errors import SettingsError


@dataclass(frozen=True)
class FitSettings:
    """How to train; the digest of it and of the data decides whether a checkpoint may go on.

    After `epochs` at full augmentation come `polish_epochs` that start again at `polish_lr` with changes of
    only `polish_strength` of their size: the net ends on faces as they are.
    """

    epochs: int = 30
    batch: int = 128
    lr: float = 0.1
    polish_epochs: int = 0
    polish_lr: float = 0.02
    polish_strength: float = 0.4
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    average_decay: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Examples:
    """Images uint8 [n, height, width] with soft targets float32 [n, classes] (rows sum to 1).

    polish_targets: those of the polish epochs, if they are others.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    polish_targets: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; losses are cross-entropy, accuracy a fraction on the validation part."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


def fit(
    net: nn.Module,
    train: Examples,
    validation: Examples,
    *,
    settings: FitSettings,
    checkpoint: Path,
    report: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Train `net` in place; it ends with the averaged weights of the epoch of highest validation accuracy.

    Args:
        net: gives (embedding, logits) for float [n, 1, height, width] in 0 to 1.
        checkpoint: file written after every epoch; if it is there and was made with the same
            settings and data sizes, training goes on from it.
        report: called once for each epoch that is finished in this run.
    Raises:
        SettingsError: the checkpoint belongs to a training with other settings.
    """
    _keep_freed_memory()
    run = _Run(net, train, settings)
    done = run.load(checkpoint) if checkpoint.exists() else []
    for epoch in range(len(done), settings.epochs + settings.polish_epochs):
        start = time.monotonic()
        train_loss = run.epoch(epoch)
        loss, accuracy = evaluate(run.average, validation)
        done.append(Epoch(epoch, train_loss, loss, accuracy, time.monotonic() - start))
        if accuracy >= max(e.validation_accuracy for e in done):
            run.best = _copy(run.average)
        run.save(checkpoint, done)
        report(done[-1])
    net.load_state_dict(run.best)
    return done


class _Run:
    """Live state of one training: the net, its running average, the optimiser's momentum."""

    def __init__(self, net: nn.Module, train: Examples, settings: FitSettings) -> None:
        self.net = _laid_out(net, torch.channels_last)
        self.settings = settings
        self.images = torch.from_numpy(np.ascontiguousarray(train.images))
        self.targets = torch.from_numpy(train.targets)
        self.polish_targets = self.targets if train.polish_targets is None else torch.from_numpy(train.polish_targets)
        self.steps_per_epoch = len(self.images) // settings.batch
        if self.steps_per_epoch == 0:
            raise SettingsError(f"fit: {len(self.images)} examples do not fill one batch of {settings.batch}.")
        self.optimiser = torch.optim.SGD(
            net.parameters(), lr=settings.lr, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay
        )
        decay = torch.optim.swa_utils.get_ema_multi_avg_fn(settings.average_decay)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=decay, use_buffers=True)
        self.best = _copy(self.average)
        self.identity = digest(asdict(settings) | {"examples": len(self.images), "net": str(net)})

    def epoch(self, epoch: int) -> float:
        generator = torch.Generator().manual_seed(self.settings.seed * 100_003 + epoch)
        torch.manual_seed(self.settings.seed * 100_003 + epoch)  # dropout draws from the global generator
        self.net.train()
        polish = epoch >= self.settings.epochs
        strength, targets = (self.settings.polish_strength, self.polish_targets) if polish else (1.0, self.targets)
        total = 0.0
        for step, rows in enumerate(self._batches(generator)):
            for group in self.optimiser.param_groups:
                group["lr"] = self._lr(epoch + step / self.steps_per_epoch)
            faces = augment(self.images[rows], generator, strength=strength)
            loss = functional.cross_entropy(self.net(faces)[1], targets[rows])
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.average.update_parameters(self.net)
            total += loss.item()
        return total / self.steps_per_epoch

    def _batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        order = torch.randperm(len(self.images), generator=generator)
        for n in range(self.steps_per_epoch):
            yield order[n * self.settings.batch : (n + 1) * self.settings.batch]

    def _lr(self, epoch: float) -> float:
        s = self.settings
        if epoch < s.warmup_epochs:
            return s.lr * (epoch + 0.01) / s.warmup_epochs
        if epoch < s.epochs:
            return _cosine(s.lr, (epoch - s.warmup_epochs) / (s.epochs - s.warmup_epochs))
        return _cosine(s.polish_lr, (epoch - s.epochs) / s.polish_epochs)

    def save(self, path: Path, done: list[Epoch]) -> None:
        momentum = [self.optimiser.state[p].get("momentum_buffer") for p in self.net.parameters()]
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"momentum.{n}": v for n, v in enumerate(momentum) if v is not None}
        fields = ("train_loss", "validation_loss", "validation_accuracy", "seconds")
        tensors["history"] = torch.tensor([[getattr(e, f) for f in fields] for e in done], dtype=torch.float64)
        write_bytes(path, save({k: v.contiguous() for k, v in tensors.items()}, {"identity": self.identity}))

    def load(self, path: Path) -> list[Epoch]:
        parts: dict[str, dict[str, Tensor]] = {"net": {}, "average": {}, "best": {}, "momentum": {}, "history": {}}
        try:
            with safe_open(path, "pt") as file:
                identity = (file.metadata() or {}).get("identity")
                for key in file.keys() if identity == self.identity else ():
                    part, _, name = key.partition(".")
                    parts[part][name] = file.get_tensor(key)
        except SafetensorError as error:
            raise SettingsError(f"{path}: a damaged checkpoint ({error}); delete it to start anew.") from None
        if identity != self.identity:
            raise SettingsError(
                f"{path}: a checkpoint of a training with other settings; delete it or use another folder."
            )
        self.net.load_state_dict(parts["net"])
        self.average.load_state_dict(parts["average"])
        self.best = parts["best"]
        for n, parameter in enumerate(self.net.parameters()):
            if (buffer := parts["momentum"].get(str(n))) is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = buffer
        return [Epoch(n, *row) for n, row in enumerate(parts["history"][""].tolist())]


def _cosine(lr: float, part: float) -> float:
    return lr * 0.5 * (1 + math.cos(math.pi * part))


def evaluate(net: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy and accuracy against the largest target of each example."""
    logits = torch.from_numpy(predict_logits(net, examples.images))
    targets = torch.from_numpy(examples.targets)
    right = logits.argmax(1) == targets.argmax(1)
    return functional.cross_entropy(logits, targets).item(), right.double().mean().item()


def predict_logits(net: nn.Module, images: NDArray[np.uint8], *, batch: int = 256) -> NDArray[np.float32]:
    """Logits float32 [n, classes] of uint8 [n, height, width], without augmentation."""
    net.eval()
    with torch.inference_mode():
        rows = [net(_unit(torch.from_numpy(images[n : n + batch])))[1] for n in range(0, len(images), batch)]
    return torch.cat(rows).numpy()


def _unit(images: Tensor) -> Tensor:
    return images.unsqueeze(1).float().div(255).contiguous(memory_format=torch.channels_last)


def augment(images: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Grey faces uint8 [n, h, w] -> float [n, 1, h, w], each moved, turned, mirrored, relit and partly hidden.

    Turns to 20 degrees, scale 0.8 to 1.25, shifts to 8 % of the size, mirror, gamma 0.6 to 1.6,
    and a hidden square of up to a third of the side on half of the faces, all times `strength` (0 to 1).
    """
    n, height, width = images.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(n).uniform_(low, high, generator=generator)

    angle = strength * uniform(-20, 20).deg2rad()
    scale = torch.exp(strength * uniform(math.log(0.8), math.log(1.25)))
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    across, down = strength * uniform(-0.16, 0.16), strength * uniform(-0.16, 0.16)
    rows = torch.stack([cos * mirror, -sin, across, sin * mirror, cos, down], dim=1)
    grid = functional.affine_grid(rows.view(n, 2, 3), [n, 1, height, width], align_corners=False)
    faces = functional.grid_sample(_unit(images), grid, padding_mode="border", align_corners=False)
    gamma = torch.exp(strength * uniform(math.log(0.6), math.log(1.6))).view(n, 1, 1, 1)
    faces = faces.clamp(1e-4, 1).pow(gamma)
    side, top, left = strength * uniform(0.1, 0.34) * (uniform(0, 1) < 0.5), uniform(0, 1), uniform(0, 1)
    y, x = torch.arange(height) / height, torch.arange(width) / width
    hidden_y = (y >= (top - side / 2)[:, None]) & (y < (top + side / 2)[:, None])
    hidden_x = (x >= (left - side / 2)[:, None]) & (x < (left + side / 2)[:, None])
    hidden = (hidden_y[:, :, None] & hidden_x[:, None, :]).unsqueeze(1)
    faces = torch.where(hidden, faces.mean(dim=(1, 2, 3), keepdim=True), faces)
    return faces.contiguous(memory_format=torch.channels_last)


def export_onnx(net: nn.Module, example: Tensor, path: Path, *, outputs: tuple[str, ...]) -> float:
    """Write `net` as ONNX with one input "input" and a free batch size, and check it against torch.

    Returns:
        The largest difference of any output on `example`, relative to that output's largest value.
    Raises:
        SettingsError: the difference is above 1e-4; no file is left behind.
    """
    net.eval()
    with atomic(path) as partial, warnings.catch_warnings():
        # The exporter warns that a newer one exists; that one needs packages we do without. Parity is checked below.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _laid_out(net, torch.contiguous_format),
            (example,),
            str(partial),
            input_names=["input"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in ("input", *outputs)},
            opset_version=17,
            dynamo=False,
        )
        error = _parity(net, example, partial)
        if error > 1e-4:
            raise SettingsError(f"{path}: the exported net differs from the torch net by {error:.1e}, more than 1e-4.")
    return error


def _parity(net: nn.Module, example: Tensor, path: Path) -> float:
    with torch.inference_mode():
        expected = [t.numpy() for t in net(example)]
    found = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
        None, {"input": example.numpy()}
    )
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, found, strict=True))


def face_example(size: int, *, n: int = 4) -> Tensor:
    """Random grey faces float [n, 1, size, size] to export and compare nets with."""
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))


def _laid_out(net: nn.Module, layout: torch.memory_format) -> nn.Module:
    return net.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def _copy(average: torch.optim.swa_utils.AveragedModel) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in average.module.state_dict().items()}


def _keep_freed_memory() -> None:
    # glibc returns each freed activation to the kernel and faults it in again at the next step;
    # keeping it makes training on the CPU up to 1.3 times faster (docs/decisions.md).
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def fresh(build: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """A new net whose random first weights come from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
