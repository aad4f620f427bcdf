"""Nets that judge windows of sound, by name: each takes waveforms float [n, samples] and gives (embedding, logits)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from torch import nn

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError
from emofuse.nets.cnn1d_lstm import Cnn1dLstm, Cnn1dLstmSettings
from emofuse.nets.cnn14 import LOGMEL_16K, LOGMEL_32K, Cnn14, Cnn14Settings
from emofuse.nets.compact_speech import CompactSpeech, CompactSpeechSettings
from emofuse.nets.logmel import LogMelSettings
from emofuse.nets.speech_towers import SpeechTowers, SpeechTowersSettings


@dataclass(frozen=True)
class VoiceShape:
    """What a net is built for: windows of `samples` at `rate_hz`, each answered for `answers` equal stretches.

    tiny: a small version, for trying the whole path.
    """

    rate_hz: int
    samples: int
    answers: int = 1
    classes: int = 7
    tiny: bool = False


def build(name: str, shape: VoiceShape) -> nn.Module:
    """The net of a name with random weights.

    Raises:
        SettingsError: there is none, or it does not come in this shape.
    """
    if name not in VOICES:
        raise SettingsError(f"net {name!r}: unknown{nearest(name, VOICES)}; choose {', '.join(VOICES)}.")
    return VOICES[name](shape)


def _cnn1d_lstm(shape: VoiceShape, *, gain: float = 1.0) -> nn.Module:
    settings = Cnn1dLstmSettings(classes=shape.classes, sequence=shape.answers > 1, gain=gain)
    step, left = divmod(shape.samples, shape.answers)
    if shape.tiny:
        # 600 samples to a step. Speech is far below 1, and a small net cannot make up for that in time.
        small = Cnn1dLstmSettings((16, 32, 32), kernels=(20, 10, 8), pools=(10, 10, 6), hidden=32, dropout=0.0)
        settings = replace(small, classes=shape.classes, sequence=shape.answers > 1, gain=10 * gain)
    if shape.answers > 1:
        # The last pool is what makes as many steps as there are answers.
        *first, _ = settings.pools
        settings = replace(settings, pools=(*first, 1))
        last, rest = divmod(step, settings.step_samples)
        if left or rest or not last:
            raise SettingsError(
                f"cnn1d-lstm: {shape.samples} samples do not give {shape.answers} answers, since its other pools take "
                f"{settings.step_samples} samples together; choose another window or number of answers."
            )
        settings = replace(settings, pools=(*first, last))
    return Cnn1dLstm(settings)


def _cnn14(spectrum: LogMelSettings, shape: VoiceShape) -> nn.Module:
    """The authors' code feeds 16 kHz to the net for 32 kHz, so the rate of the sound is not held against it."""
    _one_answer("cnn14", shape)
    if shape.tiny:  # half as many bands and steps of time: a quarter of the work
        coarse = replace(spectrum, hop=2 * spectrum.hop, mels=spectrum.mels // 2)
        return Cnn14(Cnn14Settings(coarse, widths=(16, 32, 64), hidden=64, head_dropout=0.2, classes=shape.classes))
    return Cnn14(Cnn14Settings(spectrum, classes=shape.classes))


def _compact(shape: VoiceShape) -> nn.Module:
    _one_answer("compact-speech", shape)
    _at_16khz("compact-speech", shape)
    return (
        CompactSpeech.tiny(shape.classes) if shape.tiny else CompactSpeech(CompactSpeechSettings(classes=shape.classes))
    )


def _towers(shape: VoiceShape) -> nn.Module:
    _one_answer("speech-towers", shape)
    _at_16khz("speech-towers", shape)
    return SpeechTowers.tiny(shape.classes) if shape.tiny else SpeechTowers(SpeechTowersSettings(classes=shape.classes))


def _at_16khz(name: str, shape: VoiceShape) -> None:
    if shape.rate_hz != 16_000:
        raise SettingsError(f"{name}: is for sound of 16000 Hz, found {shape.rate_hz} Hz; set voice.rate_hz.")


def _one_answer(name: str, shape: VoiceShape) -> None:
    if shape.answers != 1:
        raise SettingsError(f"{name}: gives one answer for a window, found {shape.answers}; set voice.answers to 1.")


VOICES: Mapping[str, Callable[[VoiceShape], nn.Module]] = MappingProxyType(
    {
        "cnn1d-lstm": _cnn1d_lstm,
        "cnn1d-lstm-16-bit": partial(_cnn1d_lstm, gain=2.0**15),  # samples as 16-bit files hold them
        "cnn14-16k": partial(_cnn14, LOGMEL_16K),
        "cnn14-32k": partial(_cnn14, LOGMEL_32K),
        "compact-speech": _compact,
        "speech-towers": _towers,
    }
)
