"""Fits the face detector on composed canvases, measures it on canvases of set-aside photographs, and exports it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from emofuse.core.files import atomic
from emofuse.errors import WeightsError
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import box_iou
from emofuse.nets.face_detector import FaceDetectorNet
from emofuse.synthetic.canvases import Photograph, Studio
from emofuse.training.face_detector.export import export_detector
from emofuse.training.face_detector.loss import Targets, detection_loss
from emofuse.training.loop.devices import device, fresh, keep_freed_memory

CHECKPOINT, NETWORK = "checkpoint.pt", "face_detector.onnx"
_SAVED_EVERY = 500  # steps
_MOST_FACES = 32  # of one canvas
_VALIDATION_CANVASES = 600


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of the training.

    steps: batches of `batch` canvases. width, height: of a canvas in pixels, divisible by 32.
    lr: the highest learning rate; it rises during the first `warmup` steps and falls as a cosine.
    ema_decay: of the averaged weights, which are exported. seed: of all randomness.
    """

    steps: int = 14_000
    batch: int = 32
    width: int = 256
    height: int = 192
    lr: float = 2e-3
    warmup: int = 300
    weight_decay: float = 0.02
    ema_decay: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Accuracy:
    """Of a detector on labelled canvases: recall at IoU 0.5 with the false positives per canvas that its lowest score
    brings; median error of the landmarks relative to the distance of the eyes; mean IoU of found faces."""

    recall: float
    false_positives: float
    landmark_error: float
    iou: float


def fit_detector(
    train: Studio,
    settings: DetectorSettings,
    out: Path,
    *,
    device_name: str,
    start: Path | None = None,
    progress: Callable[[int, float], None],
) -> Path:
    """Train, resuming from a checkpoint in `out`; returns the path of the exported network.

    start: folder of an earlier training, whose averaged weights are the first ones; default: random weights.
    progress: called with the number of finished steps and their mean loss.

    Raises:
        WeightsError: `start` has no checkpoint.
    """
    keep_freed_memory()
    where = device(device_name)
    net = fresh(FaceDetectorNet, seed=settings.seed).to(where, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    if start is not None:
        net.load_state_dict(_averaged_weights(start / CHECKPOINT))
    averaged = torch.optim.swa_utils.AveragedModel(net, avg_fn=_moving_average(settings.ema_decay), use_buffers=True)
    optimiser = torch.optim.AdamW(_groups(net, settings.weight_decay), lr=settings.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, settings))
    parts = {"net": net, "averaged": averaged, "optimiser": optimiser, "schedule": schedule}
    done = _resumed(out / CHECKPOINT, parts)
    losses = list[float]()
    for batch in _batches(train, settings, done):
        luma, targets = batch[0].to(where), Targets(*(t.to(where) for t in batch[1:]))
        loss = detection_loss(net(luma), targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(net)
        done += 1
        losses.append(float(loss.detach()))
        if done % 50 == 0:
            progress(done, float(np.mean(losses)))
            losses.clear()
        if done % _SAVED_EVERY == 0 or done == settings.steps:
            with atomic(out / CHECKPOINT) as partial:
                torch.save({"done": done, **{name: part.state_dict() for name, part in parts.items()}}, partial)
            export_detector(averaged.module, out / NETWORK)
    return out / NETWORK


def measure(detector: DefaultDetector, studio: Studio, settings: DetectorSettings) -> Accuracy:
    """The accuracy on canvases composed from a studio, always the same ones."""
    rng = np.random.default_rng(settings.seed)
    canvases = [studio.canvas((settings.width, settings.height), rng) for _ in range(_VALIDATION_CANVASES)]
    faces = found = extra = 0
    errors, overlaps = list[float](), list[float]()
    for canvas in canvases:
        matched = set[int]()
        boxes = np.hstack([canvas.boxes[:, :2], canvas.boxes[:, 2:] - canvas.boxes[:, :2]])
        for face in detector(canvas.image):
            overlap = box_iou(face.box, boxes)
            best = int(overlap.argmax()) if len(overlap) else -1
            if best < 0 or overlap[best] < 0.5:
                extra += not (len(overlap) and overlap.max() > 0.2)
            elif best not in matched and canvas.certain[best] and face.landmarks is not None:
                matched.add(best)
                aim = canvas.landmarks[best]
                eyes = max(float(np.linalg.norm(aim[1] - aim[0])), 1.0)
                errors.append(float(np.linalg.norm(face.landmarks - aim, axis=1).mean()) / eyes)
                overlaps.append(float(overlap[best]))
        faces, found = faces + int(canvas.certain.sum()), found + len(matched)
    return Accuracy(
        found / max(faces, 1),
        extra / len(canvases),
        float(np.median(errors or [1.0])),
        float(np.mean(overlaps or [0.0])),
    )


class _Canvases(IterableDataset[tuple[NDArray[Any], ...]]):
    """Batches of composed canvases from number `first` on; each is decided by its number and the seed alone."""

    def __init__(self, studio: Studio, settings: DetectorSettings, first: int) -> None:
        self._studio, self._settings, self._first = studio, settings, first

    def __iter__(self) -> Iterator[tuple[NDArray[Any], ...]]:
        worker = get_worker_info()
        number, of = (worker.id, worker.num_workers) if worker else (0, 1)
        s = self._settings
        for step in range(self._first + number, s.steps, of):
            rng = np.random.default_rng([s.seed, step])
            yield as_batch([self._studio.canvas((s.width, s.height), rng) for _ in range(s.batch)])


def as_batch(canvases: list[Photograph]) -> tuple[NDArray[Any], ...]:
    """Luma uint8 [n, 1, height, width] and the arrays of `Targets`, padded."""
    n = len(canvases)
    boxes = np.zeros((n, _MOST_FACES, 4), np.float32)
    landmarks = np.zeros((n, _MOST_FACES, 5, 2), np.float32)
    real, ignored = np.zeros((n, _MOST_FACES), bool), np.zeros((n, _MOST_FACES), bool)
    for row, canvas in enumerate(canvases):
        m = min(len(canvas.boxes), _MOST_FACES)
        boxes[row, :m], landmarks[row, :m] = canvas.boxes[:m], canvas.landmarks[:m]
        real[row, :m], ignored[row, :m] = canvas.certain[:m], ~canvas.certain[:m]
    return np.stack([c.image for c in canvases])[:, None], boxes, landmarks, real, ignored


def _batches(studio: Studio, settings: DetectorSettings, done: int) -> Iterator[tuple[Tensor, ...]]:
    data = _Canvases(studio, settings, done)
    loader = DataLoader(
        data,
        batch_size=None,
        num_workers=1,
        prefetch_factor=8,
        multiprocessing_context="fork",
    )
    yield from loader


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An average over all steps at first, so that the random start is soon forgotten, then with a decay."""

    def average(mean: Tensor, value: Tensor, n: Tensor | int) -> Tensor:
        kept = min(decay, (1 + float(n)) / (10 + float(n)))
        return value + kept * (mean - value) if value.is_floating_point() else value

    return average


def _groups(net: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions decay; biases and norms do not."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    return [
        {"params": weights, "weight_decay": decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _rate(step: int, settings: DetectorSettings) -> float:
    """Learning rate relative to the highest."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def _resumed(path: Path, parts: dict[str, Any]) -> int:
    """Load a checkpoint, if there is one; returns the number of finished steps."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["done"])


def _averaged_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; give the folder of a training of the face detector.")
    state = torch.load(path, weights_only=True)["averaged"]
    prefix = "module."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
