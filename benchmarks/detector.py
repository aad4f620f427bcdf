"""The bundled face detector beside YuNet, on frames composed from photographs of people that it was not trained on.

    python benchmarks/detector.py PHOTOGRAPHS --yunet yunet_n_dynamic.onnx

PHOTOGRAPHS is the `test` folder that benchmarks/detector_data.py made. Its faces are labelled by YuNet on the upright
photograph and then placed on frames of 1280 x 720, so YuNet measures itself where a frame is as easy as the photograph.
YuNet reduces frames to 640 pixels, the bundled detector to 320 (and 640, as `--small-faces` does).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import environment
from numpy.typing import NDArray

from emofuse.faces import Detector
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import box_iou
from emofuse.faces.yunet import YuNet
from emofuse.synthetic import distortions
from emofuse.synthetic.canvases import Canvas, Photograph, Placed, Studio
from emofuse.training.face_detector import photographs

SIZE = (1280, 720)
HEIGHTS = (6, 8, 10, 15, 25, 50, 75, 90, 110)  # percent of the height of the frame
ROTATIONS = (0, 20, 35, 45)  # degrees
_USUAL_HEIGHT = 0.25

Grey = NDArray[np.uint8]
Change = Callable[[Canvas, np.random.Generator], Grey]


class Found(NamedTuple):
    """Recall at IoU 0.5 and median error of the landmarks relative to the distance of the eyes, of some frames."""

    recall: float
    landmark_error: float

    def __str__(self) -> str:
        return f"{self.recall:6.3f} {self.landmark_error:6.3f}"


@dataclass(frozen=True)
class Condition:
    """How faces lie on the frames, and what is done to these."""

    name: str
    height: float = _USUAL_HEIGHT
    rotation: float = 0.0
    change: Change = lambda canvas, rng: canvas.image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--network", type=Path, help="another detector of the bundled kind; default: the bundled one")
    parser.add_argument("--frames", type=int, default=200, help="frames per condition; default: 200")
    parser.add_argument("--labels", type=Path, default=Path("labels.safetensors"), help="cache of the labels")
    arguments = parser.parse_args()
    teacher = YuNet(arguments.yunet, min_score=0.3)
    paths = [p for p in photographs.image_paths(arguments.photographs) if "rafdb" not in p.parts]
    labels = photographs.teacher_labels(arguments.photographs, paths, teacher, cache=arguments.labels)
    studio = photographs.studio(arguments.photographs, paths, labels)
    network = {"model": arguments.network} if arguments.network else {}
    detectors: dict[str, Detector] = {
        "yunet 640": YuNet(arguments.yunet, long_side=640),
        "default 320": DefaultDetector(**network),
        "default 640": DefaultDetector(**network, long_side=640),
    }
    print(f"{environment()}; {len(studio.faces)} photographs, {arguments.frames} frames per condition")
    print(f"{'recall, landmark error':<24}" + "".join(f"{name:>16}" for name in detectors))
    for condition in conditions():
        found = measured(condition, studio, list(detectors.values()), arguments.frames)
        print(f"{condition.name:<24}" + "".join(f"{one!s:>16}" for one in found))
    alarms = [false_alarms(detector, studio.backgrounds) for detector in detectors.values()]
    print(f"{'false alarms per 1,000':<24}" + "".join(f"{n:16.1f}" for n in alarms))
    print(f"{'ms per frame':<24}" + "".join(f"{n:16.2f}" for n in milliseconds(list(detectors.values()), studio)))


def conditions() -> list[Condition]:
    """The rows of the table."""
    rows = [Condition(f"height {percent} %", percent / 100) for percent in HEIGHTS]
    rows += [Condition(f"rotated by {degrees}", rotation=math.radians(degrees)) for degrees in ROTATIONS[1:]]
    rows += [
        Condition("hat", change=lambda canvas, rng: distortions.hat(canvas.image, canvas.landmarks[0], rng)),
        Condition(
            "partly covered", change=lambda canvas, rng: distortions.cover(canvas.image, canvas.landmarks[0], rng)
        ),
        Condition("light from one side", change=_side_lit),
        Condition("low light", change=lambda c, rng: distortions.grain(distortions.expose(c.image, 1.6, 0.15), 4, rng)),
        Condition("blurred", change=lambda c, rng: distortions.gaussian_blur(c.image, 6)),
        Condition("moved", change=lambda c, rng: distortions.motion_blur(c.image, 31, rng.uniform(0, np.pi))),
        Condition("compressed", change=lambda c, rng: distortions.compress(c.image, 8)),
    ]
    return rows


def _side_lit(canvas: Canvas, rng: np.random.Generator) -> Grey:
    left, top, right, bottom = canvas.boxes[0].tolist()
    centre = (left + right) / 2, (top + bottom) / 2
    return distortions.side_light(canvas.image, centre, 0.5 * (right - left), rng.choice([0.0, np.pi]), 0.15)


def measured(condition: Condition, studio: Studio, detectors: Sequence[Detector], frames: int) -> list[Found]:
    """What each detector finds of the one face of each frame."""
    rng = np.random.default_rng(0)
    hits: list[list[bool]] = [[] for _ in detectors]
    errors: list[list[float]] = [[] for _ in detectors]
    for n in range(frames):
        canvas = _frame(studio.faces[n * len(studio.faces) // frames], condition, studio, rng)
        image = condition.change(canvas, rng)
        box, points = canvas.boxes[0], canvas.landmarks[0]
        aim = np.concatenate([box[:2], box[2:] - box[:2]])
        for k, detector in enumerate(detectors):
            faces = detector(np.repeat(image[..., None], 3, axis=2) if detector.colour else image)
            overlaps = [float(box_iou(aim, face.box[None])[0]) for face in faces]
            best = int(np.argmax(overlaps)) if overlaps else -1
            hits[k].append(best >= 0 and overlaps[best] >= 0.5)
            landmarks = faces[best].landmarks if hits[k][-1] else None
            if landmarks is not None:
                eyes = float(np.linalg.norm(points[1] - points[0]))
                errors[k].append(float(np.linalg.norm(landmarks - points, axis=1).mean()) / eyes)
    return [Found(float(np.mean(h)), float(np.median(e or [np.nan]))) for h, e in zip(hits, errors, strict=True)]


def _frame(photograph: Photograph, condition: Condition, studio: Studio, rng: np.random.Generator) -> Canvas:
    """A frame with one face, which lies inside it as far as it can."""
    canvas = Canvas(studio.background(SIZE, rng))
    height = condition.height * SIZE[1]
    spare = np.maximum(np.array(SIZE) / 2 - 0.6 * height, 0)
    middle = np.array(SIZE) / 2 + rng.uniform(-1, 1, 2) * spare
    place = float(middle[0]), float(middle[1])
    canvas.paste(photograph.alone(), Placed(height, condition.rotation), rng, whole=True, centre=place)
    return canvas


def false_alarms(detector: Detector, backgrounds: Sequence[Grey]) -> float:
    """Faces found per 1,000 images without faces."""
    found = sum(len(detector(np.repeat(b[..., None], 3, axis=2) if detector.colour else b)) for b in backgrounds)
    return 1000 * found / len(backgrounds)


def milliseconds(detectors: Sequence[Detector], studio: Studio) -> list[float]:
    """Time of each detector per frame, in turns, medians over frames with one face."""
    rng = np.random.default_rng(0)
    times: list[list[float]] = [[] for _ in detectors]
    for photograph in studio.faces[:60]:
        image = _frame(photograph, Condition(""), studio, rng).image
        for k, detector in enumerate(detectors):
            given = np.repeat(image[..., None], 3, axis=2) if detector.colour else image
            start = time.perf_counter()
            detector(given)
            times[k].append(time.perf_counter() - start)
    return [1000 * float(np.median(t)) for t in times]


if __name__ == "__main__":
    main()
