"""Writing bundles that look and listen, out of parts that were trained one by one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from emofuse.core.calibration import LogitCalibration
from emofuse.core.files import atomic
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.core.version import __version__
from emofuse.errors import OutputError
from emofuse.fusion import save as save_fusion
from emofuse.models.bundle import Bundle, check_modalities, load, write_manifest
from emofuse.models.face import FacePart
from emofuse.models.fusion import FusionPart
from emofuse.models.voice import VoicePart

FACE_NET, HEAD, VOICE_NET, WEIGHTS = "face.onnx", "head.safetensors", "voice.onnx", "fusion.safetensors"


@dataclass(frozen=True)
class Fused:
    """What a fused bundle is made of.

    The parts are as `load(FOLDER).face` and `.voice` of bundles have them, or made by hand; their files may lie
    anywhere, nets in float32 or int8. Where single faces are fused, the face part has a calibration, and a smoothing
    if wanted.

    Raises:
        SettingsError: the fusion is not of these parts.
    """

    name: str
    version: str
    fusion: FusionPart
    face: FacePart | None = None
    voice: VoicePart | None = None

    def __post_init__(self) -> None:
        check_modalities(self.fusion, self.face, self.voice, self.fusion.label_set)


def write_fused(out: str | Path, fused: Fused, *, card: Mapping[str, Any]) -> Bundle:
    """Copy the files of the parts to the folder `out`, write the fusion and the manifest, and load the result.

    Args:
        card: what `emofuse systems` shows: at least `what`, `data`, `licence` and `figures`.
    Raises:
        OutputError: the folder cannot be written, or a file of a part cannot be read.
        BundleError: what was written cannot be loaded, as a head that is for other labels.
    """
    out = Path(out)
    content: dict[str, Any] = {"name": fused.name, "version": fused.version}
    content["labels"] = list(fused.fusion.label_set.names)
    files = [WEIGHTS]
    save_fusion(out / WEIGHTS, fused.fusion.weights)
    if fused.face is not None:
        files.append(_copied(fused.face.net, out / FACE_NET))
        content["face"] = _face_json(fused.face)
        if fused.face.windows is not None and fused.face.head is not None:
            files.append(_copied(fused.face.head, out / HEAD))
            width, step = fused.face.windows.width, fused.face.windows.step
            content["window"] = {"seconds": _seconds(width), "step_seconds": _seconds(step), "head": HEAD}
    if fused.voice is not None:
        files.append(_copied(fused.voice.net, out / VOICE_NET))
        content["voice"] = _voice_json(fused.voice)
    calibrations = {key: _calibration_json(c) for key, c in fused.fusion.calibrations.items()}
    content["fusion"] = {"weights": WEIGHTS, "calibrations": calibrations}
    content["card"] = {"emofuse": __version__, **card}
    write_manifest(out, content, files=tuple(files))
    return load(out)


def _copied(source: Path, target: Path) -> str:
    if not (target.exists() and target.samefile(source)):
        try:
            with source.open("rb") as given, atomic(target) as partial, partial.open("wb") as copy:
                shutil.copyfileobj(given, copy)
        except OSError as error:
            raise OutputError(f"{source}: cannot be copied to {target.parent} ({error.strerror}).") from None
    return target.name


def _face_json(part: FacePart) -> dict[str, Any]:
    found: dict[str, Any] = {
        "net": FACE_NET,
        "colour": part.input.colour.value,
        "mean": list(part.input.mean),
        "scale": list(part.input.scale),
        "crop": part.crop.to_json(),
    }
    if part.calibration is not None:
        found |= _calibration_json(part.calibration)
    if part.smoothing is not None:
        found["smoothing_seconds"] = _seconds(part.smoothing.reach)
    return found


def _voice_json(part: VoicePart) -> dict[str, Any]:
    windows = part.windows
    return {
        "net": VOICE_NET,
        "rate_hz": windows.rate_hz,
        "seconds": _seconds(windows.width),
        "step_seconds": _seconds(windows.step),
        "answers": windows.segments,
        "least_voice_seconds": _seconds(windows.min_voice),
        "separation": part.separation,
        "activity": part.activity,
        **_calibration_json(part.calibration),
    }


def _calibration_json(calibration: LogitCalibration) -> dict[str, Any]:
    return {"temperature": calibration.temperature, "bias": list(calibration.bias)}


def _seconds(ticks: int) -> str:
    return str(Fraction(ticks, TICKS_PER_SECOND))
