"""A bundle: the folder of a trained system, without pickles.

`bundle.json` contains the label names, the modalities (faces, voice, words), the fusion of several modalities, a card
(training data, settings, metrics, licence), and the SHA-256 of every other file and of itself. Networks are ONNX
files; models of sentences, heads and fusions are safetensors.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.files import atomic, digest, file_digest, write_json
from emofuse.core.labels import LabelSet
from emofuse.core.registry import nearest
from emofuse.core.version import __version__
from emofuse.errors import BundleError, LabelError, OutputError, SettingsError, ShapeError
from emofuse.fusion import save as save_fusion
from emofuse.models.face import EMBEDDING, IDENTITY, OUTPUT, FaceModality, FaceOutputsScorer, FaceScorer
from emofuse.models.fusion import WEIGHTS, WINDOWS, ModalityFusion, ordered
from emofuse.models.voice import FrameScorer, VoiceModality, VoiceScorer, voice_scorer
from emofuse.models.words import WordsModality, WordsScorer
from emofuse.runtime import Engine
from emofuse.systems.spec import FACE, VOICE, WORDS, kind

if TYPE_CHECKING:
    from emofuse.heads.saved import LabelledHead

FORMAT = 3
MANIFEST = "bundle.json"
Modality = FaceModality | VoiceModality | WordsModality
_MODALITIES: dict[str, type[Modality]] = {FACE: FaceModality, VOICE: VoiceModality, WORDS: WordsModality}
_KEY = re.compile(rf"({FACE}|{VOICE}):[\w@-][\w.@-]*")  # of further networks
TRAIN_FILES = "train_files"  # entry of a card: digests of the files it was trained on, separated by spaces


@dataclass(frozen=True)
class Bundle:
    """A trained system: one modality, or a fusion of several.

    face, voice, words: its networks, and its model of sentences. further: more networks by kind and name, such as
        "voice:pann"; they score the same crops and the same audio.
    card: information for users: at least `what`, `data`, `licence` and `metrics`.
    identity: changes with anything that could change a result; "" for a bundle that is not written yet.

    Raises:
        SettingsError: the fusion does not fit the modalities or the labels.
    """

    name: str
    version: str
    label_set: LabelSet
    card: Mapping[str, Any]
    face: FaceModality | None = None
    voice: VoiceModality | None = None
    fusion: ModalityFusion | None = None
    identity: str = ""
    further: Mapping[str, FaceModality | VoiceModality] = field(default_factory=dict)
    words: WordsModality | None = None

    def __post_init__(self) -> None:
        if self.fusion is None:
            if len(self.networks) != 1 or self.further:
                raise SettingsError("it has no modality, or several without a fusion")
            return
        if wrong := [key for key in self.further if not _KEY.fullmatch(key)]:
            raise SettingsError(f"network {wrong[0]!r}: name it face:NAME or voice:NAME, of letters, digits and '.@_-'")
        faces = list(self.faces.values())
        if any(f.crop != faces[0].crop or f.smoothing != faces[0].smoothing for f in faces):
            raise SettingsError("its networks for faces differ in their crop or smoothing")
        present, fused = modalities_of(self.networks), self.fusion.modalities
        if missing := [m for m in fused if m not in present]:
            raise SettingsError(f"the fusion of {', '.join(fused)} lacks {', '.join(missing)}")
        idle = [m for m in present if m not in fused and kind(m) != FACE]
        idle += [key for key, n in self.networks.items() if not set(fused) & set(modalities_of({key: n}))]
        if idle := list(dict.fromkeys(idle)):
            raise SettingsError(f"{', '.join(idle)} has no weight in the fusion")
        if self.fusion.label_set != self.label_set:
            raise SettingsError(f"the fusion was fitted on the labels {', '.join(self.fusion.label_set.names)}")

    @property
    def train_files(self) -> frozenset[str]:
        """`clip_digests` of the files that it, or the bundles in it, were trained on, as far as they are known."""
        cards = [self.card, *self.card.get("bundles", {}).values()]
        return frozenset(digest for card in cards for digest in card.get(TRAIN_FILES, "").split())

    @property
    def networks(self) -> dict[str, Modality]:
        """All networks, and the model of sentences, by kind and name."""
        first: dict[str, Modality | None] = {FACE: self.face, VOICE: self.voice, WORDS: self.words}
        return {key: network for key, network in first.items() if network is not None} | dict(self.further)

    @property
    def faces(self) -> dict[str, FaceModality]:
        """The networks for faces."""
        return {key: network for key, network in self.networks.items() if isinstance(network, FaceModality)}

    @property
    def voices(self) -> dict[str, VoiceModality]:
        """The networks for voices."""
        return {key: network for key, network in self.networks.items() if isinstance(network, VoiceModality)}

    @property
    def person_threshold(self) -> float | None:
        """Cosine from which two faces belong to one person; None if no network has an output for it."""
        return next((face.identity.threshold for face in self.faces.values() if face.identity is not None), None)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that are scored, of the kinds in `emofuse.models.fusion.MODALITIES`."""
        if self.fusion is not None:
            return self.fusion.modalities
        present = modalities_of(self.networks)
        return (WINDOWS,) if WINDOWS in present else present

    def face_scorer(self, engine: Engine, key: str = FACE) -> FaceScorer | FaceOutputsScorer | None:
        """A face network, which returns what the modalities need: probabilities, embeddings, or both; and identities.

        key: of `faces`.

        Raises:
            BundleError: the network does not fit the label names.
        """
        face = self.faces.get(key)
        if face is None:
            return None
        classes, needed = len(self.label_set), set(self.modalities) & set(modalities_of({key: face}))
        outputs = [OUTPUT] if any(kind(m) == FACE for m in needed) else []
        outputs += [EMBEDDING] if any(kind(m) == WINDOWS for m in needed) else []
        outputs += [IDENTITY] if face.identity is not None else []
        if len(outputs) == 1:
            return FaceScorer(face, engine, classes=classes, output=outputs[0])
        return FaceOutputsScorer(face, engine, classes=classes, outputs=tuple(outputs))

    def voice_scorer(self, engine: Engine, key: str = VOICE) -> VoiceScorer | FrameScorer | None:
        """The networks of a voice, of `voices`, ready to run.

        Raises:
            BundleError: the network does not fit the windows or the label names.
        """
        voice = self.voices.get(key)
        return None if voice is None else voice_scorer(voice, engine, classes=len(self.label_set))

    def words_scorer(self) -> WordsScorer | None:
        """The model of sentences, ready to run, if there is one.

        Raises:
            BundleError: it is damaged, or does not fit the label names.
        """
        return None if self.words is None else WordsScorer(self.words, classes=len(self.label_set))

    def window_head(self, key: str = FACE) -> LabelledHead | None:
        """The head that classifies windows of faces, if a network, of `faces`, has one.

        Raises:
            BundleError: it is damaged, or for other labels.
        """
        face = self.faces.get(key)
        if face is None or face.head is None:
            return None
        from emofuse.heads.saved import load as load_head  # imports scikit-learn, which single faces do not need

        head = load_head(face.head)
        if head.label_set != self.label_set:
            raise BundleError(
                f"bundle {self.name}: labels {', '.join(self.label_set.names)}, but its head was fitted on "
                f"{', '.join(head.label_set.names)}; the bundle is mislabelled, get it again."
            )
        return head


