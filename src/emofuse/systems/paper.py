"""The systems of the paper (arXiv 2010.03692) and the ten rows of its Table 1.

Visual 3 starts from a network trained on FER-2013; where the authors' weights are missing, `vggfer` trains one.
Where the authors' code differs from the text, `NAME@code` follows the code (docs/deviations.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from emofuse.core.colour import Colour
from emofuse.core.registry import find
from emofuse.core.windows import Windows
from emofuse.systems.spec import FaceNet, Head, System, VoiceNet
from emofuse.systems.training_settings import Balance, FitSettings

# AdamW, 1e-5 and 1e-5; the epoch of least validation loss; up to 60 epochs of 32, stopped after 6 without a better one.
FINE_TUNING = FitSettings(
    epochs=60,
    batch=32,
    optimiser="adamw",
    lr=1e-5,
    weight_decay=1e-5,
    schedule="constant",
    balance=Balance("log", mu=0.34),
    keep="loss",
    patience=6,
    ema_decay=None,
)
_FINE_TUNING_CODE = replace(FINE_TUNING, optimiser="adamw-amsgrad", keep="uar")
HEAD_ONLY = replace(FINE_TUNING, epochs=0)
_VGGFACE2 = FaceNet("vggface2", Colour.BGR, mean=(91.4953, 103.8827, 131.0912))
_VGGFACE2_CODE = replace(_VGGFACE2, mean=(93.5940, 104.7624, 129.1863))  # of the first VGGFace: Keras' default
_VGGFER = FaceNet("vggfer", Colour.RGB, mean=(0.0, 0.0, 0.0))  # the average image is part of the network
# The paper says that VGG-Face was fine-tuned on FER-2013, but not how. Here as VGGFace2 was, on the original labels,
# with a larger learning rate for the new last layer.
_VGGFACE = replace(_VGGFER, weights="vggface")
_FER_STAGE = replace(FINE_TUNING, lr_factors={"layers.fc8": 10.0})
WINDOWS, CHUNKS = Windows(4.0, 2.0), Windows(4.0, 4.0)
SVM = Head("svm", "poly", C=3.0, degree=3, gamma=0.1, mu=0.47)
_SVM_CODE = replace(SVM, C=2.0, degree=1, gamma=0.001)
KELM = Head("kelm", "rbf", C=1.0, normalisation="znorm+power+l2")

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
    ema_decay=None,
)
_CNN1D_LSTM = VoiceNet("cnn1d-lstm", separation="spleeter")
_CNN1D_LSTM_CODE = VoiceNet("cnn1d-lstm-16-bit", separation="spleeter", activity="none")
_CNN1D_LSTM_WINDOWS = Windows(4.0, 1.6, rate_hz=12_000, min_voice_seconds=0.3)
_PANN = VoiceNet("cnn14-16k", weights="pann-16k")
_PANN_CODE = VoiceNet("cnn14-32k", weights="pann-32k", activity="none")
_PANN_WINDOWS = Windows(3.0, 1.0, rate_hz=16_000, min_voice_seconds=0.3)
# A step takes 128 examples; not every memory holds so many at once.
_PANN_FIT = replace(_ADAM, optimiser="adam-amsgrad", lr=1e-4, batch=32, accumulate=4, balance=Balance("inverse"))

PAPER_SYSTEMS = (
    System("vggface2", "Visual 1", _VGGFACE2, FINE_TUNING),
    System("vggface2@code", "Visual 1", _VGGFACE2_CODE, _FINE_TUNING_CODE),
    System("vggface2-svm", "Visual 2", _VGGFACE2, FINE_TUNING, WINDOWS, SVM),
    System("vggface2-svm@code", "Visual 2", _VGGFACE2_CODE, _FINE_TUNING_CODE, WINDOWS, _SVM_CODE),
    System("vggfer", "the stage before Visual 3", _VGGFACE, _FER_STAGE),
    System("vggfer-kelm", "Visual 3", _VGGFER, HEAD_ONLY, CHUNKS, KELM),
    System("cnn1d-lstm", "Raw audio 4", _CNN1D_LSTM, _ADAM, _CNN1D_LSTM_WINDOWS),
    System(
        "cnn1d-lstm@code",
        "Raw audio 4",
        _CNN1D_LSTM_CODE,
        replace(_ADAM, optimiser="nadam"),
        replace(_CNN1D_LSTM_WINDOWS, rate_hz=16_000),
    ),
    System(
        "cnn1d-lstm-sequence",
        "Raw audio 4, sequence to sequence",
        _CNN1D_LSTM,
        _ADAM,
        replace(_CNN1D_LSTM_WINDOWS, segments=20),
    ),
    System("pann", "Raw audio 5", _PANN, _PANN_FIT, _PANN_WINDOWS),
    System("pann@code", "Raw audio 5", _PANN_CODE, _PANN_FIT, replace(_PANN_WINDOWS, step_seconds=0.2)),
)


@dataclass(frozen=True)
class Table1Row:
    """A row of Table 1: one system, or a fusion of several.

    row: its name in the paper. method: a name in `emofuse.fusion`, "" for a single system.
    quoted_validation, quoted_test: the paper's CPM in percent; None where the paper states none.
    """

    name: str
    row: str
    systems: tuple[str, ...]
    method: str = ""
    quoted_validation: float | None = None
    quoted_test: float | None = None


BASELINE_VALIDATION = 36.0  # CPM of the organisers' baseline, quoted by the paper

# Two of the fusions are numbered "Visual 2 & 4" and "2 & 3 & 4", but model 4 is audio; the text says what was meant.
_ROWS = (
    Table1Row("vggface2", "Visual 1", ("vggface2",), "", 50.23, 40.60),
    Table1Row("vggface2-svm", "Visual 2", ("vggface2-svm",), "", 55.66, 42.00),
    Table1Row("vggfer-kelm", "Visual 3", ("vggfer-kelm",), "", 41.10),
    Table1Row("cnn1d-lstm", "Raw audio 4", ("cnn1d-lstm",), "", 35.09),
    Table1Row("pann", "Raw audio 5", ("pann",), "", 33.68),
    Table1Row("mcwf-visual", "Visual 2 & 4", ("vggface2-svm", "vggfer-kelm"), "mcwf", 55.70, 41.70),
    Table1Row("swf-visual", "Visual 2 & 3 & 4", ("vggface2", "vggface2-svm", "vggfer-kelm"), "swf", 56.56, 41.90),
    Table1Row("mcwf-best", "Visual & Raw audio 2 & 4", ("vggface2-svm", "cnn1d-lstm"), "mcwf", 55.87, 42.10),
    Table1Row(
        "mcwf-three", "Visual & Raw audio 2 & 4 & 5", ("vggface2-svm", "cnn1d-lstm", "pann"), "mcwf", 54.78, 41.60
    ),
    Table1Row(
        "swf-four",
        "Visual & Raw audio 2 & 3 & 4 & 5",
        ("vggface2-svm", "vggfer-kelm", "cnn1d-lstm", "pann"),
        "swf",
        55.54,
        41.80,
    ),
)
TABLE1: Mapping[str, Table1Row] = MappingProxyType({row.name: row for row in _ROWS})


def table_row(name: str) -> Table1Row:
    """The row of Table 1 with this name.

    Raises:
        SettingsError: the name is unknown.

    >>> table_row("mcwf-best").systems
    ('vggface2-svm', 'cnn1d-lstm')
    """
    return find(name, TABLE1, "row")
