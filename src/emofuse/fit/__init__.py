"""Training: every net of the paper by one loop, from lazily read examples to an ONNX file.

Start with `fit`; what it needs are `Data` (two `Examples` and a `Prepare`) and `FitSettings`.
"""

from emofuse.fit.checkpoint import read as read_checkpoint
from emofuse.fit.devices import DEVICES, device, fresh
from emofuse.fit.examples import Data, Examples, Inputs, labels
from emofuse.fit.export import export_onnx, face_example, wave_example
from emofuse.fit.face_augment import AUGMENTS, CompactAugment, Draws, PaperAugment, VideoAugment
from emofuse.fit.half import halve_onnx
from emofuse.fit.logs import EVENTS, HISTORY, Epoch, Progress, Watch
from emofuse.fit.loop import CHECKPOINT, KEEP, fit
from emofuse.fit.loss import BALANCES, inverse_weights
from emofuse.fit.optimisers import OPTIMISERS, SCHEDULES, lr_at
from emofuse.fit.predicting import Judged, Said, evaluate, predict, prepared
from emofuse.fit.prepare import Faces, Prepare
from emofuse.fit.quantise import Int8, Quantised, quantise_onnx
from emofuse.fit.settings import Balance, FitSettings, Machine, Precision
from emofuse.fit.speech_augment import SpeechAugment
from emofuse.fit.waveforms import PREPARE, Waveforms

__all__ = [
    "AUGMENTS",
    "BALANCES",
    "CHECKPOINT",
    "DEVICES",
    "EVENTS",
    "HISTORY",
    "KEEP",
    "OPTIMISERS",
    "PREPARE",
    "SCHEDULES",
    "Balance",
    "CompactAugment",
    "Data",
    "Draws",
    "Epoch",
    "Examples",
    "Faces",
    "FitSettings",
    "Inputs",
    "Int8",
    "Judged",
    "Machine",
    "PaperAugment",
    "Precision",
    "Prepare",
    "Progress",
    "Quantised",
    "Said",
    "SpeechAugment",
    "VideoAugment",
    "Watch",
    "Waveforms",
    "device",
    "evaluate",
    "export_onnx",
    "face_example",
    "fit",
    "fresh",
    "halve_onnx",
    "inverse_weights",
    "labels",
    "lr_at",
    "predict",
    "prepared",
    "quantise_onnx",
    "read_checkpoint",
    "wave_example",
]
