"""Systems that are not in the paper: its methods with smaller networks, which train on a desktop computer."""

from __future__ import annotations

from dataclasses import replace

from emofuse.core.chunks import Chunks
from emofuse.core.colour import IMAGENET_MEAN, IMAGENET_SCALE, Colour
from emofuse.core.windows import Windows
from emofuse.systems.paper import CHUNKS, FINE_TUNING, HEAD_ONLY, KELM, SVM, WINDOWS
from emofuse.systems.spec import FaceNet, Probe, System, VoiceNet, WordsSystem
from emofuse.systems.training_settings import Balance, FitSettings, SpeechAugment, WaveAugment

_MOBILE = FaceNet("mobilefacenet", Colour.RGB, mean=IMAGENET_MEAN, scale=IMAGENET_SCALE, size=112)
_EXPRESSION = replace(_MOBILE, weights="expression", size=64, side=64, framing="fer")
_FAST = replace(FINE_TUNING, lr=3e-4)
# Few epochs on soft targets; the exponential moving average of the weights is kept.
_MOBILE_FER = replace(_MOBILE, augment="compact", votes_weight=0.4)
_FER_STAGE = FitSettings(
    epochs=8,
    batch=32,
    optimiser="adamw",
    lr=1e-3,
    weight_decay=1e-4,
    warmup_epochs=0.5,
    balance=Balance("log", mu=0.34),
)

# Chosen on speakers left out of training (docs/results.md): the stronger the augmentation, the better.
_SPEECH = VoiceNet(
    "compact-speech",
    augment=WaveAugment(
        shift_samples=8_000,
        speech=SpeechAugment(speed=0.1, colour_db=3.0, narrow=0.3, echo=0.3, noise=0.5, babble=0.3, fill=0.6),
    ),
)
_SPEECH_WINDOWS = Windows(3.0, 1.0, rate_hz=16_000, min_voice_seconds=0.3)
_SPEECH_FIT = FitSettings(
    epochs=40,
    batch=16,
    optimiser="adamw",
    lr=2e-3,
    weight_decay=0.02,
    label_smoothing=0.1,
    ema_decay=0.98,
    keep="loss",
)

# The encoder stays as published: a linear layer on it transfers better than fine-tuned blocks (docs/lab/voices.md).
_ENCODER = VoiceNet(
    "speech-encoder",
    weights="whisper-tiny-en",
    augment=WaveAugment(
        speech=SpeechAugment(speed=0.1, colour_db=3.0, narrow=0.3, echo=0.3, noise=0.5, babble=0.3),
    ),
    chunks=Chunks(2.0, before_seconds=0.24, after_seconds=0.16),
    probe=Probe(penalty=0.05, copies=2),
)

SMALL_SYSTEMS = (
    System("mobile", "as Visual 1, with MobileFaceNet", _MOBILE, _FAST),
    System("mobile-svm", "as Visual 2, with MobileFaceNet", _MOBILE, _FAST, WINDOWS, SVM),
    System("mobile-fer", "as the stage before Visual 3, with MobileFaceNet", _MOBILE_FER, _FER_STAGE),
    System("mobile-kelm", "as Visual 3, with MobileFaceNet", _MOBILE, HEAD_ONLY, CHUNKS, KELM),
    System("expression", "as Visual 1, with the network of the default bundle", _EXPRESSION, _FAST),
    System("expression-svm", "as Visual 2, with the network of the default bundle", _EXPRESSION, _FAST, WINDOWS, SVM),
    System(
        "expression-kelm", "as Visual 3, with the network of the default bundle", _EXPRESSION, HEAD_ONLY, CHUNKS, KELM
    ),
    System(
        "compact-speech", "as Raw audio 5, with a small network from scratch", _SPEECH, _SPEECH_FIT, _SPEECH_WINDOWS
    ),
    System(
        "speech-encoder",
        "as Raw audio 5, with three frozen blocks of Whisper tiny.en",
        _ENCODER,
        FitSettings(epochs=0),
        _SPEECH_WINDOWS,
    ),
)
WORDS_SYSTEMS = (WordsSystem("text-linear", "sentences by a linear model of hashed n-grams"),)
