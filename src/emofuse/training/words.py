"""Training of a linear model of sentences: multinomial logistic regression on hashed n-grams.

A sentence with several labels counts for each of them with an equal part. Rare n-grams have greater values, so that the
penalty holds their coefficients back less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import AFFWILD2
from emofuse.core.types import Bools
from emofuse.datasets.texts import Texts, read_texts
from emofuse.models.bundle import Bundle, write_bundle
from emofuse.models.words import NET, LinearModel, WordsModality, WordsScorer
from emofuse.systems import WordsSystem
from emofuse.words.grams import words

Floats = NDArray[np.float32]
_RARE = 4.0  # divisor of the logarithms of inverse frequencies, so that they are about 1
_SEED = 0


def train_words(system: WordsSystem, data: Path, out: Path, report: Callable[[str], None]) -> Bundle:
    """Train a system of the modality words on a folder of sentences, and write the bundle.

    The calibration and the thresholds are fitted on parts of the training data, each scored by a model of the others.
    The validation data are measured once and select nothing.

    Raises:
        DataError: a table cannot be read.
    """
    train, validation = (read_texts(data, split) for split in ("train", "validation"))
    report(f"train: {len(train.texts)} sentences, validation: {len(validation.texts)}")
    rows, targets = system.grams.rows(train.texts), _targets(train.labels)
    part = np.random.default_rng(_SEED).integers(0, system.folds, len(targets))
    logits = np.zeros(targets.shape, np.float32)
    for fold in range(system.folds):
        fitted, held = part != fold, part == fold
        coefficients, intercepts = fit(rows[fitted], targets[fitted], system)
        logits[held] = rows[held] @ coefficients + intercepts
        report(f"part {fold + 1} of {system.folds} scored by a model of the others")
    natural = _calibration(logits, train.labels)
    thresholds = best_thresholds(natural(logits), train.labels)
    coefficients, intercepts = fit(rows, targets, system)
    model = LinearModel.rounded(coefficients, intercepts, _known(train, system.known_from))
    model.save(out / NET)
    calibration = _balanced_calibration(logits, train.labels)
    modality = WordsModality(
        net=out / NET,
        grams=system.grams,
        calibration=calibration,
        known_share=system.known_share,
        language=system.language,
        plain=system.plain,
        neutral=AFFWILD2.index("neutral"),
    )
    probabilities = natural(WordsScorer(modality, classes=len(AFFWILD2)).logits(validation.texts))
    card = {
        "what": f"{system.title}: {len(train.texts)} sentences",
        "definition": system.to_json(),
        "data": data.name,
        "licence": "that of the data it was trained on",
        "examples": len(train.texts),
        "thresholds": [round(float(t), 4) for t in thresholds],
        "natural_calibration": {"temperature": natural.temperature, "bias": natural.bias},
        "metrics": {"validation": measured(probabilities, validation.labels, thresholds)},
    }
    bundle = Bundle(system.name, system.digest[:12], AFFWILD2, card, words=modality)
    return write_bundle(out, bundle)


def fit(rows: Any, targets: Floats, system: WordsSystem) -> tuple[Floats, Floats]:
    """Coefficients float32 [columns, classes] and intercepts float32 [classes] of least penalised cross-entropy.

    Args:
        rows: sparse, float32 [n, columns]. targets: probabilities float32 [n, classes].
    """
    (n, columns), classes = rows.shape, targets.shape[1]
    frequencies = np.bincount(rows.indices, minlength=columns)
    rarity = (np.log((n + 1) / (frequencies + 1)) / _RARE).astype(np.float32)
    scaled = rows.copy()
    scaled.data *= rarity[scaled.indices]
    transposed = scaled.T.tocsr()

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = parameters.reshape(columns + 1, classes).astype(np.float32)
        logits = scaled @ table[:-1] + table[-1]
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        residuals = (np.exp(logs) - targets) / np.float32(n)
        penalised = np.float32(system.penalty) * table[:-1]
        value = -float((targets * logs).sum()) / n + float((penalised * table[:-1]).sum()) / 2
        slope = np.vstack([transposed @ residuals + penalised, residuals.sum(axis=0)])
        return value, slope.ravel().astype(np.float64)

    options = {"maxiter": system.steps, "maxcor": 5}
    found = minimize(loss, np.zeros((columns + 1) * classes), jac=True, method="L-BFGS-B", options=options)
    table = found.x.reshape(columns + 1, classes).astype(np.float32)
    return table[:-1] * rarity[:, None], table[-1]


def best_thresholds(probabilities: Floats, labels: Bools) -> NDArray[np.float64]:
    """The probability of each class from which on it is assigned, for the greatest F1 of each class."""
    found = []
    for column, truth in zip(probabilities.T, labels.T, strict=True):
        order = np.argsort(-column)
        hits = np.cumsum(truth[order])
        f1 = 2 * hits / (np.arange(1, len(column) + 1) + truth.sum())
        found.append(float(column[order[int(f1.argmax())]]))
    return np.array(found)


def assigned(probabilities: Floats, thresholds: NDArray[np.float64]) -> Bools:
    """The classes of each sentence, bool [n, classes]: those above their threshold, or else the nearest to it."""
    ratios = probabilities / thresholds
    nearest = ratios.argmax(axis=1)[:, None] == np.arange(ratios.shape[1])
    return np.asarray((ratios >= 1) | nearest)


def measured(probabilities: Floats, labels: Bools, thresholds: NDArray[np.float64]) -> dict[str, Any]:
    """Metrics of sentences: F1 of each class and their mean (several classes per sentence), and of the most probable
    class, which is right if the sentence has it: its accuracy, UAR over the labels, and calibration error."""
    guess = assigned(probabilities, thresholds)
    hits = (guess & labels).sum(axis=0)
    f1 = 2 * hits / np.maximum(guess.sum(axis=0) + labels.sum(axis=0), 1)
    top = probabilities.argmax(axis=1)
    right = labels[np.arange(len(top)), top]
    truth = np.where(right, top, labels.argmax(axis=1))  # of a wrong one, any of its labels
    chosen = np.equal.outer(top, np.arange(labels.shape[1]))
    recalls = (chosen & labels).sum(axis=0) / np.maximum(labels.sum(axis=0), 1)
    return {
        "sentences": len(labels),
        "macro_f1": round(float(f1.mean()), 4),
        "f1": {name: round(float(value), 4) for name, value in zip(AFFWILD2.names, f1, strict=True)},
        "accuracy": round(float(right.mean()), 4),
        "uar": round(float(recalls.mean()), 4),
        "calibration_error": round(metrics.calibration_error(truth, probabilities), 4),
    }


def _targets(labels: Bools) -> Floats:
    return np.asarray(labels / labels.sum(axis=1, keepdims=True), np.float32)


def _calibration(logits: Floats, labels: Bools) -> LogitCalibration:
    """The temperature; a sentence counts once for each of its labels."""
    rows, classes = np.nonzero(labels)
    return LogitCalibration.fit(logits[rows], classes.astype(np.int64), biased=False)


def _balanced_calibration(logits: Floats, labels: Bools) -> LogitCalibration:
    """The temperature and biases for equally frequent classes, fitted on as many sentences of each, drawn at random."""
    rng, count = np.random.default_rng(_SEED), int(labels.sum(axis=0).max())
    rows = np.concatenate([rng.choice(np.flatnonzero(column), count) for column in labels.T])
    return LogitCalibration.fit(logits[rows], np.repeat(np.arange(labels.shape[1]), count))


def _known(train: Texts, least: int) -> list[str]:
    counts = Counter(word for text in train.texts for word in set(words(text)))
    return [word for word, count in counts.items() if count >= least]
