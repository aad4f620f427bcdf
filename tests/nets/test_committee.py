from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from emofuse.errors import SettingsError
from emofuse.nets.committee import Committee, TwoOpinions
from emofuse.nets.compact import CompactFace
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.nets.resized import Resized
from emofuse.training import loop as fit


class Says(nn.Module):
    """A net of these logits, whose embedding is one number."""

    def __init__(self, logits: list[float] | list[list[float]], feature: float) -> None:
        super().__init__()
        self.logits, self.feature = torch.tensor(logits), feature

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.new_full((len(inputs), 1), self.feature), self.logits.expand(len(inputs), *self.logits.shape)


def test_members_are_weighed_by_the_logarithms_of_their_probabilities():
    embedding, logits = Committee([Says([1.0, 3.0], 7), Says([50.0, 49.0], 8)], [[0.25, 0.75]])(torch.zeros(2, 1))
    expected = log_softmax(0.25 * log_softmax([1, 3]) + 0.75 * log_softmax([50, 49]))
    assert logits.numpy() == pytest.approx(np.stack([expected] * 2), abs=1e-5)
    assert embedding.tolist() == [[7, 8], [7, 8]]


def test_two_answers_are_mixed_by_their_probabilities():
    members = [Says([0.0, 1.0], 0), Says([[2.0, 0.0], [0.0, 3.0]], 0)]
    said = Committee(members, [[0.5, 0.5], [0.0, 1.0]], [0.25, 0.75])(torch.zeros(1, 1))[1]
    first, second = softmax(0.5 * log_softmax([0, 1]) + 0.5 * log_softmax([2, 0])), softmax([0, 3])
    assert softmax(said.numpy()[0]) == pytest.approx(0.25 * first + 0.75 * second, abs=1e-6)


def test_an_answer_that_does_not_count_changes_nothing():
    two = TwoOpinions(MobileFaceNet.tiny(14)).eval()
    size = MobileFaceNet.tiny().settings.size
    faces = torch.rand(3, 1, size, size)
    with torch.inference_mode():
        both = two(faces)[1]
        for which, answers in enumerate(([1.0, 0.0], [0.0, 1.0])):
            said = Committee([two], [[1.0], [1.0]], answers)(faces)[1]
            assert torch.allclose(said, both[:, which].log_softmax(dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("shares", "answers", "found"),
    [
        ([[1.0]], [1.0], "2 members: shares [1.0]"),
        ([[0.5, 0.6]], [1.0], "2 members: shares [0.5, 0.6]"),
        ([[-0.5, 1.5]], [1.0], "2 members: shares [-0.5, 1.5]"),
        ([[0.5, 0.5]], [0.5, 0.5], "1 answers: shares [0.5, 0.5]"),
        ([[0.5, 0.5]] * 2, [0.6, 0.5], "2 answers: shares [0.6, 0.5]"),
    ],
)
def test_shares_that_do_not_make_one_are_refused(shares, answers, found):
    with pytest.raises(SettingsError, match=re.escape(f"committee of {found}; give one for each, in all one")):
        Committee([Says([0], 0), Says([0], 0)], shares, answers)


def test_what_is_exported_has_a_number_of_classes_that_can_be_read(tmp_path):
    import onnxruntime

    size = MobileFaceNet.tiny().settings.size
    members = [CompactFace.tiny(), Resized(TwoOpinions(MobileFaceNet.tiny(14)), size)]
    net = Committee(members, [[0.5, 0.5], [0, 1]], [0.5, 0.5])
    path = tmp_path / "face.onnx"
    fit.export_onnx(net, fit.face_example(48), path, outputs=("embedding", "logits"))
    outputs = {o.name: o.shape for o in onnxruntime.InferenceSession(path).get_outputs()}
    assert outputs["logits"][-1] == 7
