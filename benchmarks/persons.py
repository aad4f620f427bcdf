"""Who is who: verification of faces by the identity of a bundle, and persons found in videos of several persons.

    python benchmarks/persons.py --data ../shared/data --weights ../shared/weights/mobilefacenet.pt --bundle default

Verification: pairs of photographs of LFW's people whom `emofuse train default-face` sets aside, up to ten pairs of each
person and as many of different people. The threshold is chosen on nine tenths of the pairs for the other tenth.
Intervals: 95 % percentile bootstrap over pairs (2,000 resamples, seed 0).

Threshold of a bundle: the cosine with the smallest mean of four error rates, those of persons split and of persons
mixed up, for these pairs and for the first half of the clips' speakers (the first three faces of a clip against all of
another clip).

Videos are joined from clips of the other speakers, at five frames per second: two speakers in turn with gaps without a
face between them (A, B, A), the same with cuts (A B A B), two faces that cross in one frame, and close-ups so large
that motion counts as cuts. Hardest are photographs of two of LFW's people in turn, each shown for a second: they were
taken years apart. Correct rows: the fraction of faces whose person is the right one, when every person found
stands for at most one person there. With `--weights` the published MobileFaceNet is measured too, and every bundle once
more by motion alone.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, permutations
from pathlib import Path

import cv2
import numpy as np
from measure import with_interval
from scipy.optimize import linear_sum_assignment

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import AFFWILD2
from emofuse.core.time import ticks
from emofuse.faces.crop import identity_crop
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import Face
from emofuse.inference.predictor import Options, Predictor
from emofuse.inference.renumbering import PersonChoice, file_persons
from emofuse.inference.session import SessionOutput
from emofuse.media.images import luma_of, read_image
from emofuse.media.video import Frame, VideoReader
from emofuse.models.bundle import Bundle, load, write_bundle
from emofuse.models.face import FaceInput, FaceModality, FaceOutputs, Identity
from emofuse.training.default_faces import TEST, part_of

SIZE = (360, 270)  # of the clips
STEP = 6  # of the clips' frames per row
GAPS_SECONDS = (1, 3, 10, 60)
MOST_PAIRS = 10  # of one person
Image = np.ndarray


@dataclass(frozen=True)
class Shown:
    """A frame and who is in it: the person at each horizontal position, as fractions of the width."""

    image: Image
    people: dict[float, str]


@dataclass(frozen=True)
class Found:
    """Persons in a video, and the fraction of its faces whose person is the right one."""

    there: int
    persons: int
    correct: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/lfw and clips")
    parser.add_argument("--bundle", help="name or folder of a bundle whose face network has an identity")
    parser.add_argument("--weights", type=Path, help="weights of the published MobileFaceNet")
    parser.add_argument("--threshold", type=float, help="cosine to use in place of the bundle's own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundles = {"published": teacher(options.weights, Path(folder) / "published")} if options.weights else {}
        bundles |= {options.bundle: load(options.bundle)} if options.bundle else {}
        for name, bundle in bundles.items():
            measure(name, bundle, options, Path(folder))


def measure(name: str, bundle: Bundle, options: argparse.Namespace, folder: Path) -> None:
    """Print what one bundle reaches."""
    speakers = clips_of(options.data / "clips")
    half = sorted(speakers)[: len(speakers) // 2]
    predictor = Predictor(Options(written(bundle, folder / "as-it-is")))
    same, cosine = lfw_pairs(options.data / "faces/lfw", predictor)
    accuracy = folds_accuracy(same, cosine)
    print(f"{name}: verification of {len(same)} pairs of LFW: accuracy {with_interval(accuracy)}")
    chosen = choose_threshold([(same, cosine), clip_pairs({s: speakers[s] for s in half}, predictor)])
    assert bundle.person_threshold is not None
    threshold = options.threshold or bundle.person_threshold
    print(f"{name}: threshold {threshold:.3f}; chosen on LFW and on {', '.join(half)}: {chosen:.3f}")
    others = {s: paths for s, paths in speakers.items() if s not in half}
    by_identity = Predictor(Options(written(with_threshold(bundle, threshold), folder / "other")))
    by_motion = Predictor(Options(written(with_threshold(bundle, None), folder / "motion")))
    print("| videos | number | persons there | by motion alone | by identity | right number | correct rows |")
    print("|---|---|---|---|---|---|---|")
    videos_of = cases(others) | {"photographs of A and B in turn": photograph_videos(options.data / "faces/lfw")}
    for case, videos in videos_of.items():
        before = [run(by_motion, video()) for video in videos]
        after = [run(by_identity, video()) for video in videos]
        right = sum(f.persons == f.there for f in after)
        print(
            f"| {case} | {len(videos)} | {np.mean([f.there for f in after]):.0f} "
            f"| {np.mean([f.persons for f in before]):.2f} | {np.mean([f.persons for f in after]):.2f} "
            f"| {right} of {len(videos)} | {np.mean([f.correct for f in before]):.1%} -> "
            f"{np.mean([f.correct for f in after]):.1%} |",
            flush=True,
        )


# -- bundles --------------------------------------------------------------------------------------------------


def teacher(weights: Path, folder: Path, *, threshold: float = 0.5) -> Bundle:
    """A bundle of the published MobileFaceNet, whose embedding is the identity; its classifier is untrained."""
    import torch

    from emofuse.nets import mobilefacenet, pretrained
    from emofuse.nets.catalogue import NETWORKS
    from emofuse.training import loop

    torch.manual_seed(0)
    net, given = mobilefacenet.build(), NETWORKS["mobilefacenet"].preprocessing
    assert given is not None
    pretrained.load_pretrained(net, weights, name="mobilefacenet", fresh_head=True)
    folder.mkdir(parents=True, exist_ok=True)
    loop.export_onnx(
        net, loop.face_example(given.size, channels=3), folder / "face.onnx", outputs=("identity", "logits")
    )
    card = {"what": "MobileFaceNet as published", "data": "MS-Celeb-1M", "licence": "Apache-2.0", "metrics": {}}
    face = FaceModality(
        folder / "face.onnx",
        identity_crop(given.size),
        FaceInput(given.colour, given.mean, given.scale),
        LogitCalibration.identity(len(AFFWILD2)),
        identity=Identity(threshold),
    )
    return write_bundle(folder, Bundle("published", "1", AFFWILD2, card, face))


def with_threshold(bundle: Bundle, threshold: float | None) -> Bundle:
    """The face of a bundle with another threshold, or without an identity."""
    assert bundle.face is not None
    identity = None if threshold is None else Identity(threshold)
    face = replace(bundle.face, identity=identity, windows=None, head=None)
    return replace(bundle, face=face, voice=None, further={}, fusion=None)


def written(bundle: Bundle, folder: Path) -> str:
    write_bundle(folder, bundle)
    return str(folder)


# -- pairs of faces -------------------------------------------------------------------------------------------


def lfw_pairs(folder: Path, predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of photographs: whether they show one person, and the cosine of their identities."""
    people = lfw_people(folder)
    found = {path: face for paths in people.values() for path in paths if (face := middle_face(path)) is not None}
    rows = dict(zip(found, identities(predictor, [(read_image(p), f) for p, f in found.items()]), strict=True))
    rng = np.random.default_rng(0)
    pairs = []
    for paths in people.values():
        own = list(combinations([path for path in paths if path in rows], 2))
        pairs += [own[k] for k in rng.permutation(len(own))[:MOST_PAIRS]]
    name_of = {path: name for name, paths in people.items() for path in paths}
    order, count = list(rows), len(pairs)
    while len(pairs) < 2 * count:
        one, other = (order[k] for k in rng.integers(len(order), size=2))
        if name_of[one] != name_of[other]:
            pairs.append((one, other))
    return np.arange(2 * count) < count, np.array([rows[a] @ rows[b] for a, b in pairs])


