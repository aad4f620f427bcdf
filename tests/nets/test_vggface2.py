from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError, WeightsError  # noqa: E402
from emofuse.nets.pretrained import Head, load_pretrained  # noqa: E402
from emofuse.nets.vggface2 import VGGFace2, VGGFace2Settings, load_keras  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402
from support.numpy_networks import relative_error, resnet  # noqa: E402 (torch may be missing)
from support.weight_files import resnet_layers, write_keras  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = VGGFace2.tiny().settings


@pytest.fixture
def net() -> VGGFace2:
    return fresh(VGGFace2.tiny, seed=1).eval()


@pytest.fixture(scope="module")
def full() -> VGGFace2:
    """The full net without numbers: shapes alone."""
    with torch.device("meta"):
        return VGGFace2()


def faces(n: int, size: int, *, seed: int = 0) -> torch.Tensor:
    return 50 * torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def layers(settings: VGGFace2Settings = TINY) -> dict[str, dict[str, np.ndarray]]:
    return resnet_layers(settings, np.random.default_rng(3))


@pytest.mark.parametrize("classes", [2, 7, 8])
def test_a_net_gives_an_embedding_and_one_logit_for_each_class(classes):
    embedding, logits = VGGFace2.tiny(classes)(faces(3, 64))
    assert (embedding.shape, logits.shape) == ((3, TINY.hidden), (3, classes))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv1", (64, 112, 112)),
        ("pool1", (64, 55, 55)),
        ("conv2", (256, 55, 55)),
        ("conv3", (512, 28, 28)),
        ("conv4", (1024, 14, 14)),
        ("conv5", (2048, 7, 7)),
        ("pool", (2048,)),
        ("dense", (1024,)),
        ("logits", (7,)),
    ],
)
def test_the_full_net_has_the_sizes_of_keras_vggface(full, layer, shape):
    assert full.embed(torch.empty(2, 3, 224, 224, device="meta"), layer=layer).shape == (2, *shape)


def test_the_full_net_below_its_head_has_as_many_numbers_as_keras_vggface(full):
    counted = (v for k, v in full.state_dict().items() if not k.startswith(full.head) and v.ndim)
    assert sum(v.numel() for v in counted) == 23_561_152


def test_the_tiny_net_from_a_keras_file_gives_what_numpy_computes_from_its_layers(tmp_path, net):
    content = layers()
    load_pretrained(net, write_keras(tmp_path / "w.h5", content), name="vggface2", head=Head.FRESH)
    batch = faces(3, 64)
    expected = resnet(content, batch.numpy().transpose(0, 2, 3, 1).astype(np.float64), blocks=TINY.blocks)
    with torch.inference_mode():
        assert relative_error(net.embed(batch, layer="pool").numpy(), expected) < 1e-5


