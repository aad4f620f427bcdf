from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError, WeightsError  # noqa: E402
from emofuse.nets.pretrained import load_pretrained  # noqa: E402
from emofuse.nets.vggface import AVERAGE_COLOUR, VGGFace, VGGFaceSettings, load_matconvnet  # noqa: E402
from emofuse.training.loop import fresh  # noqa: E402
from support.module_calls import module_calls  # noqa: E402
from support.numpy_networks import relative_error, simplenn  # noqa: E402 (torch may be missing)
from support.tiny_networks import VGGFACE as TINY  # noqa: E402
from support.weight_files import (  # noqa: E402
    at_top,
    average_image,
    in_net,
    vgg_layers,
    write_mat7,
    write_mat73,
    write_struct_array73,
)

pytestmark = pytest.mark.usefixtures("one_thread")
WRITERS = {"v7": write_mat7, "v7.3": write_mat73}


@pytest.fixture
def net() -> VGGFace:
    return fresh(lambda: VGGFace(TINY), seed=1).eval()


@pytest.fixture
def content() -> tuple[list, np.ndarray]:
    """Layers and average image of a tiny VGG-FER."""
    rng = np.random.default_rng(5)
    return vgg_layers(TINY, rng, classes=7), average_image(16, rng)


def pixels(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(6).uniform(0, 255, (n, size, size, 3)).astype(np.float32)


def as_input(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb.transpose(0, 3, 1, 2).copy())


def test_the_full_network_has_the_37_layers_of_matconvnet_but_the_softmax_and_the_32nd_is_fc6():
    with torch.device("meta"):
        names = list(VGGFace().layers)
    assert (len(names), names[0], names[31], names[32], names[35]) == (36, "conv1_1", "fc6", "relu6", "fc8")
    assert sum(n.startswith(("conv", "fc")) for n in names) == 16
    assert sum(n.startswith("pool") for n in names) == 5


@pytest.mark.parametrize(
    ("layer", "shape"),
    [("conv1_1", (64, 224, 224)), ("pool4", (512, 14, 14)), ("pool5", (512, 7, 7)), ("fc6", (4096,)), ("fc8", (7,))],
)
def test_the_layers_of_the_full_network_have_the_shapes_of_vgg_16(layer, shape):
    with torch.device("meta"):
        calls = module_calls(VGGFace(), torch.empty(2, 3, 224, 224))
    assert calls[f"layers.{layer}"][1].shape == (2, *shape)


def test_the_full_network_with_2622_identities_has_as_many_weights_as_vgg_face():
    with torch.device("meta"):
        assert sum(p.numel() for p in VGGFace(VGGFaceSettings(classes=2622)).parameters()) == 145_002_878


@pytest.mark.parametrize("place", [in_net, at_top], ids=["net", "top"])
@pytest.mark.parametrize("version", WRITERS)
def test_every_layer_of_a_network_from_a_mat_file_equals_numpy(tmp_path, net, content, version, place):
    layers, average = content
    load_pretrained(net, WRITERS[version](tmp_path / "w.mat", place(layers, average)), name="vggfer")
    rgb = pixels(2, 16)
    res = simplenn(layers, rgb.astype(np.float64) - average)
    with torch.inference_mode():
        calls = module_calls(net, as_input(rgb))
        for n, name in enumerate(net.layers):
            found = calls[f"layers.{name}"][1].numpy()
            expected = res[n + 1].transpose(0, 3, 1, 2)
            assert relative_error(found.reshape(expected.shape), expected) < 1e-5, name


@pytest.mark.slow
def test_the_full_network_from_a_mat_file_equals_numpy(tmp_path):
    rng = np.random.default_rng(7)
    settings = VGGFaceSettings()
    layers, average = vgg_layers(settings, rng, classes=7), average_image(224, rng)
    net = VGGFace().eval()
    load_pretrained(net, write_mat7(tmp_path / "w.mat", in_net(layers, average)), name="vggfer")
    rgb = pixels(1, 224)
    res = simplenn(layers, rgb - average)
    with torch.inference_mode():
        embedding, logits = net(as_input(rgb))
    # MatConvNet's res(33), counted from 1.
    assert relative_error(embedding.numpy(), res[32].reshape(1, 4096)) < 1e-4
    assert relative_error(logits.numpy(), res[36].reshape(1, 7)) < 1e-4


def test_the_embedding_is_fc6_before_its_relu_by_default_and_relu6_on_request(net):
    after = VGGFace(VGGFaceSettings(**{**vars(TINY), "embedding": "relu6"})).eval()
    after.load_state_dict(net.state_dict())
    rgb = as_input(pixels(4, 16))
    assert (net(rgb)[0] < 0).any()
    assert torch.equal(after(rgb)[0], net(rgb)[0].relu())


def test_a_struct_array_of_layers_is_read_like_a_cell(tmp_path, content):
    layers, average = content
    cell = load_matconvnet(write_mat73(tmp_path / "cell.mat", at_top(layers, average)), TINY)
    array = load_matconvnet(write_struct_array73(tmp_path / "array.mat", layers, average), TINY)
    assert cell.keys() == array.keys()
    assert all(torch.equal(cell[k], array[k]) for k in cell)


@pytest.mark.parametrize("version", WRITERS)
def test_files_with_filters_and_biases_as_fields_are_read(tmp_path, content, version):
    layers, average = content
    new = load_matconvnet(WRITERS[version](tmp_path / "new.mat", in_net(layers, average)), TINY)
    for layer in layers:
        if "weights" in layer:
            layer["filters"], layer["biases"] = layer.pop("weights")
    old = load_matconvnet(WRITERS[version](tmp_path / "old.mat", in_net(layers, average)), TINY)
    assert all(torch.equal(old[k], new[k]) for k in new)


@pytest.mark.parametrize("name", ["classifier", ""])
@pytest.mark.parametrize("version", WRITERS)
def test_the_last_layer_may_have_any_name_or_none(tmp_path, content, version, name):
    layers, average = content
    layers[-2]["name"] = name
    tensors = load_matconvnet(WRITERS[version](tmp_path / "w.mat", in_net(layers, average)), TINY)
    expected = layers[-2]["weights"][0][0, 0].T
    np.testing.assert_array_equal(tensors["layers.fc8.weight"], expected)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("version", WRITERS)
def test_an_average_of_one_colour_is_subtracted_everywhere(tmp_path, content, version, shape):
    colour = np.array(AVERAGE_COLOUR, np.float32)
    path = WRITERS[version](tmp_path / "w.mat", in_net(content[0], colour.reshape(shape)))
    average = load_matconvnet(path, TINY)["average"]
    assert torch.equal(average, torch.from_numpy(colour).view(3, 1, 1).expand(3, 16, 16))


def test_a_network_without_weights_subtracts_the_average_colour_of_vgg_face(net):
    grey = torch.tensor(AVERAGE_COLOUR).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    found = module_calls(net, grey)["layers.conv1_1"][1]
    assert torch.equal(found, net.layers["conv1_1"](torch.zeros(1, 3, 16, 16)))


def renamed(layers: list) -> None:
    layers[2]["name"] = "conv1_second"


def reshaped(layers: list) -> None:
    layers[0]["weights"][1] = layers[0]["weights"][1][:, :3]


def shorter(layers: list) -> None:
    del layers[2:4]


def strided(layers: list) -> None:
    layers[2]["stride"] = 2


def unpadded(layers: list) -> None:
    layers[2]["pad"] = np.array([[1, 0, 1, 0]])


def pooled_by_three(layers: list) -> None:
    layers[4]["pool"] = np.array([[3, 3]])


def normalised(layers: list) -> None:
    layers.insert(1, {"name": "bn1", "type": "bnorm", "weights": [np.ones((4, 1)), np.ones((4, 1)), np.ones((4, 2))]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "'conv1_2/filters' is missing; found 12 arrays, 2 of them unknown, such as 'conv1_second/filters'"),
        (reshaped, "'conv1_1/biases' has shape [3], expected [4]"),
        (shorter, "'conv1_2/filters' is missing"),
        (strided, "stride of conv1_2 is [2], expected 1"),
        (unpadded, "pad of conv1_2 is [1, 0, 1, 0], expected 1"),
        (pooled_by_three, "pool of pool1 is [3, 3], expected 2"),
        (normalised, "'bn1/weights3' does not belong to it"),
    ],
)
@pytest.mark.parametrize("version", WRITERS)
def test_a_file_that_is_not_this_net_is_refused_by_its_first_fault(tmp_path: Path, content, version, change, message):
    layers, average = content
    change(layers)
    with pytest.raises(WeightsError, match=re.escape(message)):
        load_matconvnet(WRITERS[version](tmp_path / "w.mat", in_net(layers, average)), TINY)


def test_a_net_of_other_classes_is_refused_by_the_shape_of_its_last_layer(tmp_path, content):
    layers = vgg_layers(TINY, np.random.default_rng(0), classes=2622)
    path = write_mat7(tmp_path / "vgg_face.mat", in_net(layers, content[1]))
    with pytest.raises(WeightsError, match=r"'fc8/filters' has shape \[1, 1, 10, 2622\], expected \[1, 1, 10, 7\]"):
        load_pretrained(VGGFace(TINY), path, name="vggfer")


def test_a_file_without_average_image_or_with_one_of_another_size_is_refused(tmp_path, content):
    layers, average = content
    with pytest.raises(WeightsError, match="no average image"):
        load_matconvnet(write_mat7(tmp_path / "w.mat", {"net": {"layers": layers}}), TINY)
    with pytest.raises(WeightsError, match=r"shape \[8, 16, 3\], expected 3 values or \[16, 16, 3\]"):
        load_matconvnet(write_mat7(tmp_path / "w.mat", in_net(layers, average[:8])), TINY)


def test_another_layer_as_embedding_is_refused():
    with pytest.raises(SettingsError, match="vggface: embedding is 'fc7'; choose fc6 or relu6"):
        VGGFaceSettings(embedding="fc7")
