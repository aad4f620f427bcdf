"""Training voice systems on synthetic audio, and predicting with the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from emofuse.core.chunks import Chunks
from emofuse.core.files import digest
from emofuse.core.labels import AFFWILD2
from emofuse.core.settings import with_settings
from emofuse.core.time import Timeline, ticks
from emofuse.core.windows import Windows
from emofuse.datasets import open_data
from emofuse.errors import BundleError, DataError, MediaError, SettingsError
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.inference.batch import plan, predict_file
from emofuse.inference.predictor import Options, Predictor, predict
from emofuse.media.audio import AudioReader
from emofuse.models.bundle import load
from emofuse.models.voice import VoiceModality, voice_scorer
from emofuse.runtime import Engine
from emofuse.systems import System, system
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache
from emofuse.training.train import train_system
from emofuse.training.training_run import TrainingRun
from emofuse.training.voice import window_examples
from support.media_files import moving_bar, write_media
from support.speech_bundles import RATE, push_in_chunks, tone, write_clip_list, write_wave

PLAIN = {"net.separation": "none", "net.activity": "none", "net.tiny": "true"}
QUICK = PLAIN | {
    "windows.rate_hz": "4000",
    "fit.epochs": "20",
    "fit.batch": "10",
    "fit.lr": "0.003",
    "fit.schedule": "cosine",
    "fit.patience": "20",
}


def defined(name: str, changes: dict[str, str]) -> System:
    return with_settings(system(name), changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(write_clip_list(tmp_path_factory.mktemp("spoken"), train=50, validation=14))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[TrainingRun]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # for all tests here: sums in the same order, and so the same metrics in the card
    yield TrainingRun(tmp_path_factory.mktemp("voice"), callbacks=fit.Callbacks(events=False))
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(data, run):
    return train_system(defined("cnn1d-lstm", QUICK), data, run)


def predicted(bundle_folder: Path, paths: list[Path]) -> list[str | None]:
    predictor = Predictor(Options(str(bundle_folder)))
    return [predictor.predict(path).at(1.0)[0].emotion for path in paths]


def statuses(path: Path, voice: VoiceModality, folder: Path) -> list[str]:
    """The status of each row, by the bundle with another voice modality."""
    predictor = Predictor(Options(str(folder)))
    predictor.bundle = replace(predictor.bundle, voice=voice)
    predictor.audio_stages = {"voice": choose_audio_stages(voice.separation, voice.activity, Engine())}
    return predictor.predict(path).table().status.tolist()


def test_the_network_fits_fifty_windows_exactly(trained, data, run):
    train = data.split("train")
    truth = [AFFWILD2.names[int(data.annotation(clip).labels[0])] for clip in train]
    assert predicted(run.out, [clip.audio for clip in train]) == truth


def test_a_live_session_of_random_chunks_equals_prediction_of_the_file(trained, run, tmp_path):
    path = write_wave(tmp_path / "long.wav", np.concatenate([tone(k, 3.7, k) for k in (0, 3, 5)]))
    predictor = Predictor(Options(str(run.out)))
    whole = predictor.predict(path)
    with AudioReader(path, rate_hz=RATE) as reader:
        samples = np.concatenate([block.samples for block in reader.blocks()])
    pushed = push_in_chunks(predictor, path.name, samples, np.random.default_rng(0))
    assert pushed.timeline == whole.timeline == Timeline.steps(5, end=ticks(Fraction("11.1")))
    assert np.abs(pushed.scores[0].values - whole.scores[0].values).max() < 1e-4
    assert pushed.scores[0].valid.all()


def test_training_again_reuses_cached_audio(trained, data, run):
    times = {p: p.stat().st_mtime_ns for p in (run.out / "audio").iterdir()}
    again = train_system(defined("cnn1d-lstm", QUICK), data, run)
    assert {p: p.stat().st_mtime_ns for p in (run.out / "audio").iterdir()} == times
    assert again.identity == trained.identity


def test_the_card_has_metrics_with_intervals(trained):
    metrics = trained.card["metrics"]["validation"]
    assert metrics["clips"] == 14
    assert metrics["interval"]["uar"][0] <= metrics["uar"] <= metrics["interval"]["uar"][1]


def test_a_table_of_an_audio_file_has_no_person_and_no_frame(trained, run, tmp_path):
    table = predict(write_wave(tmp_path / "a.wav", tone(2, 1.0, 0)), bundle=run.out).table()
    assert len(table) == 5
    assert table.person.isna().all()
    assert table.frame.isna().all()
    assert table.status.tolist() == ["ok"] * 5


def test_a_table_of_a_video_has_the_frames_shown(trained, run, talk):
    table = predict(talk, bundle=run.out, every_frame=True).table()
    assert table.person.isna().all()
    assert table.frame.tolist() == list(range(len(table)))
    assert predict(talk, bundle=run.out).timeline == Timeline.steps(5, end=ticks(Fraction(str(table.end.iloc[-1]))))


def test_every_frame_is_refused_for_an_audio_file(trained, run, tmp_path):
    with pytest.raises(SettingsError, match="is an audio file, so --every-frame does not apply; use --rate"):
        predict(write_wave(tmp_path / "a.wav", tone(2, 1.0, 0)), bundle=run.out, every_frame=True)


def test_a_video_without_audio_has_rows_without_voice_and_a_warning(trained, run, tmp_path):
    prediction = predict(write_media(tmp_path / "mute.mp4", moving_bar(30)), bundle=run.out)
    assert set(prediction.table().status) == {"no_voice"}
    assert prediction.metadata["warnings"] == ["has no audio, so the voice was not scored"]


def test_audio_that_starts_late_and_ends_early_has_scores_in_its_windows_alone(data, trained, run, tmp_path):
    audio = tone(2, 4.0, 0, rate=44_100)
    path = write_media(tmp_path / "part.mp4", moving_bar(600), audio=audio, audio_start=8.0)
    status = statuses(path, replace(trained.voice, activity="energy"), run.out)
    first = [n for n, word in enumerate(status) if word == "ok"]
    # Windows of 4 s every 1.6 s with 0.3 s of voice: those that begin at 4.8 s to 11.2 s, the last moved back.
    assert (min(first) * 0.2, (max(first) + 1) * 0.2) == (pytest.approx(4.8), pytest.approx(12.0, abs=0.21))


@pytest.mark.parametrize("seconds", [0.01, 0.3, 4.0, 4.01])
def test_audio_of_any_length_is_scored_to_its_end(trained, run, tmp_path, seconds):
    prediction = predict(write_wave(tmp_path / "a.wav", tone(2, seconds, 0)), bundle=run.out)
    assert prediction.timeline.end[-1] == ticks(Fraction(str(seconds)))
    assert prediction.scores[0].valid.all()


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (48_000, 6), (192_000, 1)])
def test_sample_rate_and_channels_do_not_change_the_result(trained, run, tmp_path, rate, channels):
    plain = predict(write_wave(tmp_path / "a.wav", tone(2, 4.0, 0)), bundle=run.out)
    again = tone(2, 4.0, 0, rate=rate)
    other = write_wave(tmp_path / "b.wav", np.repeat(again, channels), rate=rate, channels=channels)
    prediction = predict(other, bundle=run.out)
    assert prediction.timeline == plain.timeline
    assert prediction.at(1.0)[0].emotion == plain.at(1.0)[0].emotion


def test_clipped_audio_is_scored(trained, run, tmp_path):
    prediction = predict(write_wave(tmp_path / "a.wav", 50 * tone(2, 4.0, 0)), bundle=run.out)
    assert prediction.scores[0].valid.all()


def test_digital_silence_has_rows_without_voice(trained, run, tmp_path):
    path = write_wave(tmp_path / "a.wav", np.zeros(9 * RATE, np.float32))
    assert statuses(path, replace(trained.voice, activity="energy"), run.out) == ["no_voice"] * 45


def test_an_empty_audio_file_is_an_error_of_one_line(trained, run, tmp_path):
    with pytest.raises(MediaError, match=r"a\.wav"):
        predict(write_wave(tmp_path / "a.wav", np.zeros(0, np.float32)), bundle=run.out)


def test_audio_of_a_video_that_cannot_be_read_is_an_error_of_one_line(trained, run, talk, monkeypatch):
    def blocks(*_: object) -> None:
        raise MediaError("talk.mp4: its audio is broken")

    monkeypatch.setattr(AudioReader, "blocks", blocks)
    with pytest.raises(MediaError, match=r"^talk\.mp4: its audio is broken$"):
        predict(talk, bundle=run.out)


def test_sequences_get_a_label_for_each_segment(data, tmp_path):
    """Two halves of a clip with different labels: the window's twenty segments are ten of each."""
    folder = tmp_path / "halves"
    write_wave(folder / "a.wav", tone(1, 4.0, 0))
    (folder / "clips.csv").write_text("path,label,start,end,split\na.wav,anger,0,2,train\na.wav,fear,2,4,train\n")
    halves = open_data(folder / "clips.csv")
    windows = defined("cnn1d-lstm-sequence", PLAIN).windows
    cache = AudioCache(windows, choose_audio_stages("none", "none", Engine()), tmp_path / "audio")
    examples = window_examples(cache, halves, halves.split("train"), label_rate_hz=5)
    assert fit.labels(examples.targets).tolist() == [[1] * 10 + [3] * 10]


