from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emofuse.errors import BundleError, SettingsError
from emofuse.fusion import load, save
from emofuse.fusion.saved import FORMAT
from emofuse.fusion.weighted import WeightedFusion
from support.fusion_scores import ABC

TABLE = np.array([[0.25, 0.5, 1.0], [0.75, 0.5, 0.0]], np.float32)
WEIGHTS = WeightedFusion("swf", ("face", "voice"), ABC, TABLE)
MEANING = {"method": "swf", "systems": ["face", "voice"], "labels": ["a", "b", "c"]}


def test_a_loaded_fusion_has_equal_weights_and_names(tmp_path):
    save(tmp_path / "deep" / "swf.safetensors", WEIGHTS)
    loaded = load(tmp_path / "deep" / "swf.safetensors")
    assert (loaded.method, loaded.systems, loaded.label_set) == ("swf", ("face", "voice"), ABC)
    assert np.array_equal(loaded.arrays()["weights"], TABLE)


def test_a_file_names_its_method_systems_and_labels(tmp_path):
    save(tmp_path / "swf", WEIGHTS)
    assert FORMAT.read_meaning(tmp_path / "swf") == MEANING


def written(path: Path, content=None, /, **changed: object) -> Path:
    FORMAT.write(path, content or {"weights": TABLE}, MEANING | changed)
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ["a", "a", "c"]}, "damaged fusion .label set"),
        ({"labels": 3}, "damaged fusion .'int' object is not iterable"),
        ({"systems": ["face"]}, "damaged fusion .weights of swf"),
        ({"method": "stacking"}, "damaged fusion .stacking: no array 'coefficient'"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, changed, message):
    with pytest.raises(BundleError, match=message) as caught:
        load(written(tmp_path / "f", **changed))
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(BundleError, match="damaged"):
        load(written(tmp_path / "f", {"weights": np.full((2, 3), np.nan, np.float32)}))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "f").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="cannot be read as a fusion"):
        load(tmp_path / "f")


def test_a_method_that_is_not_known_here_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"fusion 'swff': unknown .did you mean 'swf'"):
        load(written(tmp_path / "f", method="swff"))
