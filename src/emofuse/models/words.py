"""The words modality of a bundle: a linear model of sentences, and the words by which it knows its language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from emofuse.core.arrays import ArrayFormat
from emofuse.core.calibration import LogitCalibration
from emofuse.errors import BundleError
from emofuse.models.face import calibration_of
from emofuse.words.grams import NGrams, words

NET = "words.safetensors"
FORMAT = ArrayFormat("linear model of sentences", 1, remedy="get the bundle again")


@dataclass(frozen=True)
class WordsModality:
    """How a bundle classifies sentences.

    net: safetensors file of the coefficients and the known words.
    known_share: smallest fraction of known words in a sentence of its `language`, such as "en".
    plain: fraction of what is said with an emotion whose words are as those of neutral sentences; 0 to 1.
    neutral: index of the neutral class.
    """

    net: Path
    grams: NGrams
    calibration: LogitCalibration
    known_share: float
    language: str
    plain: float
    neutral: int

    @property
    def files(self) -> dict[str, Path]:
        """Files by their names in a bundle."""
        return {NET: self.net}

    def to_json(self) -> dict[str, Any]:
        """As `bundle.json` contains it."""
        return asdict(self) | {"net": NET}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], folder: Path) -> WordsModality:
        """The modality in `bundle.json`.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: it is incomplete or wrong.
        """
        return cls(
            folder / content["net"],
            NGrams(**content["grams"]),
            calibration_of(content["calibration"]),
            float(content["known_share"]),
            str(content["language"]),
            float(content["plain"]),
            int(content["neutral"]),
        )


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Logits of sentences: rows @ (coefficients * scales) + intercepts, with coefficients rounded to int8.

    coefficients: int8 [columns, classes]. scales, intercepts: float32 [classes].
    known: int64 [n], sorted; `word_hash` of the words that the model knows.
    """

    coefficients: NDArray[np.int8]
    scales: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    known: NDArray[np.int64]

    @classmethod
    def rounded(
        cls, coefficients: NDArray[np.float32], intercepts: NDArray[np.float32], known: Sequence[str]
    ) -> LinearModel:
        """The model of float32 coefficients [columns, classes]."""
        scales = np.maximum(np.abs(coefficients).max(axis=0), np.float32(1e-9)) / np.float32(127)
        hashes = np.unique(np.array([word_hash(word) for word in known], np.int64))
        rounded = np.rint(coefficients / scales).astype(np.int8)
        return cls(rounded, scales.astype(np.float32), intercepts.astype(np.float32), hashes)

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        FORMAT.write(path, dict(vars(self)))

    @classmethod
    def load(cls, path: Path) -> LinearModel:
        """Read it.

        Raises:
            BundleError: the file is missing, damaged, or of another kind.
        """
        arrays, _ = FORMAT.read(path)
        try:
            return cls(**arrays)
        except TypeError as error:
            raise FORMAT.damaged(path, error) from None

    def __call__(self, rows: Any) -> NDArray[np.float32]:
        """Logits float32 [n, classes] of sparse rows float32 [n, columns]."""
        used = np.unique(rows.indices)
        coefficients = self.coefficients[used].astype(np.float32) * self.scales
        return np.asarray(rows[:, used] @ coefficients + self.intercepts, np.float32)


class WordsScorer:
    """Sentences to calibrated probabilities.

    Raises:
        BundleError: the model does not fit the n-grams or the label names.
    """

    def __init__(self, modality: WordsModality, *, classes: int) -> None:
        self.modality, self._model = modality, LinearModel.load(modality.net)
        expected = (2**modality.grams.bits, classes)
        if self._model.coefficients.shape != expected or self._model.coefficients.dtype != np.int8:
            raise BundleError(
                f"{modality.net}: has coefficients {list(self._model.coefficients.shape)}, but its n-grams and labels "
                f"need {list(expected)}; the bundle is mislabelled, get it again."
            )

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities float32 [n, classes] of sentences, for equally frequent classes.

        A sentence is as likely for an emotion as for it where words show it, or as for neutral where they do not.
        """
        probabilities = self.modality.calibration(self.logits(texts))
        plain = np.float32(self.modality.plain)
        mixed = (1 - plain) * probabilities + plain * probabilities[:, [self.modality.neutral]]
        return np.asarray(mixed / mixed.sum(axis=1, keepdims=True), np.float32)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits float32 [n, classes] of sentences, without calibration."""
        return self._model(self.modality.grams.rows(texts))

    def known(self, text: str) -> tuple[int, int]:
        """The number of known words of a sentence, and of all its words."""
        hashes = np.array([word_hash(word) for word in words(text)], np.int64)
        return int(np.isin(hashes, self._model.known).sum()), len(hashes)


def word_hash(word: str) -> int:
    """A number from 0 to 2**32 - 1 that stands for a word."""
    return crc32(word.encode())
