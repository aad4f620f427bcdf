"""A face net that starts from identities and answers twice: as FER-2013's labels say it, and as FER+'s annotators do.

    python benchmarks/face_opinions.py fer2013.npz mobilefacenet.pt --out runs/opinions

MobileFaceNet on faces enlarged to 80 pixels, changed in training as videos change them (`fit.VideoAugment`). The public
test part chooses the epoch; the private part is only measured. FER+ figures are of faces on which more annotators chose
one of the seven names than any other answer. Killed, it goes on. Intervals: 95 %, Wilson, over faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import binomtest
from torch import Tensor, nn

from emofuse import fit, metrics
from emofuse.core.labels import AFFWILD2
from emofuse.data.fer2013 import FaceImages, load_fer2013
from emofuse.nets import mobilefacenet, pretrained
from emofuse.nets.grey import StandardisedGrey

OPINIONS = ("labels", "votes")
SIZE = 80
PREPARE = fit.Faces(size=SIZE, augment=fit.VideoAugment())
SETTINGS = fit.FitSettings(
    epochs=9,
    polish_epochs=1,
    batch=64,
    optimiser="adamw",
    lr=1e-3,
    polish_lr=1e-4,
    weight_decay=1e-2,
    warmup_epochs=0.5,
    label_smoothing=0.05,
    average_decay=0.998,
)


class TwoOpinions(nn.Module):
    """Grey faces float [n, 1, size, size] -> (embedding [n, 128], logits [n, 2, classes]), in the order of OPINIONS."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = StandardisedGrey(net)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(faces)
        return embedding, torch.stack(logits.chunk(len(OPINIONS), dim=1), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="FER-2013 with FER+ votes")
    parser.add_argument("weights", type=Path, help="of MobileFaceNet")
    parser.add_argument("--out", type=Path, default=Path("runs/opinions"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    net = trained(given.data, given.weights, given.out)
    print("| part | answer | labels: accuracy | UAR | FER+ majority: accuracy | UAR |\n|---|---|---|---|---|---|")
    for part in ("public-test", "private-test"):
        faces = load_fer2013(given.data, part)
        plain, mirrored = (
            log_softmax(fit.predict(net, views, prepare=PREPARE, batch=64).logits, axis=2)
            for views in (faces.faces, np.ascontiguousarray(faces.faces[:, :, ::-1]))
        )
        for name, said in (("one view", plain), ("with the mirrored face", (plain + mirrored) / 2)):
            for opinion, logits in zip(OPINIONS, said.transpose(1, 0, 2), strict=True):
                tell(f"{part} | {opinion}, {name}", faces, logits)
            tell(f"{part} | mean of both, {name}", faces, said.mean(axis=1))


def trained(data: Path, weights: Path, out: Path) -> TwoOpinions:
    train, validation = load_fer2013(data, "train"), load_fer2013(data, "public-test")
    train = train.some(train.clear)
    identity = mobilefacenet.MobileFaceNetSettings(classes=len(OPINIONS) * len(AFFWILD2), dropout=0.2)
    start = fit.fresh(lambda: mobilefacenet.MobileFaceNet(identity), seed=SETTINGS.seed)
    pretrained.load_pretrained(start, weights, name="mobilefacenet", head=pretrained.Head.FRESH)
    net = TwoOpinions(mobilefacenet.at_size(start, SIZE))
    examples = (fit.Examples(faces.faces, targets(faces)) for faces in (train, validation))
    watch = fit.Watch(epoch=lambda e: print(f"epoch {e.epoch + 1}, {e.validation_loss:.4f}, {e.seconds:.0f} s"))
    fit.fit(net, fit.Data(*examples, PREPARE), settings=SETTINGS, folder=out, watch=watch)
    return net


def targets(faces: FaceImages) -> NDArray[np.float32]:
    """What both opinions should be, float32 [n, 2, 7]; that of FER+ is all zero where nobody voted for a name."""
    hard = np.eye(len(AFFWILD2), dtype=np.float32)[faces.labels]
    votes = faces.votes / np.maximum(faces.votes.sum(axis=1, keepdims=True), 1)
    return np.stack([hard, votes], axis=1)


def tell(about: str, faces: FaceImages, logits: NDArray[np.float32]) -> None:
    cells, said = [], logits.argmax(axis=1)
    for truth in (faces.labels, faces.majority):
        known = truth >= 0
        right = int((said == truth)[known].sum())
        low, high = binomtest(right, int(known.sum())).proportion_ci(method="wilson")
        uar = metrics.uar_of(metrics.confusion(truth[known], said[known]))
        cells += [f"{right / known.sum():.3f} [{low:.3f}, {high:.3f}]", f"{uar:.3f}"]
    print(f"| {about} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
