"""Settings of networks of some thousand parameters with all the layers of the published ones."""

from __future__ import annotations

from emofuse.nets import compact_speech, mobilefacenet, speech_encoder
from emofuse.nets.cnn1d_lstm import Cnn1dLstmSettings
from emofuse.nets.cnn14 import Cnn14Settings
from emofuse.nets.logmel import LogMelSettings
from emofuse.nets.vggface import VGGFaceSettings
from emofuse.nets.vggface2 import VGGFace2Settings

VGGFACE2 = VGGFace2Settings(blocks=(2, 1), widths=(4, 8), stem=16, hidden=12, size=64)
VGGFACE = VGGFaceSettings(widths=(4, 6), convolutions=(2, 1), hidden=10, size=16)
CNN14 = Cnn14Settings(
    LogMelSettings(rate_hz=4_000, window=64, hop=32, mels=16, fmin=50.0, fmax=2_000.0), widths=(4, 6, 8), hidden=10
)
CNN1D_LSTM = Cnn1dLstmSettings((4, 6), kernels=(6, 5), pools=(16, 4), hidden=8)
MOBILEFACENET = mobilefacenet.build(tiny=True).settings
COMPACT_SPEECH = compact_speech.build(tiny=True).settings
SPEECH_ENCODER = speech_encoder.build(tiny=True).settings
