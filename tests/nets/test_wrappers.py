from __future__ import annotations

import re

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from scipy.special import log_softmax, softmax  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from emofuse.errors import SettingsError  # noqa: E402
from emofuse.nets import compact, mobilefacenet  # noqa: E402
from emofuse.nets.catalogue import NETWORKS  # noqa: E402
from emofuse.nets.wrappers import (  # noqa: E402
    Ensemble,
    Normalise,
    Resize,
    Standardise,
    TwoLabelSets,
    standardised,
)
from emofuse.training.loop import Faces, export_onnx, face_example, fresh  # noqa: E402
from support.tiny_networks import MOBILEFACENET as TINY  # noqa: E402


def mobile(classes: int = 7) -> mobilefacenet.MobileFaceNet:
    return fresh(lambda: mobilefacenet.build(classes, tiny=True), seed=0).eval()


def test_grey_faces_become_what_training_passes_to_the_network():
    net, given = mobile(), NETWORKS["mobilefacenet"].preprocessing
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8))
    trained_on = Faces(given.colour, given.mean, given.scale, augment=None)(grey)
    with torch.inference_mode():
        pairs = zip(
            net(trained_on), nn.Sequential(Normalise(given.mean, given.scale), net)(grey[:, None].float()), strict=True
        )
        for one, two in pairs:
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_brightness_and_contrast_of_standardised_faces_have_no_effect():
    net = TwoLabelSets(mobile(14)).eval()
    grey = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(grey)[1], net(20 + 50 * grey)[1], rtol=1e-2, atol=1e-3)


def test_a_standardised_face_has_mean_0_and_deviation_1_and_a_uniform_one_is_0():
    faces = 255 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert standardised(faces).mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (standardised(faces).square().mean(dim=(1, 2, 3)) - 1).abs().max() < 1e-3
    assert not standardised(torch.full((1, 1, 8, 8), 7.0)).any()


def test_standardised_faces_have_mean_128_and_deviation_64():
    found = Standardise()(0.1 + 0.2 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert (found.mean(dim=(1, 2, 3)) - 128).abs().max() < 1e-2
    assert (found.std(dim=(1, 2, 3), correction=0) - 64).abs().max() < 2


class Constant(nn.Module):
    """A network of constant logits, whose embedding is one number."""

    def __init__(self, logits: list[float] | list[list[float]], feature: float) -> None:
        super().__init__()
        self.logits, self.feature = torch.tensor(logits), feature

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.new_full((len(inputs), 1), self.feature), self.logits.expand(len(inputs), *self.logits.shape)


def test_the_log_probabilities_of_members_are_averaged_by_weight():
    embedding, logits = Ensemble([Constant([1.0, 3.0], 7), Constant([50.0, 49.0], 8)], [[0.25, 0.75]])(
        torch.zeros(2, 1)
    )
    expected = log_softmax(0.25 * log_softmax([1, 3]) + 0.75 * log_softmax([50, 49]))
    assert logits.numpy() == pytest.approx(np.stack([expected] * 2), abs=1e-5)
    assert embedding.tolist() == [[7, 8], [7, 8]]


def test_two_label_sets_are_mixed_by_their_probabilities():
    members = [Constant([0.0, 1.0], 0), Constant([[2.0, 0.0], [0.0, 3.0]], 0)]
    logits = Ensemble(members, [[0.5, 0.5], [0.0, 1.0]], [0.25, 0.75])(torch.zeros(1, 1))[1]
    first, second = softmax(0.5 * log_softmax([0, 1]) + 0.5 * log_softmax([2, 0])), softmax([0, 3])
    assert softmax(logits.numpy()[0]) == pytest.approx(0.25 * first + 0.75 * second, abs=1e-6)


def test_a_label_set_of_weight_0_has_no_effect():
    two = TwoLabelSets(mobile(14)).eval()
    faces = torch.rand(3, 1, TINY.size, TINY.size)
    with torch.inference_mode():
        both = two(faces)[1]
        for label_set, mixture in enumerate(([1.0, 0.0], [0.0, 1.0])):
            logits = Ensemble([two], [[1.0], [1.0]], mixture)(faces)[1]
            assert torch.allclose(logits, both[:, label_set].log_softmax(dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "mixture", "found"),
    [
        ([[1.0]], [1.0], "2 members: weights are [1.0]"),
        ([[0.5, 0.6]], [1.0], "2 members: weights are [0.5, 0.6]"),
        ([[-0.5, 1.5]], [1.0], "2 members: weights are [-0.5, 1.5]"),
        ([[0.5, 0.5]], [0.5, 0.5], "1 label sets: weights are [0.5, 0.5]"),
        ([[0.5, 0.5]] * 2, [0.6, 0.5], "2 label sets: weights are [0.6, 0.5]"),
    ],
)
def test_weights_that_do_not_sum_to_one_are_refused(weights, mixture, found):
    with pytest.raises(SettingsError, match=re.escape(f"ensemble of {found}; give one for each, with the sum 1")):
        Ensemble([Constant([0], 0), Constant([0], 0)], weights, mixture)


def test_the_export_of_an_ensemble_has_a_known_number_of_classes(tmp_path):
    members = [compact.build(tiny=True), nn.Sequential(Resize(TINY.size), TwoLabelSets(mobile(14)))]
    net = Ensemble(members, [[0.5, 0.5], [0, 1]], [0.5, 0.5])
    path = tmp_path / "face.onnx"
    export_onnx(net, face_example(48), path, outputs=("embedding", "logits"))
    outputs = {o.name: o.shape for o in onnxruntime.InferenceSession(path).get_outputs()}
    assert outputs["logits"][-1] == 7
