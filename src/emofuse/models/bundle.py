"""A bundle: the folder that a trained system is kept in, without pickles.

`bundle.json` says what it is: label names, face crop and preprocessing, temperature, training data,
figures, licence, and the SHA-256 of every other file and of itself. Nets are ONNX files.

Format 1 looks at faces or listens. Format 2 has a fusion as well, of all that its parts say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.files import digest, file_digest, write_json
from emofuse.core.labels import LabelSet
from emofuse.core.registry import nearest
from emofuse.core.smoothing import Triangle
from emofuse.core.time import ticks
from emofuse.core.windows import Windows
from emofuse.errors import BundleError, LabelError, SettingsError, ShapeError
from emofuse.faces import crop as crops
from emofuse.fusion import load as load_fusion
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.weighted import WeightedFusion
from emofuse.models.face import EMBEDDING, OUTPUT, FaceInput, FaceJudge, FacePart, FaceScorer
from emofuse.models.fusion import FACE, VOICE, WINDOWS, FusionPart
from emofuse.models.voice import VoicePart, VoiceScorer
from emofuse.runtime import Engine

if TYPE_CHECKING:
    from emofuse.heads.saved import LabelledHead

PLAIN, FUSED = FORMATS = (1, 2)
MANIFEST = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """A trained system as it lies on disk; `identity` changes with anything that could change a result.

    It looks at faces or listens to voices, and the other part is None; or its `fusion` says which of what both say
    counts for how much.
    """

    name: str
    version: str
    label_set: LabelSet
    identity: str
    card: Mapping[str, Any]
    face: FacePart | None = None
    voice: VoicePart | None = None
    fusion: FusionPart | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the parts that judge, of `emofuse.models.fusion.MODALITIES`."""
        if self.fusion is not None:
            return self.fusion.modalities
        if self.face is None:
            return (VOICE,)
        return (WINDOWS,) if self.face.windows else (FACE,)

    def face_judge(self, engine: Engine) -> FaceScorer | FaceJudge | None:
        """The net on faces as the parts need it: probabilities, embeddings, or both of one run.

        Raises:
            BundleError: the net does not fit the label names.
        """
        if self.face is not None and {FACE, WINDOWS} <= set(self.modalities):
            return FaceJudge(self.face, engine, classes=len(self.label_set))
        return self.face_scorer(engine, embeddings=WINDOWS in self.modalities)

    def face_scorer(self, engine: Engine, *, embeddings: bool = False) -> FaceScorer | None:
        """The net on faces, ready to run: probabilities, or embeddings if asked for or where windows are judged.

        Raises:
            BundleError: the net does not fit the label names.
        """
        if self.face is None:
            return None
        output = EMBEDDING if embeddings or self.face.calibration is None else OUTPUT
        return FaceScorer(self.face, engine, classes=len(self.label_set), output=output)

    def voice_scorer(self, engine: Engine) -> VoiceScorer | None:
        """The net on windows of sound, ready to run.

        Raises:
            BundleError: the net does not fit the label names.
        """
        return None if self.voice is None else VoiceScorer(self.voice, engine, classes=len(self.label_set))

    def window_head(self) -> LabelledHead | None:
        """The head that judges windows of faces, if the system has one.

        Raises:
            BundleError: it is damaged, or for other labels.
        """
        if self.face is None or self.face.head is None:
            return None
        from emofuse.heads.saved import load as load_head  # brings scikit-learn, which single faces do without

        head = load_head(self.face.head)
        if head.label_set != self.label_set:
            raise BundleError(
                f"bundle {self.name}: labels {', '.join(self.label_set.names)}, but its head was fitted on "
                f"{', '.join(head.label_set.names)}; the bundle is mislabelled, get it again."
            )
        return head


def shipped() -> dict[str, Path]:
    """Bundles inside the package, by name."""
    folder = Path(str(resources.files("emofuse"))) / "bundles"
    return {p.parent.name: p.parent for p in sorted(folder.glob(f"*/{MANIFEST}"))}


def load(name_or_folder: str | Path) -> Bundle:
    """A bundle by the name of one that ships, or by its folder. Every file is checked against its SHA-256.

    A word is the name of one that ships if there is one; a `Path` is always a folder.

    Raises:
        BundleError: unknown, damaged, changed by hand, or of another format.

    >>> load("default").label_set.names[0]
    'neutral'
    """
    known = shipped()
    folder = name_or_folder if isinstance(name_or_folder, Path) else known.get(name_or_folder, Path(name_or_folder))
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise BundleError(
            f"bundle {str(name_or_folder)!r}: neither a folder with a {MANIFEST} nor one of: "
            f"{', '.join(known)}{nearest(str(name_or_folder), known)}."
        )
    content = _read(manifest)
    for file, expected in content["files"].items():
        path = folder / file
        if not path.is_file() or file_digest(path) != expected:
            state = "is damaged (its SHA-256 differs)" if path.is_file() else "is missing"
            raise BundleError(f"bundle {folder}: {file} {state}; get the bundle again.")
    return _bundle(folder, content)