def modalities_of(networks: Mapping[str, Modality]) -> tuple[str, ...]:
    """The modalities that networks by kind and name provide: for faces one, with a head on windows one or two."""
    found = []
    for key, network in networks.items():
        name = key.removeprefix(kind(key))
        if isinstance(network, VoiceModality | WordsModality):
            found.append(key)
        else:
            found += [FACE + name] if network.calibration is not None else []
            found += [WINDOWS + name] if network.windows is not None else []
    return ordered(found)


def bundled() -> dict[str, Path]:
    """Folders of the bundles inside the package, by name."""
    folder = Path(str(resources.files("emofuse"))) / "bundles"
    return {p.parent.name: p.parent for p in sorted(folder.glob(f"*/{MANIFEST}"))}


def load(name_or_folder: str | Path) -> Bundle:
    """A bundle by the name of a bundled one, or by its folder. Every file is checked against its SHA-256.

    A string is the name of a bundled one if there is one; a `Path` is always a folder.

    Raises:
        BundleError: it is unknown, damaged, edited, or of another format.

    >>> load("default").label_set.names[0]
    'neutral'
    """
    known = bundled()
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
    try:
        modalities, fusion = content["modalities"], content["fusion"]
        return Bundle(
            name=content["name"],
            version=content["version"],
            label_set=LabelSet(tuple(content["labels"])),
            card=content["card"],
            face=FaceModality.from_json(modalities[FACE], folder) if FACE in modalities else None,
            voice=VoiceModality.from_json(modalities[VOICE], folder) if VOICE in modalities else None,
            words=WordsModality.from_json(modalities[WORDS], folder) if WORDS in modalities else None,
            further={
                key: _MODALITIES[kind(key)].from_json(each, folder / _subfolder(key))  # type: ignore[misc]
                for key, each in modalities.items()
                if key not in (FACE, VOICE, WORDS)
            },
            fusion=ModalityFusion.from_json(fusion, folder) if fusion is not None else None,
            identity=digest(content),
        )
    except (KeyError, TypeError, ValueError, LabelError, SettingsError, ShapeError) as error:
        reason = str(error).rstrip(".")
        raise BundleError(f"{manifest}: incomplete or wrong ({reason}); get the bundle again.") from None


