"""The contract of writers of results (`emofuse.export.Writer`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.errors import OutputError
from emofuse.export import Writer
from emofuse.inference.face_rows import FaceRows
from emofuse.inference.prediction import Prediction

if TYPE_CHECKING:
    import pandas as pd

LABELS = LabelSet(("neutral", "anger", "happiness"))


def check_writer(writer: Writer) -> None:
    """Hold a writer to the contract of `emofuse.export.Writer`, on a small synthetic result.

    It writes one file, and its companions, for tables with and without rows; equal tables have equal bytes, another
    emotion other ones; the blocks are read once; an error while they are read leaves an earlier file as it was; a
    folder that cannot be written is an `OutputError`.

    Raises:
        AssertionError: the writer violates the contract; the message says how.

    >>> from emofuse.export import WRITERS
    >>> check_writer(WRITERS["csv"])
    """
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / f"result{writer.extension}"
        content = _written(writer, prediction(), path)
        assert content, "the file is empty."
        expected = sorted(p.name for p in writer.paths(path))
        found = sorted(p.name for p in folder.iterdir())
        assert found == expected, f"the folder has {found}; write {', '.join(expected)} only."
        assert _written(writer, prediction(), path) == content, "the same table was written as other bytes."
        assert _written(writer, prediction(turned=True), path) != content, "another emotion did not change the file."
        _check_no_rows(writer, path)
        _check_errors(writer, path)


def prediction(*, turned: bool = False) -> Prediction:
    """Two persons over four steps, with a row before the first frame, rows without a face, and an uncertain row."""
    timeline = Timeline.steps(2, end=ticks(2))
    values = np.array([[3, 1, 0], [3, 1, 0], [1, 4, 1], [2, 2, 1]], np.float32)
    values = values[:, [2, 1, 0]] if turned else values
    valid = np.array([False, True, True, True])
    scores = {1: Scores(values, timeline, LABELS, valid, "x"), 2: Scores(values, timeline, LABELS, ~valid, "x")}
    metadata = {"bundle": "synthetic 1", "detector": "none", "warnings": ["the file is cut off"]}
    frames = np.array([-1, 0, 7, 15])
    boxes = np.array([[0.25, 0.125, 0.25, 0.5, 0.75, -20.0, np.nan, 5.0]])
    faces = {p: FaceRows(np.where(s.valid[:, None], boxes, np.nan), np.zeros(4, bool)) for p, s in scores.items()}
    found = Prediction('two, "people" ä.mp4', timeline, frames, LABELS, scores, metadata, min_confidence=0.5)
    return replace(found, faces=faces)


def _written(writer: Writer, result: Prediction, path: Path) -> bytes:
    writer.write(replace(result.result_table(), blocks=_read_once(result)), path)
    assert path.is_file(), f"{path.name} was not written."
    return path.read_bytes()


def _read_once(result: Prediction) -> Iterator[pd.DataFrame]:
    yield from result.blocks()


def _check_no_rows(writer: Writer, path: Path) -> None:
    result = prediction()
    empty = {p: s.onto(Timeline.empty()) for p, s in result.scores.items()}
    _written(
        writer, replace(result, timeline=Timeline.empty(), frames=np.empty(0, np.int64), scores=empty, faces={}), path
    )
    _written(writer, Prediction.empty("empty.mp4", metadata=result.metadata), path)


def _check_errors(writer: Writer, path: Path) -> None:
    result = prediction()
    content = _written(writer, result, path)

    def interrupted() -> Iterator[pd.DataFrame]:
        yield next(result.blocks())
        raise KeyboardInterrupt

    try:
        writer.write(replace(result.result_table(), blocks=interrupted()), path)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("an exception while the blocks were read was swallowed; let it pass.")
    assert path.read_bytes() == content, "an interrupted write changed the earlier file; write to a temporary file."
    left = {p.name for p in path.parent.iterdir()} - {p.name for p in writer.paths(path)}
    assert not left, "an interrupted write left a temporary file."
    try:
        _written(writer, result, path / path.name)
    except OutputError:
        return
    raise AssertionError("a file was written below another file.")
