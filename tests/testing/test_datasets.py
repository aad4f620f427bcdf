from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2_8
from emofuse.core.types import Annotation, Clip, Track
from emofuse.datasets import DATASETS, ClipList, DataFormat, open_data
from emofuse.faces.crop import identity_crop
from emofuse.testing import check_dataset
from support.affwild2_folders import VALIDATION, Tree, make_video
from support.fer2013_files import write_random_table

EXTERNAL = '''
"""Data sets of audio files whose names begin with the emotion, such as anger-1.wav."""

from emofuse.core.labels import AFFWILD2
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Annotation, Clip
from emofuse.datasets import DataFormat, DataSet
from emofuse.datasets.statistics import ClipStatistics


class NamedFiles(DataSet):
    def __init__(self, path):
        self.name, self.path, self.label_set = "named-files", path, AFFWILD2
        self.clips = tuple(Clip(p.stem, audio=p, split="train") for p in sorted(path.glob("*.wav")))

    def timeline(self, clip):
        return Timeline.steps(1, end=ticks(1))

    def annotation(self, clip):
        return Annotation(AFFWILD2.encode([clip.id.partition("-")[0]]), self.timeline(clip), AFFWILD2)

    def survey(self):
        for clip in self.clips:
            counts = (AFFWILD2.encode([*AFFWILD2.names]) == self.annotation(clip).labels).astype(int)
            yield ClipStatistics(clip, 0, 1.0, counts, 0)


FORMAT = DataFormat(lambda path: path.is_dir() and any(path.glob("*-1.wav")), NamedFiles, "files such as anger-1.wav")
'''


@pytest.fixture
def tree(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """An Aff-Wild2 folder with two entries."""
    tree = Tree(tmp_path, partial(make_video, tmp_path_factory.mktemp("films")))
    tree.entry("v1")
    tree.entry("v2", folder=VALIDATION)
    return tree


@pytest.fixture
def clip_list(tree: Tree) -> Path:
    path = tree.root / "clips.csv"
    path.write_text("path,label,split\nvideos/batch1/v1.mp4,fear,train\nvideos/batch1/v2.mp4,anger,validation\n")
    return path


def test_aff_wild2_keeps_the_contract(tree):
    check_dataset(DATASETS["affwild2"], tree.root)


def test_a_clip_list_keeps_the_contract(clip_list):
    check_dataset(DATASETS["clip-list"], clip_list)


def test_fer2013_keeps_the_contract(tmp_path):
    check_dataset(DATASETS["fer2013"], write_random_table(tmp_path / "fer2013.csv", train=14, test=7))


def test_a_format_of_another_package_is_one_file_and_an_entry_point(tmp_path, monkeypatch):
    package, data = tmp_path / "package", tmp_path / "data"
    (package / "named_files-1.0.dist-info").mkdir(parents=True)
    (package / "named_files-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: named-files\n")
    entry_point = "[emofuse.datasets]\nnamed-files = named_files:FORMAT\n"
    (package / "named_files-1.0.dist-info" / "entry_points.txt").write_text(entry_point)
    (package / "named_files.py").write_text(EXTERNAL)
    monkeypatch.syspath_prepend(package)
    data.mkdir()
    for name in ("anger-1.wav", "fear-1.wav"):
        (data / name).touch()
    assert open_data(data).name == "named-files"
    check_dataset(DATASETS["named-files"], data)


class Unstable(ClipList):
    runs = iter(range(99))

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.clips = tuple(replace(clip, id=f"{clip.id}-{next(self.runs)}") for clip in self.clips)


class SameIds(ClipList):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.clips = tuple(replace(clip, id="v") for clip in self.clips)


class AnySplit(ClipList):
    def split(self, name: str | None) -> list[Clip]:
        return [clip for clip in self.clips if clip.split == name]


class OtherLabels(ClipList):
    def annotation(self, clip: Clip) -> Annotation:
        return replace(super().annotation(clip), label_set=AFFWILD2_8)


class FloatFaces(ClipList):
    def faces(self, clip: Clip) -> Track | None:
        timeline = self.timeline(clip)
        return Track(np.zeros((len(timeline), 8, 8, 3)), timeline, np.ones(len(timeline), np.bool_), clip.id)


class FramedFloatFaces(FloatFaces):
    face_crop = identity_crop()


class ForgetfulSurvey(ClipList):
    def survey(self) -> Iterator[object]:
        yield next(iter(super().survey()))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Unstable, "opening the data set twice gave different clips"),
        (SameIds, "several clips have the id 'v'"),
        (AnySplit, "an unknown split raises no error"),
        (OtherLabels, "convert them to those of the data set"),
        (FloatFaces, "no face_crop"),
        (FramedFloatFaces, "face images are float64, expected uint8"),
        (ForgetfulSurvey, "v2: readable, but not in the survey"),
    ],
)
def test_the_contract_names_what_a_data_set_breaks(clip_list, kind, message):
    with pytest.raises(AssertionError, match=message):
        check_dataset(DataFormat(DATASETS["clip-list"].recognises, kind, "a clip list"), clip_list)


def test_recognising_an_empty_folder_breaks_the_contract(clip_list):
    with pytest.raises(AssertionError, match="an empty folder is recognised"):
        check_dataset(DataFormat(lambda path: True, ClipList, "a clip list"), clip_list)
