"""The audio systems of the paper (arXiv 2010.03692, rows Raw audio 4 and 5 of Table 1) as definitions.

Where the authors' code differs from the text, `NAME@code` is as in the code (docs/deviations.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from emofuse.systems.spec import VoiceNet, VoiceSystem
from emofuse.training.loop import Balance, FitSettings, SpeechAugment, Waveforms

# Neither text nor code says for how long; as for the faces, the epoch of least validation loss, at most 60.
_ADAM = FitSettings(
    epochs=60,
    batch=20,
    optimiser="adam",
    lr=2.5e-4,
    weight_decay=0.0,
    schedule="constant",
    keep="loss",
    patience=6,
    average_decay=None,
)
_CNN1D_LSTM = VoiceNet("cnn1d-lstm", rate_hz=12_000, seconds=4.0, step_seconds=1.6, separation="spleeter")
_CNN1D_LSTM_CODE = replace(_CNN1D_LSTM, net="cnn1d-lstm-16-bit", rate_hz=16_000, activity="none")
_PANN = VoiceNet("cnn14-16k", 16_000, seconds=3.0, step_seconds=1.0, weights="pann-16k")
# 128 examples to a step; so many at once do not fit into every memory.
_PANN_FIT = replace(_ADAM, optimiser="adam-amsgrad", lr=1e-4, batch=32, accumulate=4, balance=Balance("inverse"))

# Chosen on speakers that were left out of training (docs/results.md): the stronger the changes, the better.
_COMPACT = VoiceNet(
    "compact-speech",
    16_000,
    seconds=3.0,
    step_seconds=1.0,
    augment=Waveforms(
        shift_samples=8_000,
        augment=SpeechAugment(speed=0.1, colour_db=3.0, narrow=0.3, echo=0.3, noise=0.5, babble=0.3, fill=0.6),
    ),
)
_COMPACT_FIT = FitSettings(
    epochs=40,
    batch=16,
    optimiser="adamw",
    lr=2e-3,
    weight_decay=0.02,
    label_smoothing=0.1,
    average_decay=0.98,
    keep="loss",
)

# Each of the three towers hears a third of each batch, so 72 epochs are 24 of each.
_TOWERS_FIT = replace(_COMPACT_FIT, epochs=72, batch=48, lr=1e-3, schedule="constant", average_decay=None, mean_from=24)

VOICE_SYSTEMS: Mapping[str, VoiceSystem] = MappingProxyType(
    {
        s.name: s
        for s in (
            VoiceSystem("cnn1d-lstm", "Raw audio 4", _CNN1D_LSTM, _ADAM),
            VoiceSystem("cnn1d-lstm@code", "Raw audio 4", _CNN1D_LSTM_CODE, replace(_ADAM, optimiser="nadam")),
            VoiceSystem(
                "cnn1d-lstm-sequence", "Raw audio 4, sequence to sequence", replace(_CNN1D_LSTM, answers=20), _ADAM
            ),
            VoiceSystem("pann", "Raw audio 5", _PANN, _PANN_FIT),
            VoiceSystem(
                "pann@code",
                "Raw audio 5",
                replace(_PANN, net="cnn14-32k", weights="pann-32k", step_seconds=0.2, activity="none"),
                _PANN_FIT,
            ),
            VoiceSystem("compact-speech", "as Raw audio 5, with a small net from nothing", _COMPACT, _COMPACT_FIT),
            VoiceSystem(
                "speech-towers",
                "as compact-speech, three smaller nets as one",
                replace(_COMPACT, net="speech-towers"),
                _TOWERS_FIT,
            ),
        )
    }
)