def lfw_people(folder: Path) -> dict[str, list[Path]]:
    """Photographs of each of the people who are set aside."""
    people: dict[str, list[Path]] = {}
    with (folder / "people.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if part_of(row["person"]) == TEST:
                people.setdefault(row["person"], []).append(folder / row["path"])
    return people


def clip_pairs(speakers: dict[str, list[Path]], predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of clips: whether they show one speaker, and the mean cosine of the first three faces with all others."""
    tracks = []
    for speaker, paths in speakers.items():
        for path in paths:
            found = [(image, face) for image in frames_of(path) if (face := best_face(image)) is not None]
            tracks.append((speaker, identities(predictor, found)))
    pairs = [(a, b) for a in tracks for b in tracks if a is not b and len(a[1]) >= 3]
    same = np.array([a[0] == b[0] for a, b in pairs])
    return same, np.array([a[1][:3].mean(axis=0) @ b[1].mean(axis=0) for a, b in pairs])


def identities(predictor: Predictor, found: list[tuple[Image, Face]]) -> np.ndarray:
    """Identities of the faces of images, of length 1, float32 [n, d]."""
    assert predictor.bundle.face is not None
    assert predictor.scorer is not None
    outputs = predictor.scorer(np.stack([predictor.bundle.face.crop(image, face) for image, face in found]))
    assert isinstance(outputs, FaceOutputs)
    assert outputs.identities is not None
    return outputs.identities / np.linalg.norm(outputs.identities, axis=1, keepdims=True)


def folds_accuracy(same: np.ndarray, cosine: np.ndarray) -> metrics.Estimate:
    """Accuracy with thresholds chosen on nine tenths of the pairs for the other one."""
    fold = np.random.default_rng(0).permutation(len(same)) % 10
    correct = np.empty(len(same), bool)
    for n in range(10):
        train, test = fold != n, fold == n
        candidates = np.sort(cosine[train])
        best = max(candidates, key=lambda t: ((cosine[train] >= t) == same[train]).mean())
        correct[test] = (cosine[test] >= best) == same[test]
    counts = metrics.confusion_of_each(same.astype(int), np.where(correct, same, ~same).astype(int), classes=2)
    return metrics.bootstrap(counts, metrics.accuracy_of)


def choose_threshold(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The cosine with the smallest mean of the rates of persons split and of persons mixed up."""
    candidates = np.arange(0.1, 0.9, 0.005)
    errors = [
        np.mean([((cosine[same] < t).mean(), (cosine[~same] >= t).mean()) for same, cosine in pairs])
        for t in candidates
    ]
    best = np.flatnonzero(np.isclose(errors, min(errors)))
    return float(candidates[best].mean())


# -- clips ----------------------------------------------------------------------------------------------------


def clips_of(folder: Path) -> dict[str, list[Path]]:
    speakers: dict[str, list[Path]] = {}
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            speakers.setdefault(row["speaker"], []).append(folder / row["path"])
    return speakers


@cache
def frames_of(path: Path) -> list[Image]:
    """Five frames per second of a clip."""
    with VideoReader(path) as video:
        wanted = np.arange(STEP, len(video.timeline.start), STEP)  # some clips begin black
        return [frame.rgb() for frame in video.frames(wanted)]


DETECTOR = DefaultDetector()


def best_face(image: Image) -> Face | None:
    return next(iter(DETECTOR(luma_of(image))), None)


def middle_face(path: Path) -> Face | None:
    image = read_image(path)
    middle = np.array(image.shape[1::-1]) / 2
    return min(
        DETECTOR(luma_of(image)),
        key=lambda face: float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - middle)),
        default=None,
    )