@pytest.mark.slow
def test_the_full_net_from_a_keras_file_gives_what_numpy_computes_from_its_layers(tmp_path):
    net, content = VGGFace2().eval(), layers(VGGFace2Settings())
    load_pretrained(net, write_keras(tmp_path / "w.h5", content), name="vggface2", head=Head.FRESH)
    batch = faces(2, 224)
    expected = resnet(content, batch.numpy().transpose(0, 2, 3, 1).astype(np.float64), blocks=(3, 4, 6, 3))
    with torch.inference_mode():
        assert relative_error(net.embed(batch, layer="pool").numpy(), expected) < 1e-4
    assert export_onnx(net, batch, tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_the_dense_layers_stand_on_the_pooled_features(net):
    batch = faces(2, 64)
    pooled = net.embed(batch, layer="pool")
    dense = torch.relu(pooled @ net.dense.weight.T + net.dense.bias)
    logits = dense @ net.classify.weight.T + net.classify.bias
    torch.testing.assert_close(net(batch), (dense, logits))


def test_the_embedding_is_the_dense_layer_unless_the_settings_say_otherwise(net):
    pooling = VGGFace2(VGGFace2Settings(**{**vars(TINY), "embedding": "pool"})).eval()
    pooling.load_state_dict(net.state_dict())
    batch = faces(2, 64)
    assert torch.equal(net.embed(batch), net.embed(batch, layer="dense"))
    assert torch.equal(pooling(batch)[0], net.embed(batch, layer="pool"))
    assert torch.equal(pooling(batch)[1], net(batch)[1])


def test_dropout_acts_on_the_logits_and_not_on_the_embedding(net):
    batch = faces(4, 64)
    expected = net(batch)
    net.dropout.train()
    found = net(batch)
    assert torch.equal(found[0], expected[0])
    assert not torch.equal(found[1], expected[1])


def test_an_unknown_layer_suggests_the_nearest(net):
    with pytest.raises(SettingsError, match=r"no layer 'pol' .did you mean 'pool'"):
        net.embed(faces(1, 64), layer="pol")


@pytest.mark.parametrize("root", ["/", "/model_weights"])
def test_a_saved_model_is_read_like_a_file_of_weights(tmp_path, root):
    content = layers()
    tensors = load_keras(write_keras(tmp_path / "w.h5", content, root=root), TINY)
    kernel = content["conv3_1_1x1_proj"]["kernel"]
    np.testing.assert_array_equal(tensors["stages.1.0.project.conv.weight"], kernel.transpose(3, 2, 0, 1))


def test_the_classifier_of_identities_may_be_in_the_file(tmp_path):
    with_top = layers() | {"classifier": {"kernel": np.zeros((32, 8631)), "bias": np.zeros(8631)}}
    tensors = load_keras(write_keras(tmp_path / "w.h5", with_top), TINY)
    assert tensors.keys() == load_keras(write_keras(tmp_path / "v.h5", layers()), TINY).keys()


def renamed(content: dict) -> None:
    content["conv2_2_three"] = content.pop("conv2_2_3x3")


def reshaped(content: dict) -> None:
    content["conv2_1_3x3"]["kernel"] = content["conv2_1_3x3"]["kernel"][:1]


def surplus(content: dict) -> None:
    content["conv3_1_1x1_down"] = {"kernel": np.zeros((1, 1, 2, 2))}


def spoilt(content: dict) -> None:
    content["conv2_1_3x3/bn"]["moving_mean"][1] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            renamed,
            "'conv2_2_3x3/kernel' is missing; found 60 arrays, 1 of them unknown, such as 'conv2_2_three/kernel'",
        ),
        (reshaped, r"'conv2_1_3x3/kernel' has shape \[1, 3, 4, 4\], expected \[3, 3, 4, 4\]"),
        (surplus, "'conv3_1_1x1_down/kernel' is not part of it"),
        (spoilt, "'conv2_1_3x3/bn/moving_mean' has values that are not finite"),
    ],
)
def test_a_file_that_is_not_this_net_is_refused_by_its_first_fault(tmp_path, change, message):
    content = layers()
    change(content)
    with pytest.raises(WeightsError, match=message):
        load_keras(write_keras(tmp_path / "w.h5", content), TINY)


def test_the_file_of_a_deeper_net_is_refused(tmp_path):
    deeper = layers(VGGFace2Settings(**{**vars(TINY), "blocks": (2, 2)}))
    with pytest.raises(WeightsError, match="'conv3_2_1x1_reduce/kernel' is not part of it"):
        load_keras(write_keras(tmp_path / "w.h5", deeper), TINY)


def test_every_weight_takes_part_in_training(net):
    net.train()
    torch.nn.functional.cross_entropy(net(faces(8, 64))[1], torch.arange(8) % 7).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_exported_net_equals_the_torch_net(net, tmp_path):
    assert export_onnx(net, faces(3, 64), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-5


@pytest.mark.parametrize("build", [VGGFace2, VGGFace2.tiny], ids=["full", "tiny"])
def test_no_strided_1x1_convolution_has_fewer_channels_than_a_block_of_onednn(build):
    # uxlfoundation/oneDNN issue 6035, as in test_compact.py.
    with torch.device("meta"):
        convolutions = [m for m in build().modules() if isinstance(m, torch.nn.Conv2d)]
    narrow = [c for c in convolutions if c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16]
    assert narrow == []


def test_the_net_for_tests_is_small():
    assert sum(p.numel() for p in VGGFace2.tiny().parameters()) < 20_000