def test_silent_windows_are_left_out_of_training(tmp_path):
    audio = np.concatenate([np.zeros(6 * RATE, np.float32), tone(1, 4.0, 0), np.zeros(6 * RATE, np.float32)])
    write_wave(tmp_path / "a.wav", audio)
    (tmp_path / "clips.csv").write_text("path,label,split\na.wav,anger,train\n")
    data = open_data(tmp_path / "clips.csv")
    windows = defined("cnn1d-lstm", PLAIN).windows
    for activity, expected in (("none", 9), ("energy", 5)):
        cache = AudioCache(windows, choose_audio_stages("none", activity, Engine()), tmp_path / "audio")
        assert len(window_examples(cache, data, data.split("train"), label_rate_hz=5)) == expected


def test_a_split_without_any_audio_is_refused_in_one_line(tmp_path):
    write_media(tmp_path / "mute.mp4", moving_bar(30))
    (tmp_path / "clips.csv").write_text("path,label,split\nmute.mp4,anger,train\n")
    data = open_data(tmp_path / "clips.csv")
    windows = defined("cnn1d-lstm", PLAIN).windows
    cache = AudioCache(windows, choose_audio_stages("none", "none", Engine()), tmp_path / "audio")
    with pytest.raises(DataError, match="none of 1 clips has a labelled window with voice"):
        window_examples(cache, data, data.split("train"), label_rate_hz=5)


