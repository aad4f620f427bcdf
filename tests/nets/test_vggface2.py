from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import WeightsError  # noqa: E402
from emofuse.nets.pretrained import load_pretrained  # noqa: E402
from emofuse.nets.vggface2 import VGGFace2, VGGFace2Settings, load_keras  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402
from support.module_calls import module_calls  # noqa: E402
from support.numpy_networks import relative_error, resnet  # noqa: E402 (torch may be missing)
from support.tiny_networks import VGGFACE2 as TINY  # noqa: E402
from support.weight_files import resnet_layers, write_keras  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> VGGFace2:
    return fresh(lambda: VGGFace2(TINY), seed=1).eval()


@pytest.fixture(scope="module")
def full() -> VGGFace2:
    """The full network with shapes but no values."""
    with torch.device("meta"):
        return VGGFace2()


def faces(n: int, size: int, *, seed: int = 0) -> torch.Tensor:
    return 50 * torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def layers(settings: VGGFace2Settings = TINY) -> dict[str, dict[str, np.ndarray]]:
    return resnet_layers(settings, np.random.default_rng(3))


def test_the_layers_of_the_full_network_have_the_shapes_of_keras_vggface(full):
    calls = module_calls(full, torch.empty(2, 3, 224, 224, device="meta"))
    shapes = {
        "conv1": calls["stem"][1].shape,
        "pool1": calls["stages"][0].shape,
        **{f"conv{n + 2}": calls[f"stages.{n}"][1].shape for n in range(4)},
        "pool": calls["dense"][0].shape,
        "dense": calls["dense"][1].shape,
        "logits": calls["classify"][1].shape,
    }
    assert shapes == {
        "conv1": (2, 64, 112, 112),
        "pool1": (2, 64, 55, 55),
        "conv2": (2, 256, 55, 55),
        "conv3": (2, 512, 28, 28),
        "conv4": (2, 1024, 14, 14),
        "conv5": (2, 2048, 7, 7),
        "pool": (2, 2048),
        "dense": (2, 1024),
        "logits": (2, 7),
    }


def test_the_full_network_below_its_head_has_as_many_values_as_keras_vggface(full):
    counted = (v for k, v in full.state_dict().items() if not k.startswith(full.head) and v.ndim)
    assert sum(v.numel() for v in counted) == 23_561_152


def test_the_tiny_network_from_a_keras_file_equals_numpy(tmp_path, net):
    content = layers()
    load_pretrained(net, write_keras(tmp_path / "w.h5", content), name="vggface2", fresh_head=True)
    batch = faces(3, 64)
    expected = resnet(content, batch.numpy().transpose(0, 2, 3, 1).astype(np.float64), blocks=TINY.blocks)
    with torch.inference_mode():
        assert relative_error(module_calls(net, batch)["dense"][0].numpy(), expected) < 1e-5


@pytest.mark.slow
def test_the_full_network_from_a_keras_file_equals_numpy_in_torch_and_onnx(tmp_path):
    net, content = VGGFace2().eval(), layers(VGGFace2Settings())
    load_pretrained(net, write_keras(tmp_path / "w.h5", content), name="vggface2", fresh_head=True)
    batch = faces(2, 224)
    expected = resnet(content, batch.numpy().transpose(0, 2, 3, 1).astype(np.float64), blocks=(3, 4, 6, 3))
    with torch.inference_mode():
        assert relative_error(module_calls(net, batch)["dense"][0].numpy(), expected) < 1e-4
    assert export_onnx(net, batch, tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_the_dense_layers_follow_the_pooled_features(net):
    batch = faces(2, 64)
    pooled = module_calls(net, batch)["dense"][0]
    dense = torch.relu(pooled @ net.dense.weight.T + net.dense.bias)
    logits = dense @ net.classify.weight.T + net.classify.bias
    torch.testing.assert_close(net(batch), (dense, logits))


def test_dropout_changes_the_logits_and_not_the_embedding(net):
    batch = faces(4, 64)
    expected = net(batch)
    net.dropout.train()
    found = net(batch)
    assert torch.equal(found[0], expected[0])
    assert not torch.equal(found[1], expected[1])


@pytest.mark.parametrize("root", ["/", "/model_weights"])
def test_a_saved_model_is_read_like_a_weight_file(tmp_path, root):
    content = layers()
    tensors = load_keras(write_keras(tmp_path / "w.h5", content, root=root), TINY)
    kernel = content["conv3_1_1x1_proj"]["kernel"]
    np.testing.assert_array_equal(tensors["stages.1.0.project.conv.weight"], kernel.transpose(3, 2, 0, 1))


def test_the_classifier_of_identities_in_a_file_is_ignored(tmp_path):
    with_top = layers() | {"classifier": {"kernel": np.zeros((32, 8631)), "bias": np.zeros(8631)}}
    tensors = load_keras(write_keras(tmp_path / "w.h5", with_top), TINY)
    assert tensors.keys() == load_keras(write_keras(tmp_path / "v.h5", layers()), TINY).keys()


def renamed(content: dict) -> None:
    content["conv2_2_three"] = content.pop("conv2_2_3x3")


def reshaped(content: dict) -> None:
    content["conv2_1_3x3"]["kernel"] = content["conv2_1_3x3"]["kernel"][:1]


def unexpected(content: dict) -> None:
    content["conv3_1_1x1_down"] = {"kernel": np.zeros((1, 1, 2, 2))}


def not_finite(content: dict) -> None:
    content["conv2_1_3x3/bn"]["moving_mean"][1] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            renamed,
            "'conv2_2_3x3/kernel' is missing; found 60 arrays, 1 of them unknown, such as 'conv2_2_three/kernel'",
        ),
        (reshaped, r"'conv2_1_3x3/kernel' has shape \[1, 3, 4, 4\], expected \[3, 3, 4, 4\]"),
        (unexpected, "'conv3_1_1x1_down/kernel' does not belong to it"),
        (not_finite, "'conv2_1_3x3/bn/moving_mean' has values that are not finite"),
    ],
)
def test_a_file_of_another_network_is_refused_with_its_first_difference(tmp_path, change, message):
    content = layers()
    change(content)
    with pytest.raises(WeightsError, match=message):
        load_keras(write_keras(tmp_path / "w.h5", content), TINY)


def test_the_file_of_a_deeper_network_is_refused(tmp_path):
    deeper = layers(VGGFace2Settings(**{**vars(TINY), "blocks": (2, 2)}))
    with pytest.raises(WeightsError, match="'conv3_2_1x1_reduce/kernel' does not belong to it"):
        load_keras(write_keras(tmp_path / "w.h5", deeper), TINY)
