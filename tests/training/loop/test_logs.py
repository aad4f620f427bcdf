from __future__ import annotations

import csv
import errno
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from emofuse.metrics import MEASURES  # noqa: E402
from emofuse.training.loop import EVENTS, HISTORY, Callbacks, Epoch, fit, fresh  # noqa: E402
from emofuse.training.loop.logs import write_history  # noqa: E402
from support.small_trainings import OFTEN, SETTINGS, SMALL, layers, stopping, trained  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")

TWO = replace(SETTINGS, epochs=2)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / HISTORY).open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_the_history_has_one_row_per_epoch(tmp_path):
    history = fit(fresh(layers, seed=9), SMALL, settings=TWO, folder=tmp_path, callbacks=Callbacks(events=False))
    found = rows(tmp_path)
    assert list(found[0]) == ["epoch", "lr", "train_loss", "validation_loss", *MEASURES]
    assert [int(row["epoch"]) for row in found] == [0, 1]
    for row, epoch in zip(found, history, strict=True):
        assert float(row["validation_loss"]) == pytest.approx(epoch.validation_loss, rel=1e-6)
        assert float(row["uar"]) == pytest.approx(epoch.measures["uar"], rel=1e-6)


def test_the_history_of_a_resumed_run_equals_that_of_an_uninterrupted_one(tmp_path):
    trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", machine=OFTEN, callbacks=stopping(at=(2, 2)))
    trained(tmp_path / "parts")
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_lost_or_outdated_history_is_restored_from_the_checkpoint(tmp_path):
    trained(tmp_path)
    before = rows(tmp_path)
    write_history(tmp_path / HISTORY, [Epoch(0, 0.1, 1.0, 1.0, {}, 0.0)])
    trained(tmp_path)
    assert rows(tmp_path) == before


def test_the_history_has_eight_digits(tmp_path):
    write_history(tmp_path / "h.csv", [Epoch(0, 3e-5, 1 / 3, 2.0, {"uar": 0.5}, 12.34)])
    expected = "epoch,lr,train_loss,validation_loss,uar,seconds\n0,3e-05,0.33333333,2,0.5,12.3\n"
    assert (tmp_path / "h.csv").read_text() == expected


# TensorBoard


def scalars(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / EVENTS)).Reload()
    return {tag: [e.step for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_events_contain_every_step_and_epoch_once_also_after_a_resume(tmp_path, monkeypatch):
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    # Files of one process and second differ by a counter, and are read in the order of their names: 10 before 9.
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(0))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, machine=OFTEN, callbacks=replace(stopping(at=(1, 2)), events=True))
    trained(tmp_path, callbacks=Callbacks())
    found = scalars(tmp_path)
    assert found["loss/step"] == found["lr"] == list(range(1, 10))
    assert found["loss/validation"] == found["validation/uar"] == [3, 6, 9]


def test_without_tensorboard_there_is_one_note_and_training_continues(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    notes: list[str] = []
    trained(tmp_path, settings=TWO, callbacks=Callbacks(note=notes.append))
    assert notes == ["no TensorBoard events: the package tensorboard is not installed; history.csv has the values."]
    assert not (tmp_path / EVENTS).exists()


def test_training_continues_if_events_cannot_be_written(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / EVENTS).write_text("a file where the folder should be")
    notes: list[str] = []
    trained(tmp_path, settings=TWO, callbacks=Callbacks(note=notes.append))
    assert len(notes) == 1
    assert notes[0].startswith("no more TensorBoard events: ")


def test_a_full_disk_ends_the_events_but_not_the_training(tmp_path, monkeypatch):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")

    def full(self: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensorboard.SummaryWriter, "flush", full)
    notes: list[str] = []
    trained(tmp_path, settings=TWO, callbacks=Callbacks(note=notes.append))
    assert notes == ["no more TensorBoard events: No space left on device; training continues."]
    assert len(rows(tmp_path)) == 2