# -- videos ---------------------------------------------------------------------------------------------------

Video = Callable[[], Iterator[Shown]]


def cases(speakers: dict[str, list[Path]]) -> dict[str, list[Video]]:
    """Videos by the name of what they show."""
    ordered = list(permutations(speakers, 2))
    found: dict[str, list[Video]] = {}
    for seconds in GAPS_SECONDS:
        found[f"A, B, A with gaps of {seconds} s"] = [
            lambda a=a, b=b, n=n, s=seconds: in_turn(clips(speakers, [a, b, a], n), gap=s)
            for n, (a, b) in enumerate(ordered)
        ]
    found["cuts A B A B"] = [
        lambda a=a, b=b, n=n: in_turn(clips(speakers, [a, b, a, b], n)) for n, (a, b) in enumerate(ordered)
    ]
    found["A and B cross"] = [
        lambda a=a, b=b, n=n: crossing(clips(speakers, [a, b], n)) for n, (a, b) in enumerate(ordered)
    ]
    found["close-up of A"] = [
        lambda a=a, n=n: close_up(*clips(speakers, [a], n)) for n, a in enumerate([*speakers, *speakers])
    ]
    return found


def photograph_videos(folder: Path, *, most: int = 4) -> list[Video]:
    """Videos of two people each, in turn, of as many photographs as both have, up to `most` of each."""
    people = [(name, paths[:most]) for name, paths in lfw_people(folder).items() if len(paths) >= 3]

    def video(a: tuple[str, list[Path]], b: tuple[str, list[Path]]) -> Iterator[Shown]:
        for shots in zip(a[1], b[1], strict=False):
            for name, path in zip((a[0], b[0]), shots, strict=True):
                yield from [Shown(read_image(path), {0.5: name})] * 5

    return [lambda a=a, b=b: video(a, b) for a, b in zip(people[::2], people[1::2], strict=False)]


