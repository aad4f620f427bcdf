"""Small models of sentences, and bundles of them with faces and voices."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from emofuse.core.labels import AFFWILD2
from emofuse.fusion.weighted import WeightedFusion
from emofuse.models import bundle as bundles
from emofuse.models.fusion import ModalityFusion
from emofuse.models.words import WordsModality
from emofuse.systems import WORDS_SYSTEMS, WordsSystem
from emofuse.training.words import train_words
from emofuse.words.grams import NGrams
from support import fused_bundles

SYSTEM = replace(WORDS_SYSTEMS["text-linear"], grams=NGrams(bits=12), steps=15, folds=2, known_from=1)
SENTENCES = {
    "neutral": ("the meeting is at three", "we read it on the table", "it is three and we meet"),
    "anger": ("i am so angry at you", "you are an angry idiot", "stop it you idiot"),
    "disgust": ("this is disgusting", "that is so gross", "gross and disgusting you are"),
    "fear": ("i am afraid of it", "i am scared of that", "we are afraid and scared"),
    "happiness": ("i am so happy", "this is wonderful and i am happy", "what a wonderful table"),
    "sadness": ("i am so sad", "we miss you and cry", "it is sad and i cry"),
    "surprise": ("wow i am surprised", "what a surprise", "wow what is that"),
}


def write_sentences(folder: Path) -> Path:
    """Write train.csv and validation.csv; one sentence has two labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    for split, chosen in (("train", [*rows, ("happy and surprised", "happiness+surprise")] * 4), ("validation", rows)):
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "labels"), *chosen])
    return folder


def train(folder: Path, system: WordsSystem = SYSTEM) -> bundles.Bundle:
    """A bundle of words alone."""
    return train_words(system, write_sentences(folder / "sentences"), folder / "words", lambda _: None)


def words_modality(folder: Path) -> WordsModality:
    """A model of sentences."""
    words = train(folder).words
    assert words is not None
    return words


def write_bundle(folder: Path, weights: dict[str, float]) -> Path:
    """Write a bundle of face and voice, with these weights, and of words, with the weight of "words"."""
    rest = 1 - weights["words"]
    others = {name: weight / rest for name, weight in weights.items() if name != "words"}
    plain = bundles.load(fused_bundles.write_bundle(folder / "plain", others))
    rows = np.array([[weight] * len(AFFWILD2) for weight in weights.values()], np.float32)
    fusion = ModalityFusion(WeightedFusion("mcwf", tuple(weights), AFFWILD2, rows))
    bundles.write_bundle(folder / "bundle", replace(plain, words=words_modality(folder), fusion=fusion))
    return folder / "bundle"
