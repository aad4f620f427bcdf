from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

from emofuse.errors import BundleError, SettingsError
from emofuse.fusion import load, save
from emofuse.fusion.saved import KIND, VERSION
from emofuse.fusion.weighted import WeightedFusion
from support.fusion_scores import ABC

TABLE = np.array([[0.25, 0.5, 1.0], [0.75, 0.5, 0.0]], np.float32)
ABOUT = {
    "kind": KIND,
    "version": VERSION,
    "method": "swf",
    "systems": '["face", "voice"]',
    "labels": '["a", "b", "c"]',
    "arrays": '["weights"]',
}


def test_weights_come_back_to_the_bit_with_all_names(tmp_path):
    save(tmp_path / "deep" / "swf.safetensors", WeightedFusion("swf", ("face", "voice"), ABC, TABLE))
    loaded = load(tmp_path / "deep" / "swf.safetensors")
    assert (loaded.method, loaded.systems, loaded.label_set) == ("swf", ("face", "voice"), ABC)
    assert np.array_equal(loaded.arrays()["weights"], TABLE)


def test_a_file_says_what_it_is(tmp_path):
    save(tmp_path / "swf", WeightedFusion("swf", ("face", "voice"), ABC, TABLE))
    content = (tmp_path / "swf").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"] == ABOUT


def written(path: Path, content=None, /, **changed: str) -> Path:
    path.write_bytes(to_bytes(content or {"weights": TABLE}, ABOUT | changed))
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "other"}, "not a fusion file"),
        ({"version": "9"}, "version 9, this emofuse reads 1"),
        ({"labels": '["a", "a", "c"]'}, "incomplete or wrong"),
        ({"labels": "a, b"}, "incomplete or wrong"),
        ({"systems": '["face"]'}, "damaged .weights of swf"),
        ({"arrays": '["weights", "more"]'}, "its arrays are weights"),
        ({"method": "stacking"}, "damaged .stacking: no array 'coefficient'"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(tmp_path, changed, message):
    with pytest.raises(BundleError, match=message) as caught:
        load(written(tmp_path / "f", **changed))
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(BundleError, match="damaged"):
        load(written(tmp_path / "f", {"weights": np.full((2, 3), np.nan, np.float32)}))


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_file_that_was_cut_is_refused(tmp_path, keep):
    path = written(tmp_path / "f")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="cannot be read") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        load(tmp_path / "none")


def test_a_method_that_is_not_known_here_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"fusion 'swff': unknown .did you mean 'swf'"):
        load(written(tmp_path / "f", method="swff"))
