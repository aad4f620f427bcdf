"""The visual systems of the paper (arXiv 2010.03692, rows Visual 1 to 3 of Table 1) as definitions.

Visual 3 starts from a net that has learned expressions on FER-2013; without the authors', `vggfer` trains one.
Where the authors' code differs from the text, `NAME@code` is as in the code (docs/deviations.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from emofuse.core.colour import Colour
from emofuse.systems.spec import FaceNet, Head, System, Window
from emofuse.training.loop import Balance, FitSettings

# AdamW, 1e-5 and 1e-5; the epoch of least validation loss; up to 60 epochs of 32, stopped after 6 without a better one.
_FINE_TUNING = FitSettings(
    epochs=60,
    batch=32,
    optimiser="adamw",
    lr=1e-5,
    weight_decay=1e-5,
    schedule="constant",
    balance=Balance("log", mu=0.34),
    keep="loss",
    patience=6,
    average_decay=None,
)
_VGGFACE2 = FaceNet("vggface2", Colour.BGR, mean=(91.4953, 103.8827, 131.0912))
_VGGFACE2_CODE = replace(_VGGFACE2, mean=(93.5940, 104.7624, 129.1863))  # of the first VGGFace: Keras' default
_VGGFER = FaceNet("vggfer", Colour.RGB, mean=(0.0, 0.0, 0.0))  # the average image is part of the net
_MOBILE = FaceNet("mobilefacenet", Colour.RGB, mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375), size=112)
_COMPACT = FaceNet("compact", Colour.GREY, mean=(0.0,), scale=(255.0,), size=48, side=48, framing="fer")
_AS_IN_THE_CODE = replace(_FINE_TUNING, optimiser="adamw-amsgrad", keep="uar")
_FOR_MOBILE = replace(_FINE_TUNING, lr=3e-4)
_HEAD_ALONE = replace(_FINE_TUNING, epochs=0)
# The stage before Visual 3: the paper says that VGG-Face was fine-tuned on FER-2013, but not how. Here as VGGFace2 was,
# on the original labels, with a new last layer that may learn faster.
_VGGFACE = replace(_VGGFER, weights="vggface")
_FER_STAGE = replace(_FINE_TUNING, lr_factors={"layers.fc8": 10.0})
# Few epochs of a small net on soft targets, the running average of its weights kept: what a desk can do in hours.
_MOBILE_FER = replace(_MOBILE, augment="compact", votes_share=0.4)
_FER_STAGE_OF_MOBILE = FitSettings(
    epochs=8,
    batch=32,
    optimiser="adamw",
    lr=1e-3,
    weight_decay=1e-4,
    warmup_epochs=0.5,
    balance=Balance("log", mu=0.34),
)
_CHUNKS = Window(Head("kelm", "rbf", C=1.0, normalisation="znorm+power+l2"), step_seconds=4.0)  # without overlap
_SVM = Head("svm", "poly", C=3.0, degree=3, gamma=0.1, mu=0.47)
_SVM_CODE = replace(_SVM, C=2.0, degree=1, gamma=0.001)

FACE_SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        s.name: s
        for s in (
            System("vggface2", "Visual 1", _VGGFACE2, _FINE_TUNING),
            System("vggface2@code", "Visual 1", _VGGFACE2_CODE, _AS_IN_THE_CODE),
            System("vggface2-svm", "Visual 2", _VGGFACE2, _FINE_TUNING, Window(_SVM)),
            System("vggface2-svm@code", "Visual 2", _VGGFACE2_CODE, _AS_IN_THE_CODE, Window(_SVM_CODE)),
            System("vggfer", "the stage before Visual 3", _VGGFACE, _FER_STAGE),
            System("vggfer-kelm", "Visual 3", _VGGFER, _HEAD_ALONE, _CHUNKS),
            System("mobile", "as Visual 1, with MobileFaceNet", _MOBILE, _FOR_MOBILE),
            System("mobile-svm", "as Visual 2, with MobileFaceNet", _MOBILE, _FOR_MOBILE, Window(_SVM)),
            System("mobile-fer", "as the stage before Visual 3, with MobileFaceNet", _MOBILE_FER, _FER_STAGE_OF_MOBILE),
            System("mobile-kelm", "as Visual 3, with MobileFaceNet", _MOBILE, _HEAD_ALONE, _CHUNKS),
            System("compact", "as Visual 1, with the compact net of FER-2013", _COMPACT, _FOR_MOBILE),
            System("compact-svm", "as Visual 2, with the compact net of FER-2013", _COMPACT, _FOR_MOBILE, Window(_SVM)),
            System("compact-kelm", "as Visual 3, with the compact net of FER-2013", _COMPACT, _HEAD_ALONE, _CHUNKS),
        )
    }
)  # fmt: skip
