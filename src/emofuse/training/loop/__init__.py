"""Training of every network by one loop, from lazily read examples to an ONNX file.

`fit` trains a network on `TrainingData` (two `Examples` and a `Prepare`) with `FitSettings`.
"""

from emofuse.systems.training_settings import Balance, FitSettings, Machine, SpeechAugment, WaveAugment
from emofuse.training.loop.devices import DEVICES, device, fresh
from emofuse.training.loop.examples import Examples, Inputs, TrainingData, labels
from emofuse.training.loop.export import export_onnx, face_example, wave_example
from emofuse.training.loop.face_augment import AUGMENTS, CompactAugment, Draws, FaceAugment, PaperAugment, VideoAugment
from emofuse.training.loop.logs import EVENTS, HISTORY, Callbacks, Epoch, Progress
from emofuse.training.loop.loop import CHECKPOINT, KEEP, fit
from emofuse.training.loop.loss import IMPOSSIBLE, possible_logits
from emofuse.training.loop.optimisers import OPTIMISERS, SCHEDULES, lr_at
from emofuse.training.loop.outputs import Outputs, ValidationResult, evaluate, predict, prepared
from emofuse.training.loop.prepare import Faces, Prepare, Waveforms
from emofuse.training.loop.quantise import halve_onnx, quantise_dense_onnx, quantise_onnx

__all__ = [
    "AUGMENTS",
    "CHECKPOINT",
    "DEVICES",
    "EVENTS",
    "HISTORY",
    "IMPOSSIBLE",
    "KEEP",
    "OPTIMISERS",
    "SCHEDULES",
    "Balance",
    "Callbacks",
    "CompactAugment",
    "Draws",
    "Epoch",
    "ValidationResult",
    "Examples",
    "FaceAugment",
    "Faces",
    "FitSettings",
    "Inputs",
    "Machine",
    "Outputs",
    "PaperAugment",
    "Prepare",
    "Progress",
    "SpeechAugment",
    "TrainingData",
    "VideoAugment",
    "WaveAugment",
    "Waveforms",
    "device",
    "evaluate",
    "export_onnx",
    "face_example",
    "fit",
    "fresh",
    "halve_onnx",
    "labels",
    "lr_at",
    "possible_logits",
    "predict",
    "prepared",
    "quantise_dense_onnx",
    "quantise_onnx",
    "wave_example",
]
