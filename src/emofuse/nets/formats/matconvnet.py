"""MatConvNet networks (`.mat` of MATLAB 5 to 7 or 7.3) as named arrays: `conv1_1/filters`, `conv1_1/biases`.

The network is the variable `net` or the top level of the file; weights are the cell `weights` or the older fields
`filters` and `biases`. MATLAB 7.3 files are HDF5 with the order of axes reversed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from emofuse.errors import WeightsError
from emofuse.nets.formats.kinds import unreadable

KIND = "a MatConvNet file (.mat)"
AVERAGE = "averageImage"
GEOMETRY = ("/stride", "/pad", "/pool")

_TOP = ("net", "layers", "meta", "normalization")
# Fields to read; a network trained in MATLAB also contains momentum, as large as its weights.
_FIELDS = {*_TOP, "name", "type", "weights", "filters", "biases", "stride", "pad", "pool", AVERAGE}


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Arrays of all layers in order: filters [h, w, in, out], biases [out], and the average image.

    A layer without a name is called `layer1`, `layer2` ... by its position.

    Raises:
        WeightsError: the file is missing, truncated, not a MATLAB file, or without the layers of a MatConvNet network.
    """
    try:
        content = _read_hdf5(path) if path.is_file() and h5py.is_hdf5(path) else _read_mat(path)
    except Exception as error:  # the errors of scipy and h5py have no common base class
        raise unreadable(path, KIND, error) from None
    net = content.get("net", content)
    layers = net.get("layers") if isinstance(net, dict) else None
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise WeightsError(f"{path}: not {KIND}: the list `layers` is missing, at the top level and in `net`.")
    arrays: dict[str, NDArray[np.float32]] = {}
    for n, layer in enumerate(layers, start=1):
        for name, array in _layer_arrays(layer, f"layer{n}"):
            if name in arrays:
                raise WeightsError(f"{path}: two arrays have the name {name!r}.")
            arrays[name] = array
    average = _average(net)
    return arrays if average is None else {**arrays, AVERAGE: average}


def _layer_arrays(layer: dict[str, Any], default: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    name = layer.get("name")
    name = name if isinstance(name, str) and name else default
    weights = layer.get("weights")
    arrays = dict(zip(("filters", "biases"), weights, strict=False)) if isinstance(weights, list) else layer
    for n, surplus in enumerate(weights[2:] if isinstance(weights, list) else (), start=3):
        yield f"{name}/weights{n}", surplus
    if isinstance(filters := arrays.get("filters"), np.ndarray) and filters.size:
        # MATLAB drops trailing axes of length 1.
        yield f"{name}/filters", filters.reshape(*filters.shape, *[1] * (4 - filters.ndim))
    if isinstance(biases := arrays.get("biases"), np.ndarray) and biases.size:
        yield f"{name}/biases", biases.ravel()
    for field in (f.removeprefix("/") for f in GEOMETRY):
        if isinstance(layer.get(field), np.ndarray):
            yield f"{name}/{field}", layer[field]


def _average(net: dict[str, Any]) -> NDArray[np.float32] | None:
    for holder in (net.get("meta"), net):
        normalization = holder.get("normalization") if isinstance(holder, dict) else None
        average = normalization.get(AVERAGE) if isinstance(normalization, dict) else None
        if isinstance(average, np.ndarray) and average.size:
            return average
    return None


# MATLAB values become Python values: a struct a dict, a struct array or cell a list, text a str, numbers an array.


def _read_mat(path: Path) -> dict[str, Any]:
    content = loadmat(path, variable_names=_TOP)
    return {k: _from_mat(v) for k, v in content.items() if k in _TOP}


def _from_mat(value: Any) -> Any:
    if value.dtype.names is not None:
        fields = [f for f in value.dtype.names if f in _FIELDS]
        structs = [{f: _from_mat(struct[f]) for f in fields} for struct in value.ravel(order="F")]
        return structs[0] if len(structs) == 1 else structs
    if value.dtype == object:
        return [_from_mat(cell) for cell in value.ravel(order="F")]
    if value.dtype.kind == "U":
        return str(value.ravel()[0]) if value.size else ""
    return value


def _read_hdf5(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return {k: _from_hdf5(file[k], file) for k in _TOP if k in file}


def _from_hdf5(value: h5py.Group | h5py.Dataset, file: h5py.File) -> Any:
    if isinstance(value, h5py.Group):
        fields = {k: v for k, v in value.items() if k in _FIELDS}
        # The fields of a struct array are lists of references that are not cells.
        if any(_refers(v) and "MATLAB_class" not in v.attrs for v in fields.values()):
            columns = {k: [_from_hdf5(file[r], file) for r in _references(v)] for k, v in fields.items()}
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return {k: _from_hdf5(v, file) for k, v in fields.items()}
    if _refers(value):
        return [_from_hdf5(file[r], file) for r in _references(value)]
    matlab_class = value.attrs.get("MATLAB_class", b"")
    if value.attrs.get("MATLAB_empty", 0):  # its data hold the shape
        return [] if matlab_class == b"cell" else "" if matlab_class == b"char" else np.zeros(0, np.float32)
    numbers = np.asarray(value).T
    return "".join(map(chr, numbers.ravel(order="F"))) if matlab_class == b"char" else numbers


def _refers(value: Any) -> bool:
    return isinstance(value, h5py.Dataset) and value.dtype == h5py.ref_dtype


def _references(value: h5py.Dataset) -> list[h5py.Reference]:
    return list(np.asarray(value).T.ravel(order="F"))
