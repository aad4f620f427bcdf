"""Training: every net of the paper by one loop, from lazily read examples to an ONNX file.

Start with `fit`; what it needs are `Data` (two `Examples` and a `Prepare`) and `FitSettings`.
"""

from emofuse.systems.training_settings import Balance, FitSettings, Machine, Precision, SpeechAugment, WaveAugment
from emofuse.training.loop.checkpoint import read as read_checkpoint
from emofuse.training.loop.devices import DEVICES, device, fresh
from emofuse.training.loop.examples import Data, Examples, Inputs, labels
from emofuse.training.loop.export import export_onnx, face_example, wave_example
from emofuse.training.loop.face_augment import AUGMENTS, CompactAugment, Draws, PaperAugment, VideoAugment
from emofuse.training.loop.half import halve_onnx
from emofuse.training.loop.logs import EVENTS, HISTORY, Epoch, Progress, Watch
from emofuse.training.loop.loop import CHECKPOINT, KEEP, fit
from emofuse.training.loop.optimisers import OPTIMISERS, SCHEDULES, lr_at
from emofuse.training.loop.outputs import Judged, Said, evaluate, predict, prepared
from emofuse.training.loop.prepare import Faces, Prepare
from emofuse.training.loop.quantise import Int8, Quantised, quantise_onnx
from emofuse.training.loop.waveforms import PREPARE, Waveforms

__all__ = [
    "AUGMENTS",
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
    "predict",
    "prepared",
    "quantise_onnx",
    "read_checkpoint",
    "wave_example",
]
