from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor, nn

from emofuse import fit
from emofuse.errors import SettingsError
from emofuse.nets.committee import Committee, OneOpinion, TwoOpinions
from emofuse.nets.compact import CompactFace
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.nets.resized import Resized


class Says(nn.Module):
    """A net of these logits, whose embedding is one number."""

    def __init__(self, logits: list[float], feature: float) -> None:
        super().__init__()
        self.logits, self.feature = torch.tensor(logits), feature

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.new_full((len(inputs), 1), self.feature), self.logits.expand(len(inputs), -1)


def test_members_are_weighed_by_the_logarithms_of_their_probabilities():
    embedding, logits = Committee([Says([1.0, 3.0], 7), Says([50.0, 49.0], 8)], [0.25, 0.75])(torch.zeros(2, 1))
    expected = 0.25 * log_softmax([1, 3]) + 0.75 * log_softmax([50, 49])
    assert logits.numpy() == pytest.approx(np.stack([expected] * 2), abs=1e-5)
    assert embedding.tolist() == [[7, 8], [7, 8]]


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.6], [-0.5, 1.5]])
def test_shares_that_do_not_make_one_are_refused(shares):
    with pytest.raises(SettingsError, match="committee of 2: shares"):
        Committee([Says([0], 0), Says([0], 0)], shares)


def test_one_opinion_is_that_of_two():
    two = TwoOpinions(MobileFaceNet.tiny(14)).eval()
    size = MobileFaceNet.tiny().settings.size
    faces = torch.rand(3, 1, size, size)
    with torch.inference_mode():
        both = two(faces)[1]
        for which in (0, 1):
            assert torch.equal(OneOpinion(two, which)(faces)[1], both[:, which])


def test_what_is_exported_has_a_number_of_classes_that_can_be_read(tmp_path):
    import onnxruntime

    size = MobileFaceNet.tiny().settings.size
    members = [CompactFace.tiny(), Resized(OneOpinion(TwoOpinions(MobileFaceNet.tiny(14)), 0), size)]
    path = tmp_path / "face.onnx"
    fit.export_onnx(Committee(members, [0.5, 0.5]), fit.face_example(48), path, outputs=("embedding", "logits"))
    outputs = {o.name: o.shape for o in onnxruntime.InferenceSession(path).get_outputs()}
    assert outputs["logits"][-1] == 7
