from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import WeightsError

h5py = pytest.importorskip("h5py")

from emofuse.nets.formats import keras  # noqa: E402
from support.weight_files import write_keras  # noqa: E402 (h5py may be missing)


def layers() -> dict[str, dict[str, np.ndarray]]:
    return {
        "conv1/7x7_s2": {"kernel": np.arange(6.0)},
        "conv1/7x7_s2/bn": {"gamma": np.ones(2), "moving_mean": np.zeros(2)},
        "activation_1": {},
        "conv2_1_1x1_reduce": {"kernel": np.arange(3.0)},
    }


def test_layers_with_slashes_in_their_names_are_read_separately(tmp_path):
    arrays = keras.read(write_keras(tmp_path / "w.h5", layers()))
    expected = {f"{layer}/{w}": a for layer, weights in layers().items() for w, a in weights.items()}
    assert list(arrays) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_numbers_that_keras_adds_to_weight_names_are_removed(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = ["conv_1"]
        group = file.create_group("conv_1")
        group.attrs["weight_names"] = ["conv_1_1/kernel:0"]
        group["conv_1_1/kernel:0"] = np.ones(2)
    assert list(keras.read(tmp_path / "w.h5")) == ["conv_1/kernel"]


def test_lists_that_keras_split_are_read_completely(tmp_path):
    path = write_keras(tmp_path / "w.h5", layers())
    with h5py.File(path, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]
    assert list(keras.read(path))[-1] == "conv2_1_1x1_reduce/kernel"


def test_an_hdf5_file_without_layers_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["kernel"] = np.ones(2)
    with pytest.raises(WeightsError, match=r"an HDF5 file, but not a Keras weight file .* layer_names is missing"):
        keras.read(tmp_path / "w.h5")


def test_a_list_that_names_a_missing_array_is_refused(tmp_path):
    path = write_keras(tmp_path / "w.h5", layers())
    with h5py.File(path, "r+") as file:
        del file["conv1/7x7_s2/conv1/7x7_s2/kernel:0"]
    with pytest.raises(WeightsError, match="kernel:0"):
        keras.read(path)
