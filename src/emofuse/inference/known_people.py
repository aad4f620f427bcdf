"""Photographs of people whose names are to be in the results: `--people DIR`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import decoded, digest, file_digest, printable
from emofuse.errors import DataError, SettingsError
from emofuse.faces.detector import Face
from emofuse.inference.face_stages import FaceStages
from emofuse.media.images import IMAGE_SUFFIXES, luma_of, read_image
from emofuse.models.face import FaceOutputs


@dataclass(frozen=True, eq=False)
class KnownPeople:
    """Identities float32 [photographs, d] by name, and a digest of the names and of the photographs."""

    identities: Mapping[str, NDArray[np.float32]]
    digest: str


def read_known_people(folder: Path, stages: FaceStages) -> KnownPeople:
    """Find the face in each photograph of a folder: `Anna.jpg`, or any number of them in a sub-folder `Anna/`.

    stages: with a detector for photographs and a scorer that returns identities.

    Raises:
        SettingsError: the folder has no photographs, or one of them shows nobody or several people, or has two names.
        DataError: a photograph cannot be read.
    """
    photographs = _photographs(folder)
    if not photographs:
        raise SettingsError(
            f"--people {printable(folder)}: no photographs in it; give a folder with one file or sub-folder per name."
        )
    files = {name: [file_digest(path) for path in paths] for name, paths in photographs.items()}
    _check_names(folder, files)
    identities = {name: np.stack([_identity(p, stages) for p in paths]) for name, paths in photographs.items()}
    return KnownPeople(identities, digest(files))


def _check_names(folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Check that no photograph is that of two people: the second one would be found in somebody else."""
    names: dict[str, str] = {}
    for name, digests in files.items():
        for each in digests:
            if (other := names.setdefault(each, name)) != name:
                raise SettingsError(
                    f"--people {printable(folder)}: {other} and {name} have the same photograph; remove one of them."
                )


def _photographs(folder: Path) -> dict[str, list[Path]]:
    """The photographs by name, sorted."""
    found: dict[str, list[Path]] = {}
    try:
        for entry in sorted(folder.iterdir()):
            inside = sorted(entry.iterdir()) if entry.is_dir() else [entry]
            if paths := [path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES]:
                found.setdefault(decoded(entry.name if entry.is_dir() else entry.stem), []).extend(paths)
    except OSError as error:
        raise SettingsError(
            f"--people {printable(folder)}: not a folder that can be read ({error.strerror})."
        ) from None
    return found


def _identity(path: Path, stages: FaceStages) -> NDArray[np.float32]:
    try:
        image = read_image(path)
    except DataError as error:
        raise DataError(f"--people: {error}") from None
    faces: list[Face] = stages.detector(image if stages.detector.colour else luma_of(image))
    if len(faces) != 1:
        found = "no face was found; give one that shows the person from the front"
        if faces:
            found = f"{len(faces)} faces were found; cut it to the face of the person who has this name"
        raise SettingsError(f"--people {printable(path)}: {found}.")
    outputs = stages.scorer(stages.crop(image, faces[0])[None])
    assert isinstance(outputs, FaceOutputs)
    assert outputs.identities is not None
    return np.asarray(outputs.identities[0], np.float32)
