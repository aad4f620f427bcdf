"""Names of results: one stem per input file, unique within an output folder and kept by later runs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from emofuse.core.files import NAME_BYTES, decoded, digest, locked, shortened, write_bytes

_RESERVED = frozenset({"names", "format", "summary"})  # files of the folder itself
_STEM_BYTES = NAME_BYTES - len(".traceback.txt")


def claim_stems(files: Sequence[Path], records: Path) -> list[str]:
    """A stem for each file: its own, or more of the path where another file of this or an earlier run has it.

    Which file has which stem is kept in `names.json`. A file that is gone loses its stem.

    Args:
        records: folder of `names.json`, which several runs may share.
    Raises:
        OutputError: the folder cannot be written.
    """
    path = records / "names.json"
    with locked(records / "names.lock"):
        owners = _owners(path)
        stems = _stems(files, owners)
        owners |= {stem.lower(): os.path.abspath(file) for stem, file in zip(stems, files, strict=True)}
        write_bytes(path, json.dumps(owners, indent=1, sort_keys=True).encode("ascii"))
    return stems


def release_stems(files: Sequence[Path], records: Path) -> None:
    """Give up the stems of files that have no results, so that others can have them.

    Raises:
        OutputError: the folder cannot be written.
    """
    path, released = records / "names.json", {os.path.abspath(file) for file in files}
    with locked(records / "names.lock"):
        kept = {stem: file for stem, file in _owners(path).items() if file not in released}
        write_bytes(path, json.dumps(kept, indent=1, sort_keys=True).encode("ascii"))


def _owners(path: Path) -> dict[str, str]:
    """Absolute paths of files by their stems in lower case, as some file systems ignore case."""
    try:
        return {str(stem): str(file) for stem, file in json.loads(path.read_text("ascii")).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _stems(files: Sequence[Path], owners: Mapping[str, str]) -> list[str]:
    claimed = {file: stem for stem, file in owners.items()}
    names = [_names(file, n, claimed.get(os.path.abspath(file))) for n, file in enumerate(files, 1)]
    level = [0] * len(files)
    while True:
        stems = [choice[k] for choice, k in zip(names, level, strict=True)]
        count = Counter(stem.lower() for stem in stems)
        shared = [
            n
            for n, stem in enumerate(stems)
            if level[n] + 1 < len(names[n])
            and (
                count[stem.lower()] > 1
                or stem.lower() in _RESERVED
                or _is_of_another(files[n], owners.get(stem.lower()))
            )
        ]
        if not shared:
            return stems
        for n in shared:
            level[n] += 1


def _names(file: Path, number: int, claimed: str | None) -> list[str]:
    """Possible stems of a file, or only the one that it has, from short to long.

    Names that are too long are cut, and bytes that are not UTF-8 are escaped: every program can open the results.
    """
    longer = ("__".join((*file.parts[-2:-1], file.name)), f"{number:04d}-{file.name}")
    unique = digest({"file": os.path.abspath(file)})[:12]
    names = [file.stem, file.name, *longer, f"{unique}-{file.name}"]
    stems = [shortened(decoded(name).replace("\\", "_"), _STEM_BYTES) for name in names]
    return [stem for stem in stems if stem.lower() == claimed][:1] or stems


def _is_of_another(file: Path, owner: str | None) -> bool:
    if owner is None or not os.path.exists(owner):
        return False
    try:
        return not os.path.samefile(file, owner)
    except OSError:
        return True