def refuse_own_folder(bundle: str, out: Path) -> None:
    """Refuse to write a bundle over one that it is made from.

    Raises:
        SettingsError: `out` is the folder of the bundle.
    """
    folder = bundled().get(bundle, Path(bundle))
    if out.exists() and out.samefile(folder):
        raise SettingsError(f"--out {out}: is the folder of the bundle {bundle}, which would be lost; give another.")


def _read(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_text("utf-8"))
        stated = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{manifest}: not a bundle description ({error!r}); get the bundle again.") from None
    if content.get("format") != FORMAT:
        raise BundleError(
            f"{manifest}: format {content.get('format')!r}, but this emofuse reads format {FORMAT}; update emofuse, or "
            "train the bundle again."
        )
    if digest(content) != stated:
        raise BundleError(f"{manifest}: changed after it was written (its checksum differs); get the bundle again.")
    return dict(content)


def write_bundle(folder: str | Path, bundle: Bundle) -> Bundle:
    """Write a bundle to a folder, copy the files of its modalities there, and load the result.

    The files may be anywhere, also in `folder` itself.

    Raises:
        OutputError: the folder cannot be written, or a file of a modality cannot be read.
        BundleError: the result cannot be loaded.
    """
    folder = Path(folder)
    networks = bundle.networks
    files = {_subfolder(key) + name: source for key, n in networks.items() for name, source in n.files.items()}
    for name, source in files.items():
        _copy(source, folder / name)
    names = list(files)
    if bundle.fusion is not None:
        save_fusion(folder / WEIGHTS, bundle.fusion.weights)
        names.append(WEIGHTS)
    content = {
        "format": FORMAT,
        "name": bundle.name,
        "version": bundle.version,
        "labels": list(bundle.label_set.names),
        "modalities": {key: network.to_json() for key, network in networks.items()},
        "fusion": bundle.fusion.to_json() if bundle.fusion else None,
        "card": {"emofuse": __version__, **bundle.card},
        "files": {name: file_digest(folder / name) for name in names},
    }
    write_json(folder / MANIFEST, content | {"sha256": digest(content)})
    return load(folder)


def _subfolder(key: str) -> str:
    """Where in a bundle the files of a network are."""
    return f"{key.partition(':')[2]}/" if ":" in key else ""


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and target.samefile(source):
        return
    try:
        with source.open("rb") as given, atomic(target) as partial, partial.open("wb") as copy:
            shutil.copyfileobj(given, copy)
    except OSError as error:
        raise OutputError(f"{source}: cannot be copied to {target.parent} ({error.strerror}).") from None
