from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emofuse.errors import DataError, SettingsError
from emofuse.systems import WORDS_SYSTEMS
from emofuse.training.train import TrainRequest
from emofuse.training.train import train as run
from emofuse.training.words import assigned, best_thresholds, fit, measured
from support.spoken_words import SYSTEM, train, write_sentences

FAST = {"grams.bits": "10", "steps": "3", "folds": "2"}


def test_training_gives_equal_bytes_each_time(tmp_path):
    first, second = train(tmp_path / "a"), train(tmp_path / "b")
    assert first.words.net.read_bytes() == second.words.net.read_bytes()
    assert first.card["metrics"]["validation"]["macro_f1"] > 0.9


def test_a_system_is_trained_by_name_without_epochs(tmp_path):
    lines = []
    request = TrainRequest("text-linear", write_sentences(tmp_path / "data"), tmp_path / "out", FAST)
    run(request, report=lines.append)
    assert lines[0] == "train: 88 sentences, validation: 21"
    assert lines[-1].startswith("bundle written to")
    with pytest.raises(SettingsError, match="has no epochs but steps"):
        run(replace(request, epochs=3), report=lines.append)


def test_rows_with_two_labels_are_between_them():
    rows = SYSTEM.grams.rows(["up", "down", "sideways"])
    targets = np.float32([[1, 0], [0, 1], [0.5, 0.5]])
    coefficients, intercepts = fit(rows, targets, replace(SYSTEM, penalty=1e-3, steps=50))
    odds = np.diff(rows @ coefficients + intercepts, axis=1)[:, 0]
    assert odds[0] < -1
    assert odds[1] > 1
    assert abs(odds[2]) < 0.1


def test_the_thresholds_are_those_of_the_best_f1():
    probabilities = np.float32([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    assert best_thresholds(probabilities, labels) == pytest.approx([0.7, 0.4])
    assert (assigned(probabilities, np.array([0.7, 0.4])) == labels).all()


def test_a_sentence_without_a_class_above_its_threshold_gets_the_nearest():
    assert assigned(np.float32([[0.5, 0.5]]), np.array([0.6, 0.9])).tolist() == [[True, False]]


def test_a_class_is_right_if_the_sentence_has_it():
    probabilities = np.eye(7, dtype=np.float32)[[0, 1]]
    labels = np.zeros((2, 7), bool)
    labels[0, [0, 6]] = labels[1, 2] = True
    found = measured(probabilities, labels, np.full(7, 0.5))
    assert found["accuracy"] == 0.5
    assert found["f1"]["neutral"] == 1
    assert found["f1"]["surprise"] == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "its columns are not text and labels but nothing"),
        ("text,labels\n", "has no sentences"),
        ("text,labels\nhello,joy\n", "line 2: needs a text and labels of neutral, anger"),
        ("sentence,labels\nhello,anger\n", "its columns are not text and labels but sentence, labels"),
    ],
)
def test_tables_that_are_no_sentences_are_refused(tmp_path, table, message):
    folder = write_sentences(tmp_path)
    (folder / "validation.csv").write_text(table)
    request = TrainRequest("text-linear", folder, tmp_path / "out", FAST)
    with pytest.raises(DataError, match=message):
        run(request, report=lambda _: None)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train\.csv: cannot be read"):
        run(TrainRequest("text-linear", tmp_path, tmp_path / "out"), report=lambda _: None)


@pytest.mark.parametrize("change", [{"penalty": 0.0}, {"folds": 1}, {"known_share": 2.0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(SettingsError, match="words: "):
        replace(WORDS_SYSTEMS["text-linear"], **change)
