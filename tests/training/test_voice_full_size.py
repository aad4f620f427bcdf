"""The paper's 1D CNN + LSTM at full size: four million parameters fit fifty windows, and a live session agrees."""

from __future__ import annotations

import csv
from fractions import Fraction

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.settings import with_settings
from emofuse.core.time import Timeline, ticks
from emofuse.datasets import open_data
from emofuse.inference.predictor import Options, Predictor
from emofuse.systems import system
from emofuse.training import loop as fit
from emofuse.training.train import train_system
from emofuse.training.training_run import TrainingRun
from support.speech_bundles import push_in_chunks, tone, write_wave

RATE = 12_000
CHANGES = {
    "net.separation": "none",
    "net.activity": "none",
    "fit.epochs": "12",
    "fit.batch": "10",
    "fit.lr": "0.001",
    "fit.schedule": "cosine",
    "fit.patience": "none",
}


@pytest.mark.slow
def test_the_full_network_fits_fifty_windows_exactly_and_a_live_session_agrees(tmp_path):
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "subject", "split"])
        for n in range(57):
            name = f"{n:02d}.wav"
            write_wave(tmp_path / name, tone(n % 7, 4.0, n, rate=RATE), rate=RATE)
            rows.writerow([name, AFFWILD2.names[n % 7], f"s{n}", "train" if n < 50 else "validation"])
    data = open_data(tmp_path / "clips.csv")
    run = TrainingRun(tmp_path / "out", callbacks=fit.Callbacks(events=False, epoch=print))
    train_system(with_settings(system("cnn1d-lstm"), CHANGES), data, run)
    predictor = Predictor(Options(str(run.out)))
    predicted = [predictor.predict(clip.audio).at(1.0)[0].emotion for clip in data.split("train")]
    assert predicted == [AFFWILD2.names[n % 7] for n in range(50)]

    samples = np.concatenate([tone(k, 3.7, k, rate=RATE) for k in (0, 3, 5)])
    whole = predictor.predict(write_wave(tmp_path / "long.wav", samples, rate=RATE))
    # As 16-bit samples in the file.
    stored = (np.clip(samples, -1, 1) * 32767).astype("<i2").astype(np.float32) / 32768
    pushed = push_in_chunks(predictor, "long.wav", stored, np.random.default_rng(0), rate=RATE)
    assert pushed.timeline == whole.timeline == Timeline.steps(5, end=ticks(Fraction("11.1")))
    assert np.abs(pushed.scores[0].values - whole.scores[0].values).max() < 1e-4
