"""From scores to a submission: a class for every frame of every entry, checked before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.time import Ints
from emofuse.core.types import Clip, Scores
from emofuse.datasets import DataSet
from emofuse.datasets.affwild2.label_files import rename
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import predicted_classes
from emofuse.evaluation.sources import Source
from emofuse.evaluation.submission_formats import CheckResult, Edition, Image, check_submission, write_submission
from emofuse.fusion import FittedFusion


@dataclass(frozen=True)
class Submitted:
    """A written submission. filled: frames without a score, which got the class of another frame."""

    entries: int
    frames: int
    filled: int
    notes: list[str]


def submit(
    data: DataSet,
    sources: Sequence[Source],
    out: str | Path,
    *,
    edition: Edition,
    split: str = "test",
    fitted: FittedFusion | None = None,
    sample: Sequence[Image] | None = None,
) -> Submitted:
    """Write the predicted class of every frame of a split, by one system or by the fusion of several.

    Args:
        fitted: fuses the sources; required for more than one.
        sample: images of the organisers' sample file (2024 on).
    Raises:
        DataError: an entry has no scores, or the submission would be invalid; nothing is written.
        SettingsError: several sources without a fusion, or a sample for an edition without one.
    """
    if fitted is None and len(sources) != 1:
        raise SettingsError(f"submit: {len(sources)} systems; give one, or the weights to fuse them with --fusion.")
    if sample is not None and not edition.single:
        raise SettingsError(f"--sample: the {edition.name} edition has no sample file; leave it out.")
    labels: dict[str, Ints] = {}
    filled, notes = 0, list[str]()
    for clip in data.split(split):
        scores = _scores(data, sources, clip, fitted)
        filled += int((~scores.valid).sum())
        if not scores.valid.any():
            notes.append(f"{clip.id} has no scores: all its frames are {data.label_set.names[0]}.")
        labels[clip.id] = rename(predicted_classes(scores), data.label_set, edition.label_set)
    checked = write_submission(out, edition, labels, sample=sample)
    unused = [n for n in edition.label_set.names if n not in data.label_set.names]
    if unused:
        notes.append(f"no frame is {', '.join(unused)}: the data set and its systems do not have this class.")
    return Submitted(len(labels), sum(map(len, labels.values())), filled, notes + checked.notes)


def _scores(data: DataSet, sources: Sequence[Source], clip: Clip, fitted: FittedFusion | None) -> Scores:
    frames = data.timeline(clip)
    found = []
    for source in sources:
        scores = source.scores(clip, frames, data.label_set)
        if scores is None:
            raise DataError(
                f"{source.system} has no scores for {clip.id}; a submission needs every frame of every entry."
            )
        found.append(scores.onto(frames))
    return fitted(found) if fitted is not None else found[0]


def check(
    data: DataSet, path: str | Path, *, edition: Edition, split: str = "test", sample: Sequence[Image] | None = None
) -> CheckResult:
    """Check a submission on disk against a split of a data set.

    Raises:
        DataError: there is nothing at the path, or the split cannot be read.
    """
    if not Path(path).exists():
        raise DataError(f"{printable(path)}: there is no such file or folder; give the submission to check.")
    frames = {clip.id: len(data.timeline(clip)) for clip in data.split(split)}
    return check_submission(path, edition, frames, sample=sample)
