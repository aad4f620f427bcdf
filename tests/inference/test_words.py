"""Words as a modality: videos of squares with tones, and transcripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.parallel import Here
from emofuse.core.time import ticks
from emofuse.errors import DataError, SettingsError
from emofuse.inference import batch
from emofuse.inference.prediction import Prediction
from emofuse.inference.predictor import Options
from emofuse.inference.sentences import score_sentences
from emofuse.inference.summary import describe
from emofuse.inference.transcripts import WordsSource
from emofuse.models.bundle import load
from emofuse.report.segments import headline
from emofuse.words import Cue, Transcript
from emofuse.words.whisper import Transcription
from support import fused_bundles, spoken_words
from support.fused_bundles import predictor, write_video
from support.speech_bundles import tone

NAMES = list(AFFWILD2.names)
ALL = {"face": 0.5, "voice": 0.3, "words": 0.2}
HAPPY = "1\n00:00:01,000 --> 00:00:02,000\nI am so happy.\n"


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    return spoken_words.write_bundle(tmp_path_factory.mktemp("three"), ALL)


@pytest.fixture
def video(tmp_path) -> Path:
    """4 s; a face in the first three, a voice all the time."""
    levels = [(150,)] * 15 + [(0,)] * 5
    return write_video(tmp_path / "talk.mkv", levels, (0.3 * tone(2, 4, 0, rate=44_100)).astype(np.float32))


def predicted(bundle: Path, video: Path, transcript: str | Path | None = None, **options: object) -> Prediction:
    return predictor(bundle, words=WordsSource.parse(transcript), **options).predict(video)


def srt(video: Path, text: str = HAPPY) -> Path:
    video.with_suffix(".srt").write_text(text, "utf-8")
    return video.with_suffix(".srt")


def warnings(prediction: Prediction) -> str:
    return "; ".join(prediction.metadata["warnings"])


def test_without_a_transcript_words_change_nothing(three, video):
    plain = predicted(three.parent / "plain" / "bundle", video, per_modality=True).table()
    pd.testing.assert_frame_equal(predicted(three, video, per_modality=True).table(), plain, atol=2e-6)


def test_a_row_takes_the_sentence_over_its_start(three, video):
    table = predicted(three, video, srt(video), per_modality=True).table()
    said = table.words.notna().to_numpy()
    assert said.tolist() == [1 <= t < 2 for t in table.start]
    assert set(table.words[said]) == {"I am so happy."}
    assert set(table.words_status[said]) == {"ok"}
    assert table[[f"words_{n}" for n in NAMES]].notna().all(axis=1).tolist() == said.tolist()
    assert (table.words_happiness[said] > 0.3).all()


def test_words_change_only_rows_within_a_sentence(three, video):
    before, after = predicted(three, video).table(), predicted(three, video, srt(video)).table()
    said = after.words.notna().to_numpy()
    pd.testing.assert_frame_equal(before[~said], after[~said][before.columns], atol=2e-6)
    assert (after.happiness[said] > before.happiness[said] + 0.02).all()


def test_rows_are_the_weighted_sum_of_all_three(three, video):
    prediction = predicted(three, video, srt(video))
    row = 6
    scores = {m: s.values[row] for m, s in prediction.modalities[1].items()}
    expected = sum(weight * scores[m] for m, weight in ALL.items())
    assert prediction.scores[1].values[row] == pytest.approx(expected / expected.sum(), abs=1e-6)


def test_words_are_shared_between_those_in_view(three, tmp_path):
    video = write_video(tmp_path / "two.mkv", [(150, 120)] * 10, np.zeros(2 * 44_100, np.float32))
    prediction = predicted(three, video, srt(video))
    for person in (1, 2):
        face, words = (prediction.modalities[person][m].values[6] for m in ("face", "words"))
        expected = 0.5 * face + 0.2 / 2 * words
        assert prediction.scores[person].values[6] == pytest.approx(expected / expected.sum(), abs=1e-6)


def test_the_transcript_beside_a_video_is_used_if_asked_for_and_named(three, video):
    srt(video)
    assert "words" not in predicted(three, video).table()
    prediction = predicted(three, video, "auto")
    assert prediction.metadata["transcript"] == "talk.srt"
    assert prediction.metadata["modalities"] == ["face", "voice", "words"]
    entry = describe(prediction)
    assert (entry["words"]["sentences"], entry["words"]["other_language"], entry["words"]["fraction"]) == (1, 0, 0.25)
    json.dumps(entry)


def test_a_video_without_a_transcript_beside_it_is_predicted_without_words(three, video):
    prediction = predicted(three, video, "auto")
    assert "has no transcript beside it, so no words were scored" in warnings(prediction)
    assert prediction.metadata["modalities"] == ["face", "voice"]
    assert "words" not in prediction.table()


def test_cues_beyond_the_video_are_cut_with_a_warning(three, video):
    prediction = predicted(three, video, srt(video, HAPPY.replace("02,000", "09,000")))
    assert "1 of 1 cues of talk.srt last beyond the end of the video and are cut" in warnings(prediction)
    assert prediction.table().words.notna().sum() == 15


def test_a_transcript_beyond_the_video_is_a_warning_that_no_words_were_scored(three, video):
    prediction = predicted(three, video, srt(video, HAPPY.replace("00:00:0", "00:01:0")))
    (warning,) = prediction.metadata["warnings"]
    assert warning == "1 of 1 cues of talk.srt (61.0 to 62.0 s) are outside 0.0 to 4.0 s, so no words were scored"
    assert "words by" not in headline(prediction)
    assert "words by talk.srt" in headline(predicted(three, video, srt(video)))


def test_a_folder_of_transcripts_is_named_as_one(tmp_path):
    with pytest.raises(SettingsError, match="is a folder; put each transcript beside its video"):
        WordsSource.parse(tmp_path)


def test_sentences_in_another_language_are_marked_and_not_scored(three, video):
    german = HAPPY + "\n2\n00:00:02,500 --> 00:00:03,500\nWir freuen uns sehr über den Besuch heute.\n"
    prediction = predicted(three, video, srt(video, german), per_modality=True)
    table = prediction.table()
    other = table.words_status == "other_language"
    assert set(table.words[other]) == {"Wir freuen uns sehr über den Besuch heute."}
    assert table.words_happiness[other].isna().all()
    assert "1 of 2 sentences are in another language and were not scored" in warnings(prediction)


@pytest.mark.parametrize(
    ("language", "status"), [("de", "other_language"), ("en", "ok"), ("English", "ok"), (None, "ok")]
)
def test_the_language_that_a_transcript_states_counts(three, language, status):
    scorer = load(three).words_scorer()
    assert scorer is not None
    transcript = Transcript.of([Cue(0, ticks(1), "I am so happy")], "x.json", language=language)
    assert [s.status for s in score_sentences(transcript, scorer)] == [status]


def test_a_short_sentence_is_judged_with_the_whole_transcript(three):
    scorer = load(three).words_scorer()
    assert scorer is not None
    german = "Es ist schon wieder ziemlich spät geworden heute Abend."
    for first, status in (("I am so happy and this is wonderful.", "ok"), (german, "other_language")):
        cues = [Cue(0, 10, first), Cue(10, 20, "Fantastisch!")]
        assert score_sentences(Transcript.of(cues, "x.srt"), scorer)[1].status == status


def test_the_speakers_that_a_transcript_names_have_a_column(three, video):
    said = video.with_suffix(".vtt")
    said.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>I am so happy.\n", "utf-8")
    table = predicted(three, video, said).table()
    assert table.words_speaker.dropna().unique().tolist() == ["Anna"]
    assert "words_speaker" not in predicted(three, video, srt(video)).table()


def test_a_moment_has_the_sentence_of_its_time(three, video):
    prediction = predicted(three, video, srt(video))
    (moment,) = prediction.at(1.5)
    assert moment.status == "ok"


def test_a_part_of_a_video_keeps_the_times_of_the_transcript(three, video):
    from emofuse.inference.selection import Selection

    table = predicted(three, video, srt(video), selection=Selection.parse(1.4, 3)).table()
    assert table.words.notna().tolist() == [t < 2 for t in table.start]


def test_a_bundle_without_words_refuses_a_transcript(three, video):
    with pytest.raises(SettingsError, match="bundle both does not score words"):
        predicted(three.parent / "plain" / "bundle", video, srt(video))


def test_a_bundle_of_words_alone_needs_a_transcript_and_scores_its_sentences(tmp_path, video):
    spoken_words.train(tmp_path)
    with pytest.raises(SettingsError, match="scores words only; give a --transcript"):
        predicted(tmp_path / "words", video)
    table = predicted(tmp_path / "words", video, srt(video)).table()
    assert table.emotion.dropna().unique().tolist() == ["happiness"]
    assert table.person.isna().all()
    assert table.status.tolist() == ["ok" if t else "no_voice" for t in table.words.notna()]


def test_a_missing_transcript_is_named(three, video, tmp_path):
    with pytest.raises(DataError, match=r"none\.srt: no such file; give a transcript"):
        predicted(three, video, tmp_path / "none.srt")


def test_one_transcript_is_for_one_video(three, tmp_path, video):
    options = Options(str(three), words=WordsSource.parse(srt(video)))
    with pytest.raises(SettingsError, match="is for one video, but there are 2"):
        batch.plan([video, tmp_path / "b.mkv"], out=tmp_path / "out", options=options)


def test_a_transcript_and_a_model_exclude_each_other():
    with pytest.raises(SettingsError, match="there is a --transcript"):
        WordsSource.parse("talk.srt", "base.en")


def run(options: Options, video: Path, out: Path) -> batch.FileResult:
    tasks = batch.plan([video], out=out, options=options, formats=("csv", "parquet", "json"))
    (result,) = batch.predict_files(tasks, executor=Here(), draw=None, progress=lambda *_: None, note=lambda _: None)
    return result


def test_a_changed_transcript_is_predicted_again_and_an_equal_one_is_not(three, video, tmp_path, monkeypatch):
    fused_bundles.use_square_detector(monkeypatch)
    options = Options(str(three), words=WordsSource.parse("auto"))
    srt(video)
    assert [run(options, video, tmp_path / "out").skipped for _ in range(2)] == [False, True]
    srt(video, HAPPY.replace("happy", "sad"))
    assert not run(options, video, tmp_path / "out").skipped


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_tables_with_words_are_read_back(three, video, tmp_path, monkeypatch, suffix):
    from emofuse.export.reader import read_result_file

    fused_bundles.use_square_detector(monkeypatch)
    said = HAPPY.replace("I am so happy.", "=1+1 is so happy, I am.")
    run(Options(str(three), words=WordsSource.parse(srt(video, said))), video, tmp_path / "out")
    (result,) = read_result_file(tmp_path / "out" / f"talk{suffix}")
    (rows,) = result.blocks
    assert rows.words.dropna().unique().tolist() == ["=1+1 is so happy, I am."]


class Fake:
    """Transcribes every piece as one happy sentence."""

    name, identity = "fake", "fake 1"

    def __call__(self, samples: np.ndarray) -> Transcription:
        def cues() -> Iterator[Cue]:
            yield Cue(0, ticks(len(samples) / 16_000), "I am so happy.")

        return Transcription(cues(), "en")


@pytest.fixture
def transcriber(monkeypatch) -> None:
    monkeypatch.setattr("emofuse.inference.predictor.load_transcriber", lambda model, threads: Fake())


@pytest.mark.usefixtures("transcriber")
def test_audio_is_transcribed_if_asked_for(three, video):
    prediction = predictor(three, words=WordsSource.parse(None, "fake")).predict(video)
    assert prediction.metadata["transcript"] == "Whisper fake"
    assert prediction.table().words.tolist() == ["I am so happy."] * 20


@pytest.mark.usefixtures("transcriber")
def test_only_a_video_without_a_transcript_is_transcribed(three, video):
    srt(video)
    prediction = predictor(three, words=WordsSource.parse("auto", "fake")).predict(video)
    assert prediction.metadata["transcript"] == "talk.srt"


@pytest.mark.usefixtures("transcriber")
def test_long_audio_is_transcribed_in_pieces(three, video, monkeypatch):
    monkeypatch.setattr("emofuse.inference.transcripts._PIECE_SECONDS", 1)
    monkeypatch.setattr("emofuse.inference.transcripts._BLOCK_SECONDS", 0.5)
    prediction = predictor(three, words=WordsSource.parse(None, "fake")).predict(video)
    assert prediction.words is not None
    assert [round(s.start / ticks(1), 2) for s in prediction.words.sentences] == [0, 1, 2, 3]


@pytest.mark.usefixtures("transcriber")
def test_a_video_without_audio_has_nothing_to_transcribe(three, tmp_path):
    video = write_video(tmp_path / "silent.mkv", [(150,)] * 10)
    prediction = predictor(three, words=WordsSource.parse(None, "fake")).predict(video)
    assert "has no audio, so nothing was transcribed" in warnings(prediction)
