from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from emofuse.nets.speech_towers import SpeechTowers, SpeechTowersSettings  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402 (torch may be missing)
from support.speech_samples import voices  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> SpeechTowers:
    return fresh(SpeechTowers.tiny, seed=1).eval()


@pytest.mark.parametrize("classes", [2, 7, 8])
def test_a_net_gives_an_embedding_and_one_logit_for_each_class(classes):
    embedding, logits = SpeechTowers.tiny(classes)(voices())
    assert (len(embedding), logits.shape) == (3, (3, classes))


def test_the_embedding_of_the_full_net_has_720_numbers_for_any_length():
    net = SpeechTowers().eval()
    with torch.inference_mode():
        shapes = [net(voices(2, samples))[0].shape for samples in (16_000, 48_000)]
    assert shapes == [(2, 720)] * 2


def test_the_full_net_has_a_million_parameters():
    assert 900_000 < sum(p.numel() for p in SpeechTowers().parameters()) < 1_000_000


def test_the_net_for_tests_is_small():
    assert sum(p.numel() for p in SpeechTowers.tiny().parameters()) < 25_000


def test_towers_judge_as_the_mean_of_their_probabilities(net):
    heard = []
    for tower in net.towers:
        tower.register_forward_hook(lambda _, __, said: heard.append(said[1].softmax(dim=1)))
    said = net(voices())[1]
    assert len(heard) == 2
    torch.testing.assert_close(said.exp(), torch.stack(heard).mean(dim=0))
    assert not torch.allclose(heard[0], heard[1], atol=1e-3)


def test_in_training_each_example_is_heard_by_one_tower(net):
    net.train()
    net(voices(6))[1][:3].sum().backward()
    first, second = ([p.grad for p in tower.parameters()] for tower in net.towers)
    assert all(grad is not None for grad in first)
    assert not any(grad is not None and grad.any() for grad in second)


def test_one_example_can_be_learned_from(net):
    assert net.train()(voices(1))[1].shape == (1, 7)


def test_every_weight_takes_part_in_training(net):
    net.train()
    torch.nn.functional.cross_entropy(net(voices(4))[1], torch.tensor([0, 3, 6, 2])).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_voice_does_not_depend_on_the_others_of_its_batch_once_it_is_trained(net):
    together = net(voices())[1]
    alone = torch.cat([net(wave[None])[1] for wave in voices()])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_masks_and_warps_are_for_training_alone(net):
    torch.testing.assert_close(net(voices())[1], net(voices())[1], atol=0, rtol=0)


def test_the_full_net_is_exported_faithfully(tmp_path: Path):
    net = fresh(SpeechTowers, seed=0)
    assert export_onnx(net, voices(2, 48_000), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_a_checkpoint_does_not_belong_to_a_net_with_other_masks():
    assert str(SpeechTowers(SpeechTowersSettings(masks=2))) != str(SpeechTowers())


@pytest.mark.parametrize("build", [SpeechTowers, SpeechTowers.tiny], ids=["full", "tiny"])
def test_no_strided_1x1_convolution_has_fewer_channels_than_a_block_of_onednn(build):
    # As in tests/nets/test_compact.py: its backward pass writes past its buffer.
    convolutions = [m for m in build().modules() if isinstance(m, torch.nn.Conv2d)]
    narrow = [c for c in convolutions if c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16]
    assert narrow == []