def clips(speakers: dict[str, list[Path]], chosen: list[str], n: int) -> list[tuple[str, Path]]:
    """One clip for each of some speakers, another one each time."""
    return [(s, speakers[s][(7 * n + 5 * k) % len(speakers[s])]) for k, s in enumerate(chosen)]


def in_turn(chosen: list[tuple[str, Path]], *, gap: float = 0) -> Iterator[Shown]:
    for n, (speaker, path) in enumerate(chosen):
        if n and gap:
            yield from [Shown(np.full((*SIZE[::-1], 3), 90, np.uint8), {})] * round(gap * 5)
        yield from (Shown(image, {0.5: speaker}) for image in frames_of(path))


def crossing(chosen: list[tuple[str, Path]]) -> Iterator[Shown]:
    """Two faces that cross within two seconds, come apart, and stay; the first one in front."""
    (a, first), (b, second) = chosen
    heads = [[head(image) for image in frames_of(path)] for path in (first, second)]
    width, side = 2 * SIZE[0], heads[0][0].shape[0]
    for step in range(30):
        way = np.clip((step - 8) / 10, 0, 1)
        left, right = round(way * (width - side)), round((1 - way) * (width - side))
        image = np.full((SIZE[1], width, 3), 90, np.uint8)
        for column, frames in ((right, heads[1]), (left, heads[0])):
            image[40 : 40 + side, column : column + side] = frames[step % len(frames)]
        places = {left: a, right: b}
        yield Shown(image, {(x + side / 2) / width: who for x, who in places.items()})


def head(image: Image, *, side: int = 190) -> Image:
    """The face of a frame with what is around it, [side, side, 3]."""
    face = best_face(image)
    box = np.array([105, 60, 150, 150]) if face is None else face.box
    centre = box[:2] + box[2:] / 2
    x, y = (int(np.clip(c - side / 2, 0, limit - side)) for c, limit in zip(centre, SIZE, strict=True))
    return image[y : y + side, x : x + side]


def close_up(clip: tuple[str, Path]) -> Iterator[Shown]:
    """A face as high as the frame that moves by up to a quarter of it every half second."""
    speaker, path = clip
    for step, image in enumerate(frames_of(path)):
        large = cv2.resize(head(image), (SIZE[0], SIZE[0]), interpolation=cv2.INTER_LINEAR)
        rng = np.random.default_rng(step // 3)
        dx, dy = rng.integers(-90, 90), rng.integers(-40, 40)
        moved = cv2.warpAffine(large, np.float32([[1, 0, dx], [0, 1, dy - 45]]), SIZE, borderMode=cv2.BORDER_REFLECT)
        yield Shown(np.asarray(moved), {0.5 + dx / SIZE[0]: speaker})


def run(predictor: Predictor, video: Iterator[Shown]) -> Found:
    """Push a video through a session, and compare persons found with those there."""
    session, collector, shown = predictor.session(), predictor.collector(), []
    rows: list[tuple[int, int, float]] = []  # number of the person, frame, position

    def take(output: SessionOutput) -> None:
        collector.add(output)
        rows.extend((f.person, f.frame, float(f.face.box[0] + f.face.box[2] / 2)) for f in output.faces)

    for n, each in enumerate(video):
        shown.append((each.people, each.image.shape[1]))
        take(session.push_frames([Frame.from_rgb(each.image, index=n, start=ticks(n) // 5, end=ticks(n + 1) // 5)]))
    take(session.close(ticks(len(shown)) // 5))
    assert session.faces is not None
    stage, threshold = session.faces.persons, predictor.bundle.person_threshold
    known = stage.identities if stage is not None else []
    persons = file_persons(collector.faces, known, threshold=threshold, choice=PersonChoice())
    final = {number: n for n, person in enumerate(persons) for number in person.numbers}
    there = sorted({who for people, _ in shown for who in people.values()})
    counts = np.zeros((len(persons), len(there)), int)
    for number, frame, x in rows:
        people, width = shown[frame]
        if people:
            nearest = min(people, key=lambda place: abs(place - x / width))
            counts[final[number], there.index(people[nearest])] += 1
    pairs = linear_sum_assignment(-counts)
    return Found(len(there), len(persons), counts[pairs].sum() / max(counts.sum(), 1))


if __name__ == "__main__":
    main()
