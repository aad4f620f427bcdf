from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from emofuse.core.arrays import ArrayFormat
from emofuse.errors import DataError, OutputError

TABLE = ArrayFormat("table", 2, remedy="make it again", error=DataError)
ARRAYS = {
    "wide": np.arange(3.0),
    "narrow": np.arange(5, dtype=np.uint8),
    "flags": np.array([True, False]),
    "empty": np.empty((0, 4), np.float32),
    "strided": np.arange(10, dtype=np.int64)[::2],
    "scalar": np.array(2.5, np.float32),
}
MEANING = {"labels": ["é", "b"], "n": 3, "nothing": None}


def header(path) -> dict:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def test_arrays_and_meaning_are_read_as_they_were_written(tmp_path):
    TABLE.write(tmp_path / "deep" / "t", ARRAYS, MEANING)
    arrays, meaning = TABLE.read(tmp_path / "deep" / "t")
    assert meaning == MEANING
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_the_safetensors_library_reads_the_same_arrays(tmp_path):
    TABLE.write(tmp_path / "t", ARRAYS)
    for name, array in load_file(tmp_path / "t").items():
        np.testing.assert_array_equal(array, ARRAYS[name])


@given(st.permutations(sorted(ARRAYS)), st.permutations(sorted(MEANING)))
def test_the_order_of_names_does_not_change_the_bytes(tmp_path_factory, names, keys):
    folder = tmp_path_factory.mktemp("order")
    TABLE.write(folder / "a", ARRAYS, MEANING)
    TABLE.write(folder / "b", {n: ARRAYS[n] for n in names}, {k: MEANING[k] for k in keys})
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_arrays_start_at_multiples_of_their_item_size(tmp_path):
    TABLE.write(tmp_path / "t", ARRAYS)
    content = header(tmp_path / "t")
    for name, array in ARRAYS.items():
        assert content[name]["data_offsets"][0] % array.dtype.itemsize == 0


def test_a_file_names_its_kind_and_version(tmp_path):
    TABLE.write(tmp_path / "t", ARRAYS, {"n": 1})
    assert header(tmp_path / "t")["__metadata__"] == {"kind": "emofuse table", "version": "2", "meaning": '{"n":1}'}


def test_meaning_is_read_without_the_arrays(tmp_path):
    TABLE.write(tmp_path / "t", ARRAYS, MEANING)
    assert TABLE.read_meaning(tmp_path / "t") == MEANING


def test_a_file_of_another_kind_has_no_meaning(tmp_path):
    save_file(ARRAYS, tmp_path / "t", {"kind": "emofuse other"})
    assert TABLE.read_meaning(tmp_path / "t") is None
    assert TABLE.read_meaning(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (None, r"t: not a table \(a file of another program\); give one that emofuse has written\."),
        ({"kind": "emofuse head"}, r"t: not a table \(emofuse head\)"),
        (
            {"kind": "emofuse table", "version": "9"},
            r"t: table of version 9, this emofuse reads 2; update emofuse, or make it again\.",
        ),
        ({"kind": "emofuse table", "version": "2"}, r"t: cannot be read as a table \('meaning'\); make it again\."),
        ({"kind": "emofuse table", "version": "2", "meaning": "{"}, r"t: cannot be read as a table"),
    ],
)
def test_a_file_of_another_format_is_refused_in_one_line(tmp_path, about, message):
    save_file({"a": np.zeros(2)}, tmp_path / "t", about)
    with pytest.raises(DataError, match=message) as caught:
        TABLE.read(tmp_path / "t")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, keep):
    TABLE.write(tmp_path / "t", ARRAYS)
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:keep])
    with pytest.raises(DataError, match=r"t: cannot be read as a table \(.+\); make it again\.") as caught:
        TABLE.read(tmp_path / "t")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t: no such file; expected a table\."):
        TABLE.read(tmp_path / "t")


def test_damaged_content_is_reported_in_one_line_with_a_remedy(tmp_path):
    assert str(TABLE.damaged("t", "no array 'a'.")) == "t: damaged table (no array 'a'); make it again."


def test_a_file_that_cannot_be_written_keeps_the_earlier_one(tmp_path):
    TABLE.write(tmp_path / "t", {"a": np.zeros(1)})
    before = (tmp_path / "t").read_bytes()
    with pytest.raises(KeyError):
        TABLE.write(tmp_path / "t", {"a": np.zeros(1, complex)})
    assert (tmp_path / "t").read_bytes() == before
    with pytest.raises(OutputError, match="there is a file where a folder"):
        TABLE.write(tmp_path / "t" / "deeper", {"a": np.zeros(1)})


def test_torch_tensors_of_16_bits_keep_their_bits(tmp_path):
    torch = pytest.importorskip("torch")
    tensor = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).bfloat16().t()
    TABLE.write(
        tmp_path / "t",
        {"a": tensor},
        as_bytes=lambda t: t.contiguous().reshape(-1).view(torch.uint8).numpy(),
    )
    arrays, _ = TABLE.read(tmp_path / "t", framework="pt")
    assert torch.equal(arrays["a"], tensor)
