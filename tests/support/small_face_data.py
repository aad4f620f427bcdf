"""Small data sets and weights for the trainings of the default bundle's face network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import torch

from emofuse.core.labels import AFFWILD2
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.training import default_face
from emofuse.training import loop as fit
from emofuse.training.loop import FitSettings
from support.fer2013_files import generate_faces, write_random_table

ONCE = FitSettings(epochs=1, batch=16)
SHORT = default_face.DefaultSettings(broad=ONCE, polish=replace(ONCE, seed=1), size=32, fer_part=0.5)


def write_photographs(folder: Path, table: str, header: str, values: list[str]) -> Path:
    """Random images with a table that names them."""
    folder.mkdir(parents=True)
    lines = [header]
    for n, (face, value) in enumerate(zip(generate_faces([k % 7 for k in range(len(values))]), values, strict=True)):
        cv2.imwrite(str(folder / f"face_{n:03d}.png"), face)
        lines.append(f"face_{n:03d}.png,{value}")
    (folder / table).write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def write_face_data(folder: Path) -> Path:
    """A folder with FER-2013, RAF-DB and LFW of random faces."""
    folder.mkdir(parents=True, exist_ok=True)
    write_random_table(folder / "fer2013.csv")
    write_photographs(folder / "rafdb", "labels.csv", "path,label", [AFFWILD2.names[n % 7] for n in range(63)])
    write_photographs(folder / "lfw", "people.csv", "path,person", [f"Person {n // 2}" for n in range(20)])
    return folder


def write_face_weights(path: Path) -> Path:
    """Random weights of MobileFaceNet."""
    net = fit.fresh(MobileFaceNet, seed=0)
    for layer in net.modules():  # without statistics of its layers, its identities would all be nearly equal
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(8, 3, 112, 112, generator=torch.Generator().manual_seed(0)))
    torch.save({k: v for k, v in net.state_dict().items() if not k.startswith("classify")}, path)
    return path