def test_missing_pretrained_weights_are_an_error_that_says_where_to_get_them(data, run, tmp_path):
    with pytest.raises(SettingsError, match=r"pann: starts from the weights 'pann-16k'.*--weights"):
        train_system(defined("pann", {}), data, replace(run, out=tmp_path))


@pytest.mark.parametrize("name", ["cnn1d-lstm-sequence", "pann", "compact-speech"])
def test_every_network_goes_from_definition_to_prediction(name, data, run, tmp_path):
    quick = PLAIN | {"fit.epochs": "1", "fit.batch": "16", "fit.accumulate": "1"}
    train_system(defined(name, quick), data, replace(run, out=tmp_path / "out"))
    prediction = predict(write_wave(tmp_path / "a.wav", tone(2, 5.0, 0)), bundle=tmp_path / "out")
    assert prediction.scores[0].valid.all()
    assert prediction.scores[0].probabilities().sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module")
def encoder(data, run) -> Path:
    """A bundle of a tiny `speech-encoder`."""
    out = run.out / "encoder"
    train_system(defined("speech-encoder", PLAIN | {"net.probe.copies": "1"}), data, replace(run, out=out))
    return out


def test_shared_frames_in_random_pushes_equal_prediction_of_the_file(encoder, tmp_path):
    path = write_wave(tmp_path / "long.wav", np.concatenate([tone(k, 3.7, k) for k in (0, 3, 5)]))
    predictor = Predictor(Options(str(encoder)))
    whole = predictor.predict(path)
    with AudioReader(path, rate_hz=16_000) as reader:
        samples = np.concatenate([block.samples for block in reader.blocks()])
    pushed = push_in_chunks(predictor, path.name, samples, np.random.default_rng(0), rate=16_000)
    assert np.array_equal(pushed.scores[0].values, whole.scores[0].values)
    assert pushed.scores[0].valid.all()


def test_the_linear_layer_separates_the_tones_that_it_was_fitted_on(encoder, data):
    clips = data.split("train")
    truth = [AFFWILD2.names[int(data.annotation(clip).labels[0])] for clip in clips]
    found = predicted(encoder, [clip.audio for clip in clips])
    assert np.mean([a == b for a, b in zip(found, truth, strict=True)]) > 0.9


def test_a_network_that_is_not_trained_has_no_epochs(data, run, tmp_path):
    with pytest.raises(SettingsError, match=r"fit\.epochs is 3, but its network is not trained; set fit\.epochs=0"):
        train_system(defined("speech-encoder", PLAIN | {"fit.epochs": "3"}), data, replace(run, out=tmp_path))


