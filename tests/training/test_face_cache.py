from __future__ import annotations

import os
import tracemalloc
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emofuse.core.types import Clip, Track
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.image_folder import ImageFolder
from emofuse.errors import DataError, MediaError, OutputError
from emofuse.faces.crop import BoxCrop
from emofuse.faces.detector import Face
from emofuse.faces.pose import HeadModel
from emofuse.inference.face_stages import FaceStages
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import Session
from emofuse.media.images import encode_jpeg
from emofuse.training.face_cache import Embeddings, FaceSource
from support.media_files import moving_bar, write_media


class Blind:
    """A detector that finds no face."""

    identity = "blind"
    colour = True
    certain_score = 0.85
    head_model = HeadModel()

    def __call__(self, image: np.ndarray) -> list[Face]:
        return []


@dataclass
class Walking:
    """A detector that finds a face where the light bar of `moving_bar` is, and a smaller one in a corner."""

    identity = "walking"
    colour = True
    certain_score = 0.85
    calls: int = 0

    def __call__(self, image: np.ndarray) -> list[Face]:
        self.calls += 1
        box = np.array([self.calls % 20, 10, 24, 24], np.float32)
        corner = np.array([50, 30, 12, 12], np.float32)
        faces = [Face(box, 1.0, None)]
        return [*faces, Face(corner, 1.0, None)] if self.calls % 2 else faces


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_media(tmp_path / "film.mp4", moving_bar(60))


def source_of(folder: Path, detector: Any = None) -> FaceSource:
    (folder / "list.csv").write_text("path,label\nfilm.mp4,fear\n")
    chosen = detector or Walking()
    return FaceSource(ClipList(folder / "list.csv"), BoxCrop(16), chosen, folder / "faces", Fraction(10))


class Unscored:
    """Takes the place of a scorer and returns the crops themselves."""

    batch = 16

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        return crops


def test_cropped_faces_equal_those_of_a_session(film, tmp_path):
    from emofuse.media.video import VideoReader

    source = source_of(tmp_path)
    track = source(source.data.clips[0])
    sampling = Sampling(Fraction(10))
    session = Session(sampling, faces=FaceStages(BoxCrop(16), Walking(), Unscored()).stream(sampling))
    with VideoReader(film) as reader:
        rows = sampling.wanted(reader.timeline)
        faces = [o for f in reader.frames(rows) for o in session.push_frames([f]).faces]
        faces += session.close(reader.end).faces
        starts = reader.timeline[rows].start
    persons = [o.person for o in faces]
    main = max(set(persons), key=persons.count)
    expected = {rows.tolist().index(o.frame): o.values for o in faces if o.person == main}
    assert len(persons) > len(expected)  # another person is found too
    assert track.timeline.start.tolist() == starts.tolist()
    assert np.flatnonzero(track.valid).tolist() == sorted(expected)
    for row, face in expected.items():
        assert (track.values[row] == face).all()


def test_faces_are_cropped_once_and_then_read_from_disk(film, tmp_path):
    detector = Walking()
    source = source_of(tmp_path, detector)
    first = source(source.data.clips[0])
    calls = detector.calls
    again = source(source.data.clips[0])
    assert detector.calls == calls
    assert not isinstance(again.values, np.ndarray)  # they are read on access
    assert np.array_equal(first.values, again.values)
    assert sorted(p.suffix for p in (tmp_path / "faces").iterdir()) == [".npy", ".safetensors"]


@dataclass
class Two:
    """A detector that finds a small face on the left and a large one on the right."""

    identity = "two"
    colour = True
    certain_score = 0.85
    head_model = HeadModel()

    def __call__(self, image: np.ndarray) -> list[Face]:
        return [Face(np.array(box, np.float32), 1.0, None) for box in ([2, 2, 8, 8], [20, 20, 16, 16])]


def test_the_face_of_a_photograph_is_the_largest_one(tmp_path):
    image = np.zeros((40, 40, 3), np.uint8)
    image[20:36, 20:36] = 200
    (tmp_path / "sad").mkdir()
    (tmp_path / "sad/a.jpg").write_bytes(encode_jpeg(image))
    data = ImageFolder(tmp_path)
    track = FaceSource(data, BoxCrop(16), Two(), tmp_path / "faces", Fraction(5))(data.clips[0])
    assert (track.timeline, track.valid.tolist()) == (data.timeline(data.clips[0]), [True])
    assert np.asarray(track.values).mean() > 150


