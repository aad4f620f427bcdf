"""Fitted fusions on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emofuse.core.arrays import ArrayFormat
from emofuse.errors import BundleError, SettingsError
from emofuse.fusion import load, save
from emofuse.fusion.saved import FORMAT
from emofuse.fusion.weighted import WeightedFusion
from support.fusion_scores import ABC

WEIGHTS = np.array([[0.25, 0.5, 1.0], [0.75, 0.5, 0.0]], np.float32)
MEANING = {"method": "swf", "systems": ["face", "voice"], "labels": ["a", "b", "c"]}


def test_a_loaded_fusion_has_equal_bits_and_all_names(tmp_path):
    save(tmp_path / "deep" / "swf.safetensors", WeightedFusion("swf", ("face", "voice"), ABC, WEIGHTS))
    loaded = load(tmp_path / "deep" / "swf.safetensors")
    assert (loaded.method, loaded.systems, loaded.label_set) == ("swf", ("face", "voice"), ABC)
    assert np.array_equal(loaded.arrays()["weights"], WEIGHTS)


def test_a_file_holds_the_names_of_method_systems_and_labels(tmp_path):
    save(tmp_path / "swf", WeightedFusion("swf", ("face", "voice"), ABC, WEIGHTS))
    assert FORMAT.read_meaning(tmp_path / "swf") == MEANING


def written(path: Path, weights: np.ndarray = WEIGHTS, /, **changed: object) -> Path:
    FORMAT.write(path, {"weights": weights}, MEANING | changed)
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ["a", "a", "c"]}, "damaged fusion"),
        ({"labels": 3}, "damaged fusion"),
        ({"systems": ["face"]}, "damaged fusion .weights of swf"),
        ({"method": "stacking"}, "damaged fusion .stacking lacks the array 'coefficient'"),
    ],
)
def test_a_file_with_wrong_content_is_refused_in_one_line(tmp_path, changed, message):
    with pytest.raises(BundleError, match=f"{message}.*fit the fusion again") as caught:
        load(written(tmp_path / "f", **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (ArrayFormat("head", 1, remedy="fit again"), "not a fusion .emofuse head"),
        (ArrayFormat("fusion", 9, remedy="fit again"), "fusion of version 9, this emofuse reads 1"),
    ],
)
def test_a_file_of_another_kind_or_version_is_refused(tmp_path, other, message):
    other.write(tmp_path / "f", {"weights": WEIGHTS}, MEANING)
    with pytest.raises(BundleError, match=message):
        load(tmp_path / "f")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(BundleError, match="damaged"):
        load(written(tmp_path / "f", np.full((2, 3), np.nan, np.float32)))


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = written(tmp_path / "f")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="cannot be read") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        load(tmp_path / "none")


def test_an_unknown_method_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"fusion 'swff': unknown .did you mean 'swf'"):
        load(written(tmp_path / "f", method="swff"))
