"""`emofuse train` as a user types it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from emofuse.models.bundle import load
from support.fer2013_files import write_random_table

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("--set", "net.tiny=true", "--set", "fit.batch=14", "--epochs", "1")


def one_line(message: str, *parts: str) -> None:
    assert len(message.strip().splitlines()) == 1, message
    for part in parts:
        assert part in message


def test_a_network_is_trained_on_fer2013_and_the_path_of_its_bundle_printed(run, tmp_path):
    table = write_random_table(tmp_path / "fer2013.csv")
    code, out, _ = run("train", "mobile-fer", "--data", table, "--out", "stage", *TINY)
    assert code == 0
    lines = out.splitlines()
    assert lines[:2] == ["train: 70 faces of 70 images", "validation: 28 faces of 28 images"]
    assert "accuracy" in lines[-2]
    assert "bundle written to stage" in lines[-1]
    assert load("stage").name == "mobile-fer"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("mobile-fer", "--set", "fit.lrr=1"), ["setting fit.lrr", "did you mean 'lr'"]),
        (("mobile-fer", "--set", "net.tinny=true"), ["setting net.tinny", "did you mean 'tiny'"]),
        (("mobile-fer", "--set", "lr=1"), ["setting lr", "fit.lr"]),
        (("mobile-fer", "--set", "fit.lr=fast"), ["fit.lr", "'fast' is not a number"]),
        (("mobile-fer", "--set", "fit.lr"), ["--set fit.lr", "NAME=VALUE"]),
        (("mobile-fer", "--set", "net.augment=papre", *TINY), ["net.augment 'papre'", "paper"]),
        (("mobilefer",), ["'mobilefer'", "did you mean 'mobile-fer'"]),
        (("mobile-fer",), ["starts from the weights 'mobilefacenet'", "--weights"]),
        (("mobile-fer", "--weights", "no.pt"), ["no.pt: cannot be read"]),
        (("mobile-kelm", *TINY), ["fer2013 has single images"]),
        (("default-face",), ["default-face: starts from the weights 'mobilefacenet'", "--weights (from https://"]),
        (("default-face", "--weights", "no.pt"), ["no.pt: cannot be read"]),
        (("default",), ["default: give a folder", "--weights"]),
        (("default", "--epochs", "1"), ["default: has several trainings", "--set face.broad.epochs=N"]),
        (("default", "--weights", "empty"), ["empty: has no model.safetensors or", "put it there"]),
    ],
)
def test_an_invalid_argument_is_reported_in_one_line_with_exit_code_2(run, tmp_path, words, parts):
    table = write_random_table(tmp_path / "fer2013.csv")
    code, _, err = run("train", *words, "--data", table, "--out", "out")
    assert code == 2
    one_line(err, *parts)
    assert not Path("out/bundle.json").exists()


def test_a_faulty_row_is_reported_with_its_line(run, tmp_path):
    table = write_random_table(tmp_path / "fer2013.csv")
    lines = table.read_text().splitlines()
    lines[41] = lines[41].replace(" ", " x", 1)
    table.write_text("\n".join(lines))
    code, _, err = run("train", "mobile-fer", "--data", table, "--out", "out", *TINY)
    assert code == 2
    one_line(err, "fer2013.csv:42: ", "among the pixels")


def test_the_default_face_accepts_a_table_too(run, tmp_path, monkeypatch):
    # Only the data path is tested; tests/training/test_default_face.py tests the training.
    received = {}

    def train(data, weights, training):
        from emofuse.datasets.fer2013.dataset import Fer2013

        received["faces"] = len(Fer2013(data).images("train"))

    monkeypatch.setattr("emofuse.training.default_face.train", train)
    code, _, _ = run(
        "train",
        "default-face",
        "--data",
        write_random_table(tmp_path / "fer2013.csv"),
        "--weights",
        "face.pt",
        "--out",
        "out",
    )
    assert (code, received) == (0, {"faces": 70})


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "emofuse"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, env=environment, timeout=300, check=False
    )


@pytest.mark.slow
def test_two_torchrun_processes_train_one_system_and_print_each_line_once(talk, tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copy(talk, tmp_path / name)
    rows = [f"{n}.mp4,{e},{t},{t + 2},{split}"
            for n, split in (("a", "train"), ("b", "train"), ("c", "validation"))
            for t, e in ((0, "neutral"), (2, "fear"), (4, "anger"))]  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(["path,label,start,end,split", *rows]))
    out = tmp_path / "out"
    words = ("--set", "net.tiny=true", "--set", "fit.batch=8", "--set", "windows.seconds=1", "--epochs", "2")
    done = torchrun("train", "mobile-svm", "--data", tmp_path / "list.csv", "--out", out, *words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(set(lines))
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert lines[-1].startswith("bundle written to")
    assert load(out).window_head() is not None
    assert not list(tmp_path.rglob(".partial-*"))
    assert len(list((out / "faces").glob("*.npy"))) == 1  # the three files have equal content


@pytest.mark.slow
def test_torchrun_is_refused_by_the_default_face(tmp_path):
    done = torchrun(
        "train", "default-face", "--data", write_random_table(tmp_path / "f.csv"), "--out", tmp_path / "out"
    )
    assert done.returncode != 0
    assert "emofuse: default-face: is trained by one process; start it without torchrun." in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_face_detector_is_trained_from_photographs_and_a_table_of_boxes(run, tmp_path):
    faces, columns = [], "path,left,top,width,height,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"
    for split in ("train", "validation"):
        (tmp_path / "images" / split).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / split / "face.png"), np.full((64, 64), 90, np.uint8))
        faces.append(f"{split}/face.png,16,12,32,40,24,28,40,28,32,36,26,44,38,44")
    (tmp_path / "boxes.csv").write_text("\n".join([columns, *faces]))
    short = ("--set", "steps=2", "--set", "batch=2", "--set", "width=64", "--set", "height=64", "--device", "cpu")
    code, out, _ = run("train", "face-detector", "--data", "images", "--out", "net", "--teacher", "boxes.csv", *short)
    assert code == 0
    assert "train: 1 photographs with faces, 0 without" in out
    assert "detector written to net" in out.splitlines()[-1]
    code, _, err = run("train", "face-detector", "--data", "images", "--out", "net", "--epochs", "3")
    assert code == 2
    one_line(err, "face-detector", "--set steps=N")
