from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from emofuse.nets.speech_ensemble import SpeechEnsemble, SpeechEnsembleSettings  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402 (torch may be missing)
from support.speech_samples import synthetic_voices  # noqa: E402
from support.tiny_networks import SPEECH_ENSEMBLE as TINY  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> SpeechEnsemble:
    return fresh(lambda: SpeechEnsemble(TINY), seed=1).eval()


def test_the_embedding_of_the_full_network_has_720_values_for_any_length():
    net = SpeechEnsemble().eval()
    with torch.inference_mode():
        shapes = [net(synthetic_voices(2, samples))[0].shape for samples in (16_000, 48_000)]
    assert shapes == [(2, 720)] * 2


def test_the_full_network_has_almost_a_million_parameters():
    assert 900_000 < sum(p.numel() for p in SpeechEnsemble().parameters()) < 1_000_000


def test_the_probabilities_are_the_mean_of_those_of_the_members(net):
    outputs = []
    for member in net.members:
        member.register_forward_hook(lambda _, __, output: outputs.append(output[1].softmax(dim=1)))
    logits = net(synthetic_voices())[1]
    assert len(outputs) == 2
    torch.testing.assert_close(logits.exp(), torch.stack(outputs).mean(dim=0))
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3)


def test_in_training_each_example_goes_through_one_member(net):
    net.train()
    net(synthetic_voices(6))[1][:3].sum().backward()
    first, second = ([p.grad for p in member.parameters()] for member in net.members)
    assert all(grad is not None for grad in first)
    assert not any(grad is not None and grad.any() for grad in second)


def test_a_single_example_can_be_trained_on(net):
    assert net.train()(synthetic_voices(1))[1].shape == (1, 7)


def test_the_onnx_export_of_the_full_network_equals_torch(tmp_path: Path):
    net = fresh(SpeechEnsemble, seed=0)
    assert export_onnx(net, synthetic_voices(2, 48_000), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_a_checkpoint_does_not_match_a_network_with_other_masks():
    assert str(SpeechEnsemble(SpeechEnsembleSettings(masks=2))) != str(SpeechEnsemble())
