"""`emofuse train face-detector`: from a folder of photographs to a detector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from emofuse.core.files import atomic
from emofuse.errors import DataError
from emofuse.faces import Detector
from emofuse.faces.default import DefaultDetector
from emofuse.training.face_detector import photographs
from emofuse.training.face_detector.fit import NETWORK, Accuracy, DetectorSettings, fit_detector, measure
from emofuse.training.loop import Progress

TRAIN, VALIDATION = "train", "validation"
LABELS, RESULT = "labels.safetensors", "result.json"


@dataclass(frozen=True)
class DetectorTraining:
    """A training of the face detector.

    data: folder of photographs of faces and of other things; if it has the folders `train` and `validation`, these are
        the splits, otherwise a tenth of the images, chosen by a digest of their names, is set aside for validation.
    out: folder of labels, checkpoint and network; a killed training resumes there.
    start: folder of an earlier training to start from, what confuses its network is pasted onto canvases; default:
        random weights.
    labels: a teacher, which finds the faces of the photographs, or a CSV that lists them (`photographs.table_labels`).
    """

    data: Path
    out: Path
    labels: Detector | Path
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    device: str = "auto"
    start: Path | None = None


def train_detector(
    training: DetectorTraining,
    *,
    report: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Accuracy:
    """Train a face detector; returns its accuracy on canvases of the photographs set aside.

    Args:
        report: called with messages for the user. progress: called now and then during the training.
    Raises:
        DataError: there are no images, or no faces in them.
    """
    data, settings = training.data, training.settings
    paths = photographs.image_paths(data)
    training.out.mkdir(parents=True, exist_ok=True)
    if isinstance(training.labels, Path):
        labels = photographs.table_labels(training.labels)
    else:
        report(f"labelling {len(paths)} images with {training.labels.identity}")
        labels = photographs.teacher_labels(data, paths, training.labels, cache=training.out / LABELS)
    splits: dict[str, list[Path]] = {TRAIN: [], VALIDATION: []}
    for path in paths:
        splits.setdefault(_split(path.relative_to(data)), []).append(path)
    for split in (TRAIN, VALIDATION):
        if not splits[split]:
            raise DataError(f"{data}: no image is left for {split}; give more images.")
    studios = {split: photographs.studio(data, splits[split], labels) for split in (TRAIN, VALIDATION)}
    if training.start is not None:
        detector = DefaultDetector(training.start / NETWORK)
        confusing = photographs.confusing_parts(studios[TRAIN].backgrounds, detector)
        studios[TRAIN] = replace(studios[TRAIN], confusing=confusing)
        report(f"{len(confusing)} parts of images without faces confuse the network to start from")
    for split, studio in studios.items():
        report(f"{split}: {len(studio.faces)} photographs with faces, {len(studio.backgrounds)} without")

    def step(done: int, loss: float) -> None:
        if done % 500 == 0:
            report(f"step {done}: loss {loss:.3f}")
        progress(Progress(0, 1, done, settings.steps, loss))

    network = fit_detector(
        studios[TRAIN], settings, training.out, device_name=training.device, start=training.start, progress=step
    )
    accuracy = measure(DefaultDetector(network), studios[VALIDATION], settings)
    with atomic(training.out / RESULT) as partial:
        partial.write_text(json.dumps({"settings": asdict(settings), VALIDATION: asdict(accuracy)}, indent=2) + "\n")
    return accuracy


def _split(path: Path) -> str:
    """The split of an image, by its first folder or by a digest of its name."""
    if path.parts[0] in (TRAIN, VALIDATION, "test"):
        return path.parts[0]
    number = int(hashlib.sha256(path.as_posix().encode()).hexdigest()[:8], 16)
    return VALIDATION if number % 10 == 0 else TRAIN