@pytest.mark.parametrize("seconds", [0.1, 0.9, 3.0])
def test_audio_shorter_than_a_window_is_scored(encoder, tmp_path, seconds):
    prediction = predict(write_wave(tmp_path / "a.wav", tone(2, seconds, 0)), bundle=encoder)
    assert prediction.scores[0].valid.all()


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (48_000, 2)], ids=["telephone", "stereo"])
def test_shared_frames_of_other_rates_and_channels_are_scored_alike(encoder, tmp_path, rate, channels):
    plain = predict(write_wave(tmp_path / "a.wav", tone(2, 4.0, 0, rate=16_000), rate=16_000), bundle=encoder)
    other = np.repeat(tone(2, 4.0, 0, rate=rate), channels)
    found = predict(write_wave(tmp_path / "b.wav", other, rate=rate, channels=channels), bundle=encoder)
    assert found.timeline == plain.timeline
    assert found.scores[0].valid.all()
    assert np.isfinite(found.scores[0].values).all()


def test_ten_minutes_of_silence_have_rows_without_voice(encoder, tmp_path):
    path = write_wave(tmp_path / "silence.wav", np.zeros(600 * 16_000, np.float32), rate=16_000)
    assert set(statuses(path, replace(load(encoder).voice, activity="energy"), encoder)) == {"no_voice"}


def test_frames_that_do_not_fit_the_chunks_are_refused(encoder):
    voice = load(encoder).voice
    with pytest.raises(
        BundleError, match=r"takes chunks of 38400 samples and windows of 150 frames, .* has 48000 samples"
    ):
        voice_scorer(replace(voice, chunks=Chunks(1.0, 1.0, 1.0)), Engine(), classes=7)
    with pytest.raises(BundleError, match=r"returns 100 frames and \[7\] numbers, but its chunks .* need 90 frames"):
        voice_scorer(replace(voice, chunks=Chunks(1.8, 0.3, 0.3)), Engine(), classes=7)
    with pytest.raises(BundleError, match=r"need 100 frames and \[8\] numbers; the bundle is mislabelled"):
        voice_scorer(voice, Engine(), classes=8)
    with pytest.raises(SettingsError, match="windows: 4 s every 2 s at 12000 Hz with 1 segments; a network on chunks"):
        replace(voice, windows=Windows(4.0, 2.0, rate_hz=12_000))
    with pytest.raises(SettingsError, match="chunks without a network that pools them"):
        replace(voice, pool=None)


def test_windows_of_several_corpora_are_balanced_and_have_the_classes_of_their_corpus(tmp_path):
    names = [("a", "anger", "x"), ("b", "anger", "x"), ("c", "fear", "x"), ("d", "sad", "y")]
    for n, (name, _, _) in enumerate(names):
        write_wave(tmp_path / f"{name}.wav", tone(n, 3.0, n))
    rows = [f"{name}.wav,{label},{name},{corpus},train" for name, label, corpus in names]
    (tmp_path / "clips.csv").write_text("\n".join(["path,label,subject,corpus,split", *rows]))
    data, windows = open_data(tmp_path / "clips.csv"), defined("compact-speech", PLAIN).windows
    cache = AudioCache(windows, choose_audio_stages("none", "energy", Engine()), tmp_path / "audio")
    examples = window_examples(cache, data, data.split("train"), label_rate_hz=5)
    assert [np.flatnonzero(p).tolist() for p in examples.possible] == [[1, 3]] * 3 + [[5]]
    np.testing.assert_allclose(examples.weights, [0.5, 0.5, 1.0, 2.0])


def test_a_bundle_whose_network_has_other_labels_is_refused(trained, run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.out, copy)
    manifest = copy / "bundle.json"
    content = json.loads(manifest.read_text())
    content.pop("sha256")
    content["labels"].append("other")
    manifest.write_text(json.dumps(content | {"sha256": digest(content)}))
    with pytest.raises(BundleError, match="the bundle is mislabelled"):
        Predictor(Options(str(copy)))


def test_the_summary_of_a_batch_has_the_fraction_of_voice(trained, run, tmp_path):
    path = write_wave(tmp_path / "a.wav", tone(2, 4.0, 0))
    (job,) = plan([path], out=tmp_path / "out", options=Options(str(run.out)))
    entry = predict_file(Predictor(job.options), job, None, lambda _: None).entry
    assert entry["voice"]["fraction"] == 1.0
    assert sum(entry["voice"]["mean_probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert (entry["separation"], entry["voice_activity"]) == ("none", "none")
