"""Fuses trained bundles into one, with weights fitted on clips that none of them was trained on.

A draft bundle with equal weights predicts the clips; the scores of its modalities are evaluated and fused as in
`emofuse evaluate`. The tables are kept, so that a killed run resumes and another method takes only seconds.

Words are not fitted: labelled clips in which people say what they like, with transcripts, are rare. They get a fixed
part of the exponents of the voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.core.files import digest, printable
from emofuse.core.labels import LabelSet
from emofuse.core.parallel import Executor
from emofuse.core.smoothing import Triangle
from emofuse.core.time import ticks
from emofuse.core.types import Clip
from emofuse.datasets import DataSet, open_data
from emofuse.datasets.clip_digests import clip_digests
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import Evaluation, Settings, evaluate
from emofuse.evaluation.sources import TableFolder
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.weighted import WeightedFusion
from emofuse.inference import batch
from emofuse.inference.predictor import Options
from emofuse.metrics import card_metrics
from emofuse.models.bundle import Bundle, load, modalities_of, refuse_own_folder, write_bundle
from emofuse.models.face import FaceModality
from emofuse.models.fusion import ModalityFusion
from emofuse.models.voice import VoiceModality
from emofuse.models.words import WordsModality
from emofuse.systems import FACE, VOICE, WORDS, kind

WORDS_PART = 0.2  # of the mean exponent of the voice: little, since people do not always mean what they say
DRAFT, TABLES, HALF = "unfused", "modalities", "half"  # folders in the output

FileProgress = Callable[[Path, float, int], None]
"""Called with a file, the fraction of it that is done, and the number of files."""


@dataclass(frozen=True)
class FuseRequest:
    """A request to fuse bundles.

    bundles: names or folders. Further networks for faces, or for voices, are named after their bundles.
    data: clips with labels; weights are fitted on the split `settings.split`. settings.fuse: the one method.
    smooth_seconds: seconds to either side over which scores of single faces are smoothed; 0 for none.
    allow_seen: fit weights on clips that a bundle was trained on, too, whose scores are better there than elsewhere.
    half: store the networks' weights in half precision. licence: for the card; default: those of the bundles.
    """

    bundles: tuple[str, ...]
    data: Path
    out: Path
    settings: Settings
    name: str = "fused"
    version: str = ""
    smooth_seconds: float = 1.5
    half: bool = False
    licence: str = ""
    detector: str = "default"
    allow_seen: bool = False


def fuse(
    request: FuseRequest, *, executor: Executor, note: Callable[[str], None], progress: FileProgress
) -> tuple[Bundle, Evaluation]:
    """Predict the clips with every modality, fit the weights, and write the fused bundle to `out`.

    Args:
        note: called with messages for the user.
    Raises:
        SettingsError: the bundles do not fit together, one of them was trained on the clips or lies in `out`, or the
            method has no weight per modality.
        DataError: the data set cannot be read, or a clip cannot be predicted.
    """
    data = open_data(request.data)
    bundles = [load(name) for name in request.bundles]
    words = [bundle for bundle in bundles if bundle.words is not None]
    draft = _draft(bundles, request)
    if words:
        with_words(draft, words[0].words)  # refuses before anything is predicted
    if draft.label_set != data.label_set:
        raise SettingsError(
            f"the bundles are for {', '.join(draft.label_set.names)}, but {data.name} is labelled "
            f"{', '.join(data.label_set.names)}."
        )
    (method,) = request.settings.fuse
    for name in request.bundles:
        refuse_own_folder(name, request.out)
    remarks = list(_check_unseen(bundles, data, request))
    for remark in remarks:
        note(remark)
    about = _card(bundles, data, request.licence)
    draft = write_bundle(request.out / DRAFT, replace(draft, card=about | {"metrics": {}}))
    _predict(request, data, executor=executor, note=note, progress=progress)
    folder = request.out / TABLES
    tables = sorted(folder.glob("*.parquet"))
    sources = [TableFolder(m, folder, tables, modality=m) for m in draft.modalities]
    result = evaluate(data, sources, request.settings)
    result = replace(result, notes=result.notes + remarks)
    weights = result.fitted[method]
    if not isinstance(weights, WeightedFusion | LogPoolFusion):
        raise SettingsError(f"--method {method}: has no weight per modality; choose log-pool, mcwf, swf or mean.")
    definition = {"draft": draft.identity, "data": data.name, "settings": asdict(request.settings)}
    about |= {"settings": definition["settings"], "metrics": _metrics(result)}
    if remarks:
        about["notes"] = remarks
    version = request.version or digest(definition)[:12]
    fused = replace(draft, version=version, fusion=ModalityFusion(weights), card=about)
    return write_bundle(request.out, with_words(fused, words[0].words) if words else fused), result


def with_words(bundle: Bundle, words: WordsModality | None) -> Bundle:
    """A fused bundle that also scores words, whose exponents are `WORDS_PART` of the mean of those of the voice.

    Raises:
        SettingsError: the bundle is not fused by a logarithmic pool, or has no voice.
    """
    weights = None if bundle.fusion is None else bundle.fusion.weights
    if bundle.fusion is None or not isinstance(weights, LogPoolFusion) or VOICE not in weights.systems:
        raise SettingsError(f"{bundle.name}: words are fused by log-pool, and with a voice; choose this method.")
    voice = weights.exponents[weights.systems.index(VOICE)].mean()
    exponents = np.vstack([weights.exponents, np.full(len(bundle.label_set), WORDS_PART * voice)])
    pool = LogPoolFusion(weights.method, (*weights.systems, WORDS), bundle.label_set, exponents)
    card = {**bundle.card, WORDS: f"not fitted: {WORDS_PART:g} of the mean exponent of the voice for every class"}
    return replace(bundle, words=words, fusion=ModalityFusion(pool, bundle.fusion.calibrations), card=card)


def _check_unseen(bundles: list[Bundle], data: DataSet, request: FuseRequest) -> Iterator[str]:
    """A remark on each bundle that was trained on some of the clips, which `allow_seen` permits.

    Files are compared by `clip_digests`; where a card has none, the name of the data set is.

    Raises:
        SettingsError: a bundle was trained on some of the clips.
    """
    clips = _clips(data, request.settings.split)
    digests = clip_digests(clips)
    for bundle in bundles:
        known = bundle.train_files
        seen = [clip for clip in clips if digests.get(clip.id) in known]
        if not known and bundle.card.get("data") == data.name:
            seen = [clip for clip in clips if clip.split == "train"]
        if not seen:
            continue
        found = f"{bundle.name} was trained on {len(seen)} of the {len(clips)} clips ({seen[0].id}, ...)"
        if not request.allow_seen:
            raise SettingsError(
                f"{printable(request.data)}: {found}, where its scores are better than elsewhere; give other clips "
                "(such as --split validation), or fuse all the same with --allow-seen."
            )
        yield f"{found}: weights and metrics are too favourable for it."


def _clips(data: DataSet, split: str | None) -> list[Clip]:
    return list(data.clips) if split is None else data.split(split)


def _draft(bundles: list[Bundle], request: FuseRequest) -> Bundle:
    """A draft of the fused bundle, with equal weights for all modalities but words, which it does not have."""
    if len({b.identity for b in bundles}) < len(bundles):
        raise SettingsError(f"{', '.join(request.bundles)}: one of these bundles is given twice.")
    if sum(bundle.words is not None for bundle in bundles) > 1:
        raise SettingsError(f"{', '.join(request.bundles)}: several of these score words; give one that does.")
    networks: dict[str, FaceModality | VoiceModality] = {}
    for bundle in bundles:
        for key, network in bundle.networks.items():
            if isinstance(network, WordsModality):
                continue
            name = f"{kind(key)}:{bundle.name}" if key in networks else key
            if name in networks:
                raise SettingsError(f"bundle {bundle.name}: another one has the same name; train it anew.")
            networks[name] = _prepared(network, request, name)
    modalities = modalities_of(networks)
    if len(modalities) < 2:
        raise SettingsError(
            f"{', '.join(request.bundles)}: {', '.join(modalities) or WORDS} alone cannot be fused; give a bundle for "
            "faces and one for the voice."
        )
    labels = bundles[0].label_set
    if other := next((b for b in bundles if b.label_set != labels), None):
        raise SettingsError(
            f"bundle {other.name}: its labels differ from those of {bundles[0].name}; train both with equal labels."
        )
    face, voice = networks.pop(FACE, None), networks.pop(VOICE, None)
    assert not isinstance(face, VoiceModality)
    assert not isinstance(voice, FaceModality)
    fusion = ModalityFusion(_equal_weights(modalities, labels))
    try:
        return Bundle(request.name, DRAFT, labels, {}, face, voice, fusion, further=networks)
    except SettingsError as error:
        raise SettingsError(f"{', '.join(request.bundles)}: cannot be fused, because {error}.") from None


def _prepared(network: FaceModality | VoiceModality, request: FuseRequest, name: str) -> FaceModality | VoiceModality:
    """A network with the smoothing and the precision of the request."""
    if isinstance(network, FaceModality) and network.smoothing is None and request.smooth_seconds:
        network = replace(network, smoothing=Triangle(ticks(request.smooth_seconds)))
    if request.half:
        network = replace(network, net=_half_precision(network.net, request.out / HALF / name.replace(":", "-")))
    return network


def _half_precision(net: Path, folder: Path) -> Path:
    try:
        from emofuse.training.loop import halve_onnx
    except ImportError as error:
        raise SettingsError(
            f"--half needs {error.name}, which is not installed; pip install 'emofuse[train]'."
        ) from None
    halve_onnx(net, folder / net.name)
    return folder / net.name


def _equal_weights(modalities: tuple[str, ...], labels: LabelSet) -> LogPoolFusion:
    exponents = np.full((len(modalities), len(labels)), 1 / len(modalities))
    return LogPoolFusion("log-pool", modalities, labels, exponents)


def _predict(
    request: FuseRequest,
    data: DataSet,
    *,
    executor: Executor,
    note: Callable[[str], None],
    progress: FileProgress,
) -> None:
    """Write tables of the scores of each modality for the clips to fit on; each file is predicted once."""
    clips = _clips(data, request.settings.split)
    files = list(dict.fromkeys(f for c in clips if (f := c.video or c.audio)))
    if not files:
        raise DataError(f"{data.path}: the clips have neither video nor audio; give the files that they were cut from.")
    options = Options(str(request.out / DRAFT), request.detector, per_modality=True)
    tasks = batch.plan(files, out=request.out / TABLES, options=options, formats=("parquet",))

    def step(task: batch.FileTask, fraction: float) -> None:
        progress(task.path, fraction, len(tasks))

    results = batch.predict_files(tasks, executor=executor, draw=None, progress=step, note=note)
    done = {o.task.path: replace(o, prediction=None) for o in results}
    batch.write_summary([done[task.path] for task in tasks])


def _card(bundles: list[Bundle], data: DataSet, licence: str) -> dict[str, Any]:
    """The card of the fused bundle without metrics; it contains the cards of its bundles."""
    cards = {b.name: dict(b.card) for b in bundles}
    licences = dict.fromkeys(str(card.get("licence", "unknown")) for card in cards.values())
    return {
        "what": f"{' and '.join(cards)}, fused for each person and moment",
        "data": f"{'; '.join(str(card['data']) for card in cards.values())}; weights of the modalities: {data.name}",
        "licence": licence or "; ".join(licences),
        "bundles": cards,
    }


def _metrics(result: Evaluation) -> dict[str, Any]:
    """Metrics of each modality alone, and of the cross-fitted fusion."""
    return {
        f"{row.system}, {row.fitted}".removesuffix(", "): {
            "clips": result.clips,
            **card_metrics(row.estimates),
            "calibration_error": round(row.calibration_error, 4),
            "confusion": row.counts.tolist(),
        }
        for row in result.rows
        if row.fitted != "in-sample"
    }
