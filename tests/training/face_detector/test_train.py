"""A short training of a face detector on drawn faces, from photographs to the exported network."""

import csv

import cv2
import numpy as np
import pytest
import torch

from emofuse.errors import DataError, WeightsError
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import Face
from emofuse.nets.face_detector import FaceDetectorNet
from emofuse.training.face_detector.export import export_detector
from emofuse.training.face_detector.fit import CHECKPOINT, DetectorSettings, fit_detector
from emofuse.training.face_detector.loss import predicted
from emofuse.training.face_detector.photographs import confusing_parts, read_labels, studio, table_labels
from emofuse.training.face_detector.train import DetectorTraining, train_detector

SETTINGS = DetectorSettings(steps=4, batch=2, width=64, height=64, warmup=1)
POINTS = np.float32([[24, 28], [40, 28], [32, 36], [26, 44], [38, 44]])


class Teacher:
    """Knows that every image with a bright middle shows a face there."""

    identity, colour = "teacher", False

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        border = (len(image) - 64) // 2
        if image[border + 32, border + 32] < 150:
            return []
        return [Face(np.float32([border + 16, border + 12, 32, 40]), 0.9, POINTS + border)]


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 4), ("validation", 2)):
        for kind in ("people", "backgrounds"):
            folder = tmp_path / "images" / split / kind
            folder.mkdir(parents=True)
            for k in range(n):
                image = rng.integers(0, 100, (64, 64)).astype(np.uint8)
                if kind == "people":
                    cv2.ellipse(image, (32, 32), (16, 20), 0, 0, 360, 200, -1)
                cv2.imwrite(str(folder / f"{k}.png"), image)
    return tmp_path / "images"


def test_a_training_ends_with_a_detector_and_its_accuracy(photographs, tmp_path):
    lines = []
    training = DetectorTraining(photographs, tmp_path / "out", Teacher(), SETTINGS, "cpu")
    accuracy = train_detector(training, report=lines.append)
    assert 0 <= accuracy.recall <= 1
    assert "train: 4 photographs with faces, 4 without" in lines
    assert "validation: 2 photographs with faces, 2 without" in lines
    assert isinstance(DefaultDetector(tmp_path / "out/face_detector.onnx")(np.zeros((50, 70), np.uint8)), list)


def test_images_are_labelled_once(photographs, tmp_path):
    teacher = Teacher()
    for _ in range(2):
        train_detector(DetectorTraining(photographs, tmp_path / "out", teacher, SETTINGS, "cpu"))
    assert teacher.calls == 12
    boxes, landmarks, certain = read_labels(tmp_path / "out/labels.safetensors")["train/people/0.png"]
    assert boxes.tolist() == [[16, 12, 48, 52]]
    assert np.array_equal(landmarks[0], POINTS)
    assert certain.all()


def test_a_killed_training_ends_as_one_that_was_not(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("emofuse.training.face_detector.fit._SAVED_EVERY", 2)
    labels = table(tmp_path / "boxes.csv", [f"train/people/{k}.png" for k in range(4)])
    paths = sorted(photographs.glob("train/*/*.png"))
    images = studio(photographs, paths, table_labels(labels))

    def stop(done, loss):
        raise KeyboardInterrupt

    whole = fit_detector(images, SETTINGS, tmp_path / "whole", device_name="cpu", progress=lambda *_: None)
    killed = DetectorSettings(**{**vars(SETTINGS), "steps": 4})
    monkeypatch.setattr(
        "emofuse.training.face_detector.fit.export_detector", lambda *_: (_ for _ in ()).throw(KeyError)
    )
    with pytest.raises(KeyError):
        fit_detector(images, killed, tmp_path / "killed", device_name="cpu", progress=stop)
    monkeypatch.setattr("emofuse.training.face_detector.fit.export_detector", export_detector)
    resumed = fit_detector(images, killed, tmp_path / "killed", device_name="cpu", progress=lambda *_: None)
    assert resumed.read_bytes() == whole.read_bytes()


def table(path, names):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "left", "top", "width", "height", *(f"{a}{n}" for n in range(1, 6) for a in "xy")])
        for name in names:
            writer.writerow([name, 16, 12, 32, 40, *POINTS.ravel()])
    return path


def test_a_table_of_boxes_replaces_the_teacher(photographs, tmp_path):
    labels = table_labels(table(tmp_path / "boxes.csv", ["train/people/0.png"]))
    boxes, landmarks, certain = labels["train/people/0.png"]
    assert boxes.tolist() == [[16, 12, 48, 52]]
    assert np.array_equal(landmarks[0], POINTS)
    assert certain.tolist() == [True]


def test_a_table_without_a_column_says_which(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("path,left,top,width\na.png,1,2,3\n")
    with pytest.raises(DataError, match="has no column height, x1"):
        table_labels(path)


def test_a_folder_without_faces_is_refused(photographs, tmp_path):
    for path in photographs.glob("*/people/*"):
        path.unlink()
    with pytest.raises(DataError, match="no face was found"):
        train_detector(DetectorTraining(photographs, tmp_path / "out", Teacher(), SETTINGS, "cpu"))


def test_the_exported_network_predicts_what_the_torch_network_does(tmp_path):
    torch.manual_seed(0)
    net = FaceDetectorNet().eval()
    with torch.no_grad():
        for module in net.modules():  # float16 keeps these weights exactly
            for weight in module.parameters(recurse=False):
                weight.copy_(weight.half().float())
        for head in net.heads:
            head[-1].bias[0] = 0.5
    export_detector(net, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_size < 300_000
    image = np.random.default_rng(0).integers(0, 256, (64, 96)).astype(np.uint8)
    cells = predicted(net(torch.from_numpy(image)[None, None]))
    faces = DefaultDetector(tmp_path / "net.onnx", min_score=0.0, iou=1.0)(image)
    order = cells.logits[0].argsort(descending=True, stable=True)
    assert len(faces) == len(order)
    assert np.allclose([f.score for f in faces], cells.logits[0].sigmoid()[order].detach(), atol=2e-3)
    assert np.allclose(faces[0].landmarks, cells.landmarks[0, order[0]].detach(), atol=0.5)


def test_a_training_starts_from_the_weights_of_another(photographs, tmp_path):
    labels = table_labels(table(tmp_path / "boxes.csv", ["train/people/0.png"]))
    images = studio(photographs, sorted(photographs.glob("train/people/*.png")), labels)
    options = {"device_name": "cpu", "progress": lambda *_: None}
    first = fit_detector(images, SETTINGS, tmp_path / "first", **options)
    still = DetectorSettings(**{**vars(SETTINGS), "lr": 0.0})
    fit_detector(images, still, tmp_path / "second", start=tmp_path / "first", **options)
    weights = [torch.load(tmp_path / name / CHECKPOINT, weights_only=True)["averaged"] for name in ("first", "second")]
    name = "module.stem.0.weight"
    assert torch.equal(weights[0][name], weights[1][name])
    with pytest.raises(WeightsError, match="folder of a training of the face detector"):
        fit_detector(images, still, tmp_path / "third", start=first, **options)


def test_what_confuses_a_detector_is_cut_out_with_its_surroundings():
    class Confused:
        def candidates(self, image):
            return np.float32([[40, 30, 10, 12]])

    parts = confusing_parts([np.arange(100 * 200, dtype=np.uint8).reshape(100, 200)], Confused())
    assert [part.shape for part in parts] == [(30, 30)] + [(50 - 21, 30)] * 4
