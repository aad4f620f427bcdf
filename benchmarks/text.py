"""The words of a bundle on GoEmotions' validation part, beside a baseline; examples; and time per sentence.

    python benchmarks/text.py ../shared/data/text/goemotions

Protocol: seven classes, several per sentence. A class is assigned from a threshold on, which is chosen for each class
on parts of the training data; a sentence without a class gets the nearest. The baseline is TF-IDF of words and pairs
of words with one logistic regression per class; its thresholds are chosen on a fifth of the training data that it was
not fitted on. Intervals: bootstrap over sentences. `--recordings labels.csv --transcribe MODEL` also measures what
words are worth on the sentences of SAVEE, transcribed by Whisper.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import AFFWILD2
from emofuse.core.time import ticks
from emofuse.datasets.texts import Texts, read_texts
from emofuse.inference.sentences import score_sentences
from emofuse.media.audio import AudioReader
from emofuse.models.bundle import load
from emofuse.models.words import WordsScorer
from emofuse.training.words import assigned, best_thresholds, measured
from emofuse.words import Cue, Transcript
from emofuse.words.whisper import RATE_HZ, load_transcriber

RESAMPLES, BINS, BATCH = 2000, 15, 512
EXAMPLES = (
    ("plain", "I am happy."),
    ("negation", "I am not happy."),
    ("negation", "I'm not sad at all."),
    ("negation", "I don't like this."),
    ("capitals", "THIS IS SO UNFAIR"),
    ("capitals", "this is so unfair"),
    ("lengthened", "Nooooo!!!! Whyyyy"),
    ("emoji", "\U0001f602\U0001f602\U0001f602"),
    ("emoji", "Well done \U0001f44f\U0001f3fd"),
    ("emoticon", "that was great :)"),
    ("neutral", "The meeting is at three."),
    ("neutral", "Kids are talking by the door."),
    ("irony", "Oh great, another meeting."),
    ("empty", ""),
    ("digits", "12345"),
    ("very long", "I am so happy. " + "We went to the shop and came back again. " * 2000),
    ("terms", "Photosynthesis converts electromagnetic radiation into chemical energy."),
    ("German", "Ich freue mich sehr \u00fcber deinen Besuch."),
    ("French", "Je suis tr\u00e8s content de te voir."),
    ("Spanish", "Ayer fuimos a la playa con mis amigos."),
    ("Dutch", "We waren in de stad."),
    (
        "Russian",
        "\u042f \u0440\u0430\u0434 \u0442\u0435\u0431\u044f \u0432\u0438\u0434\u0435\u0442\u044c.",
    ),
    ("Japanese", "\u4eca\u65e5\u306f\u3068\u3066\u3082\u5b09\u3057\u3044\u3067\u3059\u3002"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.csv and validation.csv")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--recordings", type=Path, help="table of recordings: path, emotion, speaker")
    parser.add_argument("--transcribe", help="name or folder of a Whisper model")
    options = parser.parse_args()
    bundle = load(options.bundle)
    scorer = bundle.words_scorer()
    assert scorer is not None
    card = bundle.card["bundles"]["text-linear"] if "bundles" in bundle.card else bundle.card
    train, validation = (read_texts(options.data, split) for split in ("train", "validation"))
    natural = LogitCalibration(**card["natural_calibration"])
    logits = in_batches(scorer, validation.texts)
    show("words", natural(logits), validation, np.array(card["thresholds"]))
    weights = 1 / validation.labels.mean(axis=0)
    balanced = (validation.labels * weights).sum(axis=1) / validation.labels.sum(axis=1)
    equal = calibration_error(scorer.modality.calibration(logits), validation, balanced)
    print(f"calibration error for equally frequent classes, weighted so: {equal:.3f}")
    show("TF-IDF + logistic regression", *baseline(train, validation))
    timing(scorer, validation.texts)
    examples(scorer)
    if options.recordings is not None and bundle.fusion is not None:
        weights_of = dict(zip(bundle.fusion.weights.systems, bundle.fusion.weights.class_weights, strict=True))
        recordings(scorer, options.recordings, options.transcribe, float(weights_of["words"].mean()))


def in_batches(scorer: WordsScorer, texts: list[str]) -> NDArray[np.float32]:
    """Logits float32 [n, 7]."""
    return np.concatenate([scorer.logits(texts[n : n + BATCH]) for n in range(0, len(texts), BATCH)])


def show(name: str, probabilities: NDArray[np.float32], data: Texts, thresholds: NDArray[np.float64]) -> None:
    """Print F1 with its interval, and the calibration error."""
    found = measured(probabilities, data.labels, thresholds)
    guess, rng = assigned(probabilities, thresholds), np.random.default_rng(0)
    drawn = [rng.integers(0, len(guess), len(guess)) for _ in range(RESAMPLES)]
    resampled = [macro_f1(guess[rows], data.labels[rows]) for rows in drawn]
    low, high = np.quantile(resampled, (0.025, 0.975))
    classes = " ".join(f"{label} {f1:.2f}" for label, f1 in found["f1"].items())
    print(f"{name}: macro F1 {found['macro_f1']:.3f} [{low:.3f}, {high:.3f}]: {classes}")
    error = calibration_error(probabilities, data, np.ones(len(guess)))
    print(f"  most probable class right {found['accuracy']:.3f}, calibration error {error:.3f}")


def macro_f1(guess: NDArray[np.bool_], labels: NDArray[np.bool_]) -> float:
    """The mean F1 of the classes."""
    hits = (guess & labels).sum(axis=0)
    return float((2 * hits / (guess.sum(axis=0) + labels.sum(axis=0))).mean())


def calibration_error(probabilities: NDArray[np.float32], data: Texts, weights: NDArray[np.float64]) -> float:
    """Weighted mean difference of confidence and accuracy in bins; a class is right if the sentence has it."""
    confidence, top = probabilities.max(axis=1), probabilities.argmax(axis=1)
    right = data.labels[np.arange(len(top)), top]
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights * (right - confidence), minlength=BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def baseline(train: Texts, validation: Texts) -> tuple[NDArray[np.float32], Texts, NDArray[np.float64]]:
    """Probabilities of the validation data and thresholds, of one logistic regression per class."""
    part = np.random.default_rng(0).integers(0, 5, len(train.texts))
    fitted, held = np.flatnonzero(part > 0), np.flatnonzero(part == 0)
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    rows = vectors.fit_transform([train.texts[n] for n in fitted])
    model = OneVsRestClassifier(LogisticRegression(C=3.0, max_iter=1000)).fit(rows, train.labels[fitted])
    thresholds = best_thresholds(
        model.predict_proba(vectors.transform([train.texts[n] for n in held])), train.labels[held]
    )
    return model.predict_proba(vectors.transform(validation.texts)), validation, thresholds


def timing(scorer: WordsScorer, texts: list[str]) -> None:
    """Print the time per sentence, together and one by one, after a first call that loads what is needed."""
    scorer(texts[:10])
    start = time.perf_counter()
    in_batches(scorer, texts)
    together = time.perf_counter() - start
    start = time.perf_counter()
    for text in texts[:500]:
        scorer([text])
    alone = time.perf_counter() - start
    print(f"{1e3 * together / len(texts):.2f} ms per sentence together, {1e3 * alone / 500:.2f} ms one by one")


def examples(scorer: WordsScorer) -> None:
    """Print the class of each example, and whether it is scored as a transcript of its own."""
    for kind, text in EXAMPLES:
        probabilities = scorer([text])[0]
        shown = text if len(text) < 70 else f"{text[:40]}... ({len(text)} letters)"
        label = f"{AFFWILD2.names[int(probabilities.argmax())]} {probabilities.max():.2f}"
        found = score_sentences(Transcript.of([Cue(0, ticks(1), text)], "x"), scorer) if text else []
        print(f"| {kind} | {shown} | {label} | {', '.join({s.status for s in found}) or 'no sentence'} |")


def recordings(scorer: WordsScorer, table: Path, model: str, exponent: float) -> None:
    """Print the UAR of the words in recordings of SAVEE, and the loss with and without plain words."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["speaker"].startswith("savee")]
    transcriber, texts = load_transcriber(model), list[str]()
    for row in rows:
        with AudioReader(table.parent / row["path"], rate_hz=RATE_HZ) as audio:
            samples = np.concatenate([block.samples for block in audio.blocks(10)])
        texts.append(" ".join(cue.text for cue in transcriber(samples).cues))
    truth = AFFWILD2.encode([row["emotion"] for row in rows])
    weights = 1 / np.bincount(truth)[truth]
    for plain in (scorer.modality.plain, 0.0):
        modality = replace(scorer.modality, plain=plain)
        probabilities = WordsScorer(modality, classes=len(AFFWILD2))(texts)
        logs = log_softmax(exponent * np.log(probabilities + 1e-9), axis=1)[np.arange(len(truth)), truth]
        uar = metrics.uar(truth, probabilities.argmax(axis=1))
        loss = -np.average(logs, weights=weights)
        print(f"SAVEE, plain {plain:g}: UAR {uar:.3f}, cross-entropy {loss:.3f}, without words {np.log(7):.3f}")


if __name__ == "__main__":
    main()
