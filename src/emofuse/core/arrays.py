"""Named arrays with their meaning on disk: safetensors files with JSON metadata, no pickle.

An `ArrayFormat` names what a file holds and the version of its layout. Equal content is written as equal bytes, whole
or not at all. Arrays are NumPy arrays, or torch tensors that `as_bytes` and `framework` say how to convert.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic
from emofuse.errors import BundleError, EmofuseError

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


@dataclass(frozen=True)
class ArrayFormat:
    """A kind of file that holds arrays.

    kind: what a file holds, as error messages name it: "fusion".
    version: of its arrays and meaning; files of other versions are refused.
    remedy: the end of error messages: "fit the fusion again".
    error: class of the errors.

    >>> from tempfile import TemporaryDirectory
    >>> masses = ArrayFormat("table of masses", 1, remedy="weigh again")
    >>> with TemporaryDirectory() as folder:
    ...     masses.write(Path(folder) / "m", {"kg": np.array([1.0, 2.0])}, {"names": ["a", "b"]})
    ...     arrays, meaning = masses.read(Path(folder) / "m")
    >>> arrays["kg"], meaning
    (array([1., 2.]), {'names': ['a', 'b']})
    """

    kind: str
    version: int
    remedy: str
    error: Callable[[str], EmofuseError] = BundleError

    def write(
        self,
        path: str | Path,
        arrays: Mapping[str, Any],
        meaning: Mapping[str, Any] = MappingProxyType({}),
        *,
        as_bytes: Callable[[Any], NDArray[np.uint8]] = _as_bytes,
    ) -> None:
        """Write a file, one array after the other, so that no second copy of all of them is in memory.

        Args:
            meaning: JSON values.
            as_bytes: the bytes of one array; default: for NumPy arrays.
        Raises:
            OutputError: the folder cannot be written, or the disk is full; an earlier file is kept.
        """
        # Wide numbers first: every array then starts at a multiple of its item size.
        names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
        about = {"kind": self._kind, "version": str(self.version), "meaning": _json(dict(meaning))}
        header: dict[str, Any] = {"__metadata__": about}
        end = 0
        for name in names:
            array = arrays[name]
            start, end = end, end + array.nbytes
            dtype = _DTYPES[str(array.dtype).removeprefix("torch.")]
            header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
        text = _json(header).encode()
        text += b" " * (-len(text) % 8)
        with atomic(path) as partial, partial.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                file.write(as_bytes(arrays[name]).data)

    def read(self, path: str | Path, *, framework: str = "numpy") -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the meaning of a file.

        Args:
            framework: of the arrays: "numpy", or "pt" for torch tensors.
        Raises:
            EmofuseError: the file is missing, damaged, of another kind or of another version.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise self.error(f"{path}: no such file; expected a {self.kind}.")
        try:
            with safe_open(path, framework=framework) as file:
                meaning = self._meaning(path, file.metadata() or {})
                return {name: file.get_tensor(name) for name in file.keys()}, meaning  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, EmofuseError):
                raise
            raise self.error(f"{path}: cannot be read as a {self.kind} ({error}); {self.remedy}.") from None

    def read_meaning(self, path: str | Path) -> dict[str, Any] | None:
        """The meaning of a file without its arrays; None if it is not a file of this format."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                return self._meaning(path, file.metadata() or {})
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, EmofuseError):
            return None

    def damaged(self, path: str | Path, reason: object) -> EmofuseError:
        """The error for a file whose content is not what its format requires."""
        return self.error(f"{path}: damaged {self.kind} ({str(reason).rstrip('.')}); {self.remedy}.")

    @property
    def _kind(self) -> str:
        return f"emofuse {self.kind}"

    def _meaning(self, path: str | Path, about: Mapping[str, str]) -> dict[str, Any]:
        found = about.get("kind", "a file of another program")
        if found != self._kind:
            raise self.error(f"{path}: not a {self.kind} ({found}); give one that emofuse has written.")
        if about.get("version") != str(self.version):
            raise self.error(
                f"{path}: {self.kind} of version {about.get('version')}, this emofuse reads {self.version}; "
                f"update emofuse, or {self.remedy}."
            )
        meaning: dict[str, Any] = json.loads(about["meaning"])
        return meaning


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
