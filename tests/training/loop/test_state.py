from __future__ import annotations

import errno
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402 (torch may be missing)

from emofuse.errors import OutputError, SettingsError  # noqa: E402
from emofuse.training.loop import CHECKPOINT  # noqa: E402
from emofuse.training.loop.state import FORMAT  # noqa: E402
from emofuse.training.loop.state import read_checkpoint as read  # noqa: E402
from emofuse.training.loop.state import write_checkpoint as write  # noqa: E402
from support.small_trainings import trained  # noqa: E402

PARTS = {
    "net": {
        "a.weight": torch.rand(3, 2, 5, 5).to(memory_format=torch.channels_last),
        "count": torch.tensor(7),
        "half": torch.rand(3).bfloat16(),
        "flags": torch.tensor([True, False]),
        "none": torch.zeros(0, 4),
    },
    "random": {"draws": torch.arange(5, dtype=torch.uint8), "wide": torch.rand(2, dtype=torch.float64)},
}
STATE = {"step": 3, "loss": 0.1 + 0.2, "done": [{"epoch": 0}]}


def test_a_checkpoint_is_read_as_written(tmp_path):
    write(tmp_path / "c", PARTS, identity="x", state=STATE)
    parts, state = read(tmp_path / "c", identity="x")
    assert state == STATE
    assert parts.keys() == PARTS.keys()
    for part, tensors in PARTS.items():
        assert parts[part].keys() == tensors.keys()
        assert all(torch.equal(parts[part][k], v) and parts[part][k].dtype == v.dtype for k, v in tensors.items())


def test_safetensors_itself_reads_a_checkpoint(tmp_path):
    write(tmp_path / "c", PARTS, identity="x", state=STATE)
    found = load_file(tmp_path / "c")
    expected = {f"{part}.{k}": v for part, tensors in PARTS.items() for k, v in tensors.items()}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], v) for k, v in expected.items())


def test_another_identity_is_refused(tmp_path):
    write(tmp_path / "c", PARTS, identity="x", state=STATE)
    with pytest.raises(SettingsError, match="c: a checkpoint of a training with other settings; delete it or use"):
        read(tmp_path / "c", identity="y")


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, kept):
    write(tmp_path / "c", PARTS, identity="x", state=STATE)
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:kept])
    with pytest.raises(SettingsError, match=r"c: cannot be read as a checkpoint \(.*\); delete it to start again\."):
        read(tmp_path / "c", identity="x")


def test_a_checkpoint_without_some_tensors_is_refused(tmp_path):
    trained(tmp_path)
    identity = FORMAT.read_meaning(tmp_path / CHECKPOINT)["identity"]
    write(tmp_path / CHECKPOINT, {"net": {}}, identity=identity, state=STATE)
    with pytest.raises(SettingsError, match=r"damaged checkpoint \(.*\); delete it to start again"):
        trained(tmp_path)


def test_a_full_disk_keeps_the_last_checkpoint_and_no_partial_file(tmp_path, monkeypatch):
    write(tmp_path / "c", PARTS, identity="x", state=STATE)
    before = (tmp_path / "c").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="c: the disk is full; no partial file was left"):
        write(tmp_path / "c", PARTS, identity="y", state=STATE)
    assert [(p, p.read_bytes()) for p in Path(tmp_path).iterdir()] == [(tmp_path / "c", before)]
