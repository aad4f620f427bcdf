"""Checkpoints: one safetensors file that a killed training goes on from, never a pickle.

Tensors are named "part.name"; all that is no tensor is JSON in the file's header. A checkpoint takes the place of the
last one in a single step, so a full disk or a kill leaves the last one whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from emofuse.core.files import atomic
from emofuse.errors import SettingsError

Parts = dict[str, dict[str, Tensor]]

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write(path: Path, parts: Mapping[str, Mapping[str, Tensor]], *, identity: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, one tensor after the other, so that no second copy of the weights is in memory.

    Args:
        identity: what `read` must be asked for.
        state: JSON values.
    Raises:
        OutputError: the disk is full, or the folder cannot be written; the last checkpoint stays.
    """
    tensors = {f"{part}.{name}": t for part, held in parts.items() for name, t in held.items()}
    # Wide numbers first keeps every tensor on a multiple of its own width, as safetensors' own writer does.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"identity": identity, "state": json.dumps(state)}}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": _TYPES[tensors[name].dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic(path) as partial, partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            plain = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(plain.view(torch.uint8).numpy().data)


def read(path: Path, *, identity: str) -> tuple[Parts, dict[str, Any]]:
    """The parts and the state of a checkpoint.

    Raises:
        SettingsError: the file is damaged, or belongs to a training with another identity.
    """
    parts: Parts = {}
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") == identity:
                state = json.loads(metadata["state"])
                for key in file.keys():  # noqa: SIM118 (it is no mapping)
                    part, _, name = key.partition(".")
                    parts.setdefault(part, {})[name] = file.get_tensor(key)
                return parts, state
    except (SafetensorError, ValueError, KeyError) as error:
        raise SettingsError(f"{path}: a damaged checkpoint ({error}); delete it to start anew.") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error}); delete it to start anew.") from None
    raise SettingsError(f"{path}: a checkpoint of a training with other settings; delete it or use another folder.")
