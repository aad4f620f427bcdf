from __future__ import annotations

import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import WeightsError  # noqa: E402
from emofuse.nets.mobilefacenet import MobileFaceNet, at_size, load_torch  # noqa: E402
from emofuse.nets.pretrained import load_pretrained  # noqa: E402
from emofuse.training.loop import fresh  # noqa: E402
from support.numpy_networks import relative_error  # noqa: E402 (torch may be missing)
from support.tiny_networks import MOBILEFACENET as TINY  # noqa: E402
from support.weight_files import shared_weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> MobileFaceNet:
    return fresh(lambda: MobileFaceNet(TINY), seed=1).eval()


def faces(n: int, size: int) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(2))


def test_below_its_head_the_network_has_the_names_and_shapes_of_the_published_state_dict():
    published = torch.load(shared_weights("mobilefacenet.pt"), weights_only=True, map_location="cpu")
    with torch.device("meta"):
        own = MobileFaceNet().state_dict()
    below = {k: v.shape for k, v in own.items() if not k.startswith(MobileFaceNet.head)}
    assert len(below) == 307
    assert below == {k: v.shape for k, v in published.items()}


def test_the_published_weights_equal_the_published_onnx_file():
    net = MobileFaceNet().eval()
    load_pretrained(net, shared_weights("mobilefacenet.pt"), name="mobilefacenet", fresh_head=True)
    published = onnxruntime.InferenceSession(str(shared_weights("mobilefacenet.onnx")))
    for face in faces(3, 112).split(1):
        with torch.inference_mode():
            found = net(face)[0].numpy()
        assert relative_error(found, published.run(None, {"input0": face.numpy()})[0]) < 1e-4


def test_the_logits_are_a_linear_function_of_the_embedding(net):
    embedding, logits = net(faces(2, 32))
    torch.testing.assert_close(logits, embedding @ net.classify.weight.T + net.classify.bias)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}], ids=["plain", "checkpoint"])
def test_a_state_dict_is_read_alone_or_inside_a_checkpoint(tmp_path, net, wrap):
    own = {k: v for k, v in net.state_dict().items() if not k.startswith(net.head)}
    torch.save(wrap(own), tmp_path / "w.pt")
    tensors = load_torch(tmp_path / "w.pt", TINY)
    assert all(torch.equal(tensors[k], own[k]) and tensors[k].dtype == own[k].dtype for k in own | tensors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv2.0.weight": None}, "'conv2.0.weight' is missing; found 126 arrays"),
        ({"conv3.bias": torch.zeros(9)}, r"'conv3.bias' has shape \[9\], expected \[8\]"),
        ({"extra.weight": torch.zeros(9)}, "'extra.weight' does not belong to it"),
        ({"conv3.bias": torch.full((8,), torch.inf)}, "'conv3.bias' has values that are not finite"),
    ],
)
def test_a_file_of_another_network_is_refused_with_its_first_difference(tmp_path, net, changes, message):
    state = {k: v for k, v in net.state_dict().items() if not k.startswith(net.head)} | changes
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        load_torch(tmp_path / "w.pt", TINY)


def test_at_another_size_all_weights_are_the_same_but_the_kernel_that_covers_the_face():
    net = fresh(lambda: MobileFaceNet(TINY), seed=0)
    other = at_size(net, 64)
    assert other.settings.size == 64
    differing = [k for k, v in net.state_dict().items() if other.state_dict()[k].shape != v.shape]
    assert differing == ["gdconv.depthwise.weight"]
    one, two = (n.state_dict()[differing[0]].sum(dim=(1, 2, 3)) for n in (net, other))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_uniform_face_has_the_same_output_at_every_size():
    net = fresh(lambda: MobileFaceNet(TINY), seed=0).eval()
    with torch.inference_mode():
        wide = [n.gdconv.depthwise(torch.ones(1, 24, side, side)) for n, side in ((net, 2), (at_size(net, 64), 4))]
    torch.testing.assert_close(wide[0], wide[1], rtol=1e-4, atol=1e-5)


def test_at_its_own_size_a_network_is_copied_unchanged():
    net = fresh(lambda: MobileFaceNet(TINY), seed=0)
    assert all(torch.equal(v, at_size(net, 32).state_dict()[k]) for k, v in net.state_dict().items())
