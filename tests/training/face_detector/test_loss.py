"""The loss of the face detector, on cells and faces worked out by hand."""

import pytest
import torch

from emofuse.nets.face_detector import STRIDES
from emofuse.training.face_detector.loss import Targets, _assigned, complete_iou, detection_loss, iou, predicted


def maps(size=64, logit=-6.0):
    found = []
    for stride in STRIDES:
        values = torch.zeros(1, 15, size // stride, size // stride)
        values[:, 0] = logit
        found.append(values)
    return tuple(found)


def targets(*boxes, ignored=()):
    rows = torch.tensor([*boxes, *ignored], dtype=torch.float32).reshape(1, -1, 4)
    middle = (rows[..., :2] + rows[..., 2:]) / 2
    real = torch.tensor([[True] * len(boxes) + [False] * len(ignored)])
    return Targets(rows, middle[:, :, None].repeat(1, 1, 5, 1), real, ~real)


def perfect(values, box, row, column, stride):
    """Lets one cell predict exactly this box, with landmarks at its middle, and be sure of it."""
    centre = torch.tensor([column + 0.5, row + 0.5]) * stride
    low, high = torch.tensor(box[:2]), torch.tensor(box[2:])
    level = values[STRIDES.index(stride)][0, :, row, column]
    level[0] = 6.0
    level[1:5] = torch.log(torch.cat([centre - low, high - centre]) / stride)
    level[5:] = (((low + high) / 2 - centre) / stride).repeat(5)


def test_cells_are_decoded_to_pixels():
    values = maps()
    perfect(values, [10.0, 12.0, 40.0, 50.0], 1, 1, 16)
    cells = predicted(values)
    best = int(cells.logits[0].argmax())
    assert torch.allclose(cells.boxes[0, best], torch.tensor([10.0, 12.0, 40.0, 50.0]), atol=1e-4)
    assert torch.allclose(cells.landmarks[0, best], torch.tensor([25.0, 31.0]).expand(5, 2), atol=1e-4)


def test_only_cells_near_the_centre_of_a_face_are_assigned_to_it():
    cells = predicted(maps())
    face, quality = _assigned(cells, targets([0.0, 0.0, 24.0, 24.0], [32.0, 32.0, 64.0, 64.0]))
    for n in (0, 1):
        chosen = cells.centres[(quality[0] > 0) & (face[0] == n)]
        middle = torch.tensor([[12.0, 12.0], [48.0, 48.0]])[n]
        assert len(chosen)
        assert (chosen - middle).abs().max() <= 12


def test_a_perfect_prediction_costs_less_than_a_worse_one():
    box = [10.0, 12.0, 40.0, 50.0]
    good, shifted, unsure = maps(), maps(), maps()
    perfect(good, box, 1, 1, 16)
    perfect(shifted, [14.0, 16.0, 44.0, 54.0], 1, 1, 16)
    perfect(unsure, box, 1, 1, 16)
    unsure[1][0, 0, 1, 1] = -2.0
    best = detection_loss(good, targets(box))
    assert best < detection_loss(shifted, targets(box))
    assert best < detection_loss(unsure, targets(box))


def test_ignored_places_cost_nothing():
    confident = maps()
    perfect(confident, [8.0, 8.0, 40.0, 40.0], 1, 1, 16)
    face = [44.0, 44.0, 60.0, 60.0]
    ignored = detection_loss(confident, targets(face, ignored=[[8.0, 8.0, 40.0, 40.0]]))
    assert ignored < detection_loss(confident, targets(face)) - 1


def test_a_canvas_without_faces_has_a_loss_that_falls_with_the_scores():
    nothing = Targets(torch.zeros(1, 2, 4), torch.zeros(1, 2, 5, 2), torch.zeros(1, 2).bool(), torch.zeros(1, 2).bool())
    assert 0 < detection_loss(maps(logit=-6.0), nothing) < detection_loss(maps(logit=-2.0), nothing)


def test_every_gradient_is_finite_at_the_start():
    values = tuple(m.requires_grad_() for m in maps())
    detection_loss(values, targets([0.0, 0.0, 9.0, 9.0], [20.0, 20.0, 64.0, 70.0])).backward()
    assert all(torch.isfinite(m.grad).all() for m in values)


@pytest.mark.parametrize(("other", "expected"), [([0, 0, 2, 2], 1.0), ([1, 0, 3, 2], 1 / 3), ([5, 5, 6, 6], 0.0)])
def test_iou(other, expected):
    assert float(iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor(other).float())) == pytest.approx(expected)


def test_complete_iou_of_distant_boxes_grows_as_they_approach():
    box = torch.tensor([0.0, 0, 2, 2])
    near, far = (complete_iou(box, torch.tensor([x, 0, x + 2, 2])) for x in (3.0, 9.0))
    assert far < near < 0
