"""How right a bundle is on single faces: FER-2013 by its own labels and by FER+'s votes.

    python benchmarks/fer2013.py fer2013.npz                        # the default bundle
    python benchmarks/fer2013.py fer2013.npz --training runs/face --weights mobilefacenet.pt    # also each of its nets

The public test part chose epochs and calibration; the private part was only measured. FER+ figures are of faces whose
votes decide for one of the seven names, by each of FERPLUS_RULES. Intervals: 95 %, Wilson, over faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import binomtest
from torch import nn

from emofuse import metrics
from emofuse.datasets.fer2013.dataset import FERPLUS_RULES, FaceImages, Fer2013
from emofuse.models.bundle import load
from emofuse.models.face import OUTPUT
from emofuse.nets import pretrained
from emofuse.nets.catalogue import NETWORKS
from emofuse.nets.wrappers import Ensemble, Resize
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training import default
from emofuse.training import loop as fit

Judge = Callable[[np.ndarray], np.ndarray]  # faces uint8 [n, 48, 48] -> logits [n, 7]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="FER-2013 with FER+ votes")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--training", type=Path, help="folder of `emofuse train default`")
    parser.add_argument("--weights", type=Path, help="of MobileFaceNet, that the training started from")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = Fer2013(given.data)
    judges: dict[str, Judge] = {f"bundle {given.bundle}": of_bundle(given.bundle, given.threads)}
    if given.training:
        judges |= members(data, given.training, given.weights, given.bundle)
    for part in ("public-test", "private-test"):
        faces = data.images(part)
        known = [f"FER+ {name} ({(rule(faces) >= 0).sum()})" for name, rule in FERPLUS_RULES.items()]
        print(f"| {part} | {' | | '.join(['labels', *known])} | | calibration error |")
        print("|---" * (4 + 2 * len(known)) + "|")
        for name, judge in judges.items():
            plain, mirrored = judge(faces.faces), judge(np.ascontiguousarray(faces.faces[:, :, ::-1]))
            tell(name, faces, plain)
            tell(f"{name}, with the mirrored face", faces, (plain + mirrored) / 2)


def of_bundle(name: str, threads: int) -> Judge:
    part = load(name).face
    if part is None or part.calibration is None:
        raise SystemExit(f"{name}: does not judge single faces.")
    net, wanted, calibrate = OnnxNetwork(part.net, Engine(threads, "cpu")), part.input, part.calibration
    prepare = fit.Faces(wanted.colour, wanted.mean, wanted.scale, part.crop.size, None)

    def judge(faces: np.ndarray) -> np.ndarray:
        batches = fit.prepared(faces, np.arange(len(faces)), prepare)
        return np.log(calibrate(np.concatenate([net(batch, OUTPUT) for batch in batches])))

    return judge


def members(data: Fer2013, folder: Path, weights: Path, bundle: str) -> dict[str, Judge]:
    """The nets of a training that has ended, each by itself, and all of them, by each answer.

    The compact net is that of the bundle where the folder has none.
    """
    settings = default.DefaultSettings()
    training = default.Training(settings, folder, lambda name, e: print(name, e))
    if (folder / default.COMPACT / fit.CHECKPOINT).exists():
        compact = default.train_compact(data, training)
    else:
        compact = fit.fresh(NETWORKS["compact"].build, seed=0)
        pretrained.load_pretrained(compact, load(bundle).face.net, name="compact")
    first = [default.train_mobile(data, weights, training, seed=seed) for seed in settings.mobile_seeds]
    targets = default.distillation_targets(default.clear_faces(data), compact, first, training)
    distilled = default.distil_mobile(data, targets, first[0], training)
    nets: dict[str, nn.Module] = {"CompactFace": compact}
    singles = {f"{default.MOBILE}-{seed}": net for seed, net in zip(settings.mobile_seeds, first, strict=True)}
    for answer, share in zip(default.OPINIONS, (1.0, 0.0), strict=True):
        for name, net in (singles | {default.DISTILLED: distilled}).items():
            alone = Ensemble([nn.Sequential(Resize(default.MOBILE_SIZE), net)], [[1.0]] * 2, (share, 1 - share))
            nets[f"{name} as {answer}"] = alone.eval()
        for name, several in (("those that teach", first), ("those that ship", [distilled])):
            nets[f"{name} as {answer}"] = default.committee(compact, several, settings, labels_weight=share)
    return {
        name: lambda faces, net=net: log_softmax(fit.predict(net, faces).logits, axis=1) for name, net in nets.items()
    }


def tell(about: str, faces: FaceImages, logits: np.ndarray) -> None:
    cells, said = [], logits.argmax(axis=1)
    for truth in (faces.labels, *(rule(faces) for rule in FERPLUS_RULES.values())):
        known = truth >= 0
        right = int((said == truth)[known].sum())
        low, high = binomtest(right, int(known.sum())).proportion_ci(method="wilson")
        uar = metrics.uar_of(metrics.confusion(truth[known], said[known]))
        cells += [f"{right / known.sum():.3f} [{low:.3f}, {high:.3f}]", f"{uar:.3f}"]
    error = metrics.calibration_error(faces.labels, np.exp(log_softmax(logits, axis=1)))
    print(f"| {about} | {' | '.join(cells)} | {error:.3f} |", flush=True)


if __name__ == "__main__":
    main()