def _read(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_text("utf-8"))
        stated = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{manifest}: not a bundle description ({error!r}); get the bundle again.") from None
    if content.get("format") not in FORMATS:
        raise BundleError(
            f"{manifest}: format {content.get('format')!r}, this emofuse reads {' and '.join(map(str, FORMATS))}; "
            "update emofuse or the bundle."
        )
    if digest(content) != stated:
        raise BundleError(f"{manifest}: changed after it was made (its checksum differs); get the bundle again.")
    return dict(content)


def _bundle(folder: Path, content: dict[str, Any]) -> Bundle:
    try:
        fused = content["format"] == FUSED
        if fused != ("fusion" in content) or not (fused or ("face" in content) ^ ("voice" in content)):
            raise ValueError("neither a face nor a voice, or both without a fusion of format 2")
        bundle = Bundle(
            name=content["name"],
            version=content["version"],
            label_set=LabelSet(tuple(content["labels"])),
            identity=digest(content),
            card=content["card"],
            face=_face(folder, content["face"], content.get("window"), fused=fused) if "face" in content else None,
            voice=_voice(folder, content["voice"]) if "voice" in content else None,
            fusion=_fusion(folder, content["fusion"]) if fused else None,
        )
        check_modalities(bundle.fusion, bundle.face, bundle.voice, bundle.label_set)
        return bundle
    except (KeyError, TypeError, ValueError, LabelError, SettingsError, ShapeError) as error:
        reason = str(error).rstrip(".")
        raise BundleError(f"{folder / MANIFEST}: incomplete or wrong ({reason}); get the bundle again.") from None


def check_modalities(
    fusion: FusionPart | None, face: FacePart | None, voice: VoicePart | None, labels: LabelSet
) -> None:
    """Whether what is fused is what is there.

    Raises:
        SettingsError: it is not, or is of other labels.
    """
    if fusion is None:
        return
    here = {WINDOWS: face is not None and face.windows is not None, VOICE: voice is not None}
    here[FACE] = face is not None and face.calibration is not None
    missing = [p for p in fusion.modalities if not here[p]]
    idle = [p for p in (WINDOWS, VOICE) if here[p] and p not in fusion.modalities]
    if face is not None and not {FACE, WINDOWS} & set(fusion.modalities):
        idle.append(FACE)
    if missing or idle:
        lacks = f"the fusion of {', '.join(fusion.modalities)} lacks {', '.join(missing)}"
        raise SettingsError(lacks if missing else f"{', '.join(idle)} is there, but has no weight in the fusion")
    if fusion.label_set != labels:
        raise SettingsError(f"the fusion was fitted on the labels {', '.join(fusion.label_set.names)}")


def _face(folder: Path, face: Mapping[str, Any], window: Mapping[str, Any] | None, *, fused: bool) -> FacePart:
    reach = face.get("smoothing_seconds") if fused else None
    return FacePart(
        net=folder / face["net"],
        crop=crops.from_json(face["crop"]),
        input=FaceInput(Colour(face["colour"]), tuple(face["mean"]), tuple(face["scale"])),
        calibration=_calibration(face) if (fused and "temperature" in face) or not window else None,
        windows=_windows(window) if window else None,
        head=folder / window["head"] if window else None,
        smoothing=Triangle(ticks(Fraction(reach))) if reach is not None else None,
    )


def _fusion(folder: Path, fusion: Mapping[str, Any]) -> FusionPart:
    weights = load_fusion(folder / fusion["weights"])
    if not isinstance(weights, WeightedFusion | LogPoolFusion):
        raise SettingsError(f"the fusion {weights.method} has no weights of parts")
    return FusionPart(weights, {key: _calibration(c) for key, c in fusion["calibrations"].items()})


def _voice(folder: Path, voice: Mapping[str, Any]) -> VoicePart:
    return VoicePart(
        net=folder / voice["net"],
        windows=_windows(voice),
        calibration=_calibration(voice),
        separation=voice["separation"],
        activity=voice["activity"],
    )


def _calibration(part: Mapping[str, Any]) -> LogitCalibration:
    return LogitCalibration(float(part["temperature"]), tuple(part["bias"]))


def _windows(content: Mapping[str, Any]) -> Windows:
    width, step, least = (
        float(Fraction(content.get(k, "0"))) for k in ("seconds", "step_seconds", "least_voice_seconds")
    )
    return Windows(width, step, content.get("rate_hz", 0), content.get("answers", 1), least)


def write_manifest(folder: Path, content: Mapping[str, Any], *, files: tuple[str, ...]) -> None:
    """Write `bundle.json` with the checksums of `files` and of itself; the other files must be there."""
    form = FUSED if "fusion" in content else PLAIN
    body = {"format": form, **content, "files": {f: file_digest(folder / f) for f in files}}
    write_json(folder / MANIFEST, body | {"sha256": digest(body)})
