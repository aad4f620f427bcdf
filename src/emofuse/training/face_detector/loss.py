"""Which cell predicts which face, and the loss of all cells.

Each face is assigned to the cells around its centre that predict it best (task-aligned assignment, Feng and others,
2021); their score aims at how well their box fits (quality focal loss, Li and others, 2020).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from emofuse.nets.face_detector import STRIDES

_CELLS_PER_FACE = 9
_CENTRE = 0.35  # a cell counts as central if its centre is this near to that of the box, relative to its sides
_BOX_WEIGHT, _LANDMARK_WEIGHT = 2.0, 10.0
_SCORE_POWER, _FIT_POWER = 0.5, 3.0


class Targets(NamedTuple):
    """The faces of a batch, padded to one number: boxes [n, m, 4] (left, top, right, bottom), landmarks [n, m, 5, 2],
    real bool [n, m] for faces that count, ignored bool [n, m] for places that are neither face nor background."""

    boxes: Tensor
    landmarks: Tensor
    real: Tensor
    ignored: Tensor


class Predicted(NamedTuple):
    """All cells of a batch: logits [n, cells], boxes [n, cells, 4], landmarks [n, cells, 5, 2], and the centres
    [cells, 2] and strides [cells] of the cells; in pixels."""

    logits: Tensor
    boxes: Tensor
    landmarks: Tensor
    centres: Tensor
    strides: Tensor


def predicted(maps: tuple[Tensor, ...]) -> Predicted:
    """The maps of `FaceDetectorNet` in pixels of its input."""
    logits, boxes, landmarks, centres, strides = [], [], [], [], []
    for values, stride in zip(maps, STRIDES, strict=True):
        n, _, height, width = values.shape
        flat = values.float().flatten(2).transpose(1, 2)
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centre = (torch.stack([columns, rows], -1).reshape(-1, 2).to(flat) + 0.5) * stride
        reach = flat[..., 1:5].clamp(-6, 6).exp() * stride
        logits.append(flat[..., 0])
        boxes.append(torch.cat([centre - reach[..., :2], centre + reach[..., 2:]], -1))
        landmarks.append(flat[..., 5:].reshape(n, -1, 5, 2) * stride + centre[:, None])
        centres.append(centre)
        strides.append(centre.new_full((len(centre),), float(stride)))
    return Predicted(
        torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(landmarks, 1), torch.cat(centres), torch.cat(strides)
    )


def detection_loss(maps: tuple[Tensor, ...], targets: Targets) -> Tensor:
    """Loss of a batch, a scalar."""
    cells = predicted(maps)
    with torch.no_grad():
        face, quality = _assigned(cells, targets)
        background_known = ~_inside(cells.centres, targets.boxes, targets.ignored).any(1)
    certain = background_known | (quality > 0)
    score = cells.logits.sigmoid()
    focus = (quality - score.detach()).abs() ** 2
    score_loss = nn.functional.binary_cross_entropy_with_logits(cells.logits, quality, reduction="none")
    total = quality.sum().clamp(min=1.0)
    loss = (score_loss * focus * certain).sum() / total

    image, cell = torch.nonzero(quality > 0, as_tuple=True)
    if not len(image):
        return loss
    weight, chosen = quality[image, cell], face[image, cell]
    aim = targets.boxes[image, chosen]
    box_loss = 1 - complete_iou(cells.boxes[image, cell], aim)
    side = (aim[:, 2:] - aim[:, :2]).prod(-1).clamp(min=1).sqrt()
    away = (cells.landmarks[image, cell] - targets.landmarks[image, chosen]) / side[:, None, None]
    landmark_loss = nn.functional.smooth_l1_loss(away, torch.zeros_like(away), beta=0.02, reduction="none").mean((1, 2))
    extra = _BOX_WEIGHT * box_loss + _LANDMARK_WEIGHT * landmark_loss
    return loss + (extra * weight).sum() / total


def _assigned(cells: Predicted, targets: Targets) -> tuple[Tensor, Tensor]:
    """For each cell the number of its face [n, cells], and its target score [n, cells], 0 for background."""
    boxes, real = targets.boxes, targets.real
    fit = iou(cells.boxes[:, None], boxes[:, :, None]).clamp(min=0)  # [n, faces, cells]
    size = boxes[..., 2:] - boxes[..., :2]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    away = (cells.centres - middle[:, :, None]).abs()
    near = torch.maximum(_CENTRE * size[:, :, None], 0.75 * cells.strides[:, None].expand(-1, 2))
    side = size.prod(-1).clamp(min=1).sqrt()[..., None] / cells.strides
    candidate = (away <= near).all(-1) & real[..., None] & (side > 0.6) & (side < 12)
    score = cells.logits.sigmoid()[:, None]
    merit = torch.where(candidate, (score**_SCORE_POWER * (fit + 0.02) ** _FIT_POWER), fit.new_tensor(-1.0))
    top = merit.topk(_CELLS_PER_FACE, dim=-1)
    chosen = torch.zeros_like(candidate).scatter_(-1, top.indices, top.values > 0)
    merit = torch.where(chosen, merit, merit.new_tensor(-1.0))
    best, face = merit.max(1)  # a cell of several faces predicts the one it fits best
    taken = best > 0
    won = chosen & (torch.arange(boxes.shape[1], device=face.device)[None, :, None] == face[:, None]) & taken[:, None]
    # The best cell of a face aims at its overlap, which is low at first; so at least at 0.3.
    highest = torch.where(won, merit, merit.new_tensor(0.0)).amax(-1, keepdim=True).clamp(min=1e-9)
    highest_fit = torch.where(won, fit, fit.new_tensor(0.0)).amax(-1, keepdim=True).clamp(min=0.3)
    quality = (torch.where(won, merit, merit.new_tensor(0.0)) / highest * highest_fit).amax(1)
    return face, quality


def _inside(centres: Tensor, boxes: Tensor, which: Tensor) -> Tensor:
    """Whether a cell lies in a box, bool [n, boxes, cells]."""
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    return ((centres >= low) & (centres <= high)).all(-1) & which[..., None]


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes [..., 4] (left, top, right, bottom)."""
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (one, other)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def complete_iou(one: Tensor, other: Tensor) -> Tensor:
    """IoU less the distance of the centres and the difference of the aspect ratios (Zheng and others, 2020)."""
    overlap = iou(one, other)
    outer = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    between = (one[..., :2] + one[..., 2:] - other[..., :2] - other[..., 2:]) / 2
    distance = between.square().sum(-1) / outer.square().sum(-1).clamp(min=1e-6)
    angles = [
        torch.atan2(box[..., 2] - box[..., 0], (box[..., 3] - box[..., 1]).clamp(min=1e-6)) for box in (one, other)
    ]
    shape = 4 / torch.pi**2 * (angles[0] - angles[1]).square()
    weight = (shape / (1 - overlap + shape).clamp(min=1e-6)).detach()
    return overlap - distance - weight * shape