def test_a_photograph_without_a_face_has_none(tmp_path):
    (tmp_path / "sad").mkdir()
    (tmp_path / "sad/a.jpg").write_bytes(encode_jpeg(np.zeros((40, 40, 3), np.uint8)))
    data = ImageFolder(tmp_path)
    track = FaceSource(data, BoxCrop(16), Blind(), tmp_path / "faces", None)(data.clips[0])
    assert track.valid.tolist() == [False]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_damaged_files_of_faces_are_written_again(film, tmp_path, suffix):
    source = source_of(tmp_path)
    whole = np.array(source(source.data.clips[0]).values)
    (kept,) = (tmp_path / "faces").glob(f"*{suffix}")
    kept.write_bytes(kept.read_bytes()[:100])
    assert (source_of(tmp_path)(source.data.clips[0]).values == whole).all()


def test_memory_does_not_grow_with_the_number_of_faces(tmp_path):
    write_media(tmp_path / "film.mp4", moving_bar(400))
    source = replace(source_of(tmp_path), crop=BoxCrop(112), rate_hz=None)
    tracemalloc.start()
    track = source(source.data.clips[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.prod(track.values.shape) > 12e6
    assert peak < 4e6


def test_a_changed_video_has_another_identity(film, tmp_path):
    source = source_of(tmp_path)
    before = source.find(source.data.clips[0]).identity()
    write_media(film, moving_bar(60, 80, 48))
    assert source.find(source.data.clips[0]).identity()["video"] != before["video"]


def test_all_rows_of_a_video_without_a_face_are_invalid(film, tmp_path):
    source = source_of(tmp_path, Blind())
    track = source(source.data.clips[0])
    assert len(track.values) == len(track.timeline) == 20
    assert not track.valid.any()
    assert not np.asarray(track.values).any()


def test_a_full_disk_leaves_no_partial_file(film, tmp_path, monkeypatch):
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = source_of(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full; no partial file was left"):
        source(source.data.clips[0])
    assert list((tmp_path / "faces").iterdir()) == []


def test_a_clip_without_video_is_refused(tmp_path):
    source = source_of(tmp_path)
    with pytest.raises(DataError, match="voice: has no video, so there are no faces"):
        source(Clip("voice", audio=tmp_path / "voice.wav"))


def test_a_missing_video_is_named(tmp_path):
    source = source_of(tmp_path)
    with pytest.raises(DataError, match=r"film\.mp4: cannot be read \(No such file or directory\)"):
        source(source.data.clips[0])


def test_a_video_that_cannot_be_decoded_is_named_and_leaves_no_file(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"not a video\n" * 100)
    source = source_of(tmp_path)
    with pytest.raises(MediaError, match=r"film\.mp4"):
        source(source.data.clips[0])
    assert list((tmp_path / "faces").iterdir()) == []


class Counting(AffWild2):
    """Counts how often images are listed."""

    listed = 0

    def faces(self, clip: Clip, folder: str = "cropped_aligned") -> Track:
        self.listed += 1
        return super().faces(clip, folder)


class MeanColour:
    """A scorer that returns the mean of each colour."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        self.calls += 1
        return crops.mean(axis=(1, 2)).astype(np.float32)


def test_embeddings_list_the_images_of_a_clip_once_and_read_no_video(corpus, tmp_path, monkeypatch):
    data = Counting(corpus[0])
    source = FaceSource(data, BoxCrop(16), Walking(), tmp_path / "faces")
    monkeypatch.setattr("emofuse.training.face_cache.file_digest", pytest.fail)
    scorer = MeanColour()
    embeddings = Embeddings(source, scorer, "mean", tmp_path / "embeddings")
    clip = data.split("train")[0]
    track = embeddings(clip)
    assert data.listed == 1
    rows = np.flatnonzero(track.valid)
    np.testing.assert_allclose(track.values[rows], np.asarray(source(clip).values[rows]).mean(axis=(1, 2)), rtol=1e-5)
    calls = scorer.calls
    assert (embeddings(clip).values == track.values).all()
    assert scorer.calls == calls
    assert replace(source, rate_hz=None).find(clip).identity() != source.find(clip).identity()
