from __future__ import annotations

import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError, WeightsError  # noqa: E402
from emofuse.nets.mobilefacenet import MobileFaceNet, MobileFaceNetSettings, at_size, load_torch  # noqa: E402
from emofuse.nets.pretrained import Head, load_pretrained  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402
from support.numpy_networks import relative_error  # noqa: E402 (torch may be missing)
from support.weight_files import shared_weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = MobileFaceNet.tiny().settings


@pytest.fixture
def net() -> MobileFaceNet:
    return fresh(MobileFaceNet.tiny, seed=1).eval()


def faces(n: int, size: int) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("classes", [2, 7, 8])
def test_a_net_gives_an_embedding_and_one_logit_for_each_class(net, classes):
    embedding, logits = MobileFaceNet.tiny(classes)(faces(3, 32))
    assert (embedding.shape, logits.shape) == ((3, TINY.identity), (3, classes))


def test_the_net_below_its_head_has_the_names_and_shapes_of_the_published_state_dict():
    published = torch.load(shared_weights("mobilefacenet.pt"), weights_only=True, map_location="cpu")
    with torch.device("meta"):
        own = MobileFaceNet().state_dict()
    below = {k: v.shape for k, v in own.items() if not k.startswith(MobileFaceNet.head)}
    assert len(below) == 307
    assert below == {k: v.shape for k, v in published.items()}


def test_the_published_weights_give_what_the_published_onnx_file_gives():
    net = MobileFaceNet().eval()
    load_pretrained(net, shared_weights("mobilefacenet.pt"), name="mobilefacenet", head=Head.FRESH)
    published = onnxruntime.InferenceSession(str(shared_weights("mobilefacenet.onnx")))
    for face in faces(3, 112).split(1):
        with torch.inference_mode():
            found = net(face)[0].numpy()
        assert relative_error(found, published.run(None, {"input0": face.numpy()})[0]) < 1e-4


def test_the_logits_stand_on_the_embedding(net):
    embedding, logits = net(faces(2, 32))
    torch.testing.assert_close(logits, embedding @ net.classify.weight.T + net.classify.bias)


def test_the_embedding_is_that_of_the_identity_unless_the_settings_say_otherwise(net):
    pooling = MobileFaceNet(MobileFaceNetSettings(**{**vars(TINY), "embedding": "pool"})).eval()
    pooling.load_state_dict(net.state_dict())
    batch = faces(2, 32)
    assert torch.equal(net(batch)[0], net.embed(batch, layer="identity"))
    assert torch.equal(pooling(batch)[0], net.embed(batch, layer="pool"))


def test_an_unknown_layer_suggests_the_nearest(net):
    with pytest.raises(SettingsError, match=r"no layer 'identities' .did you mean 'identity'"):
        net.embed(faces(1, 32), layer="identities")


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
        ({"extra.weight": torch.zeros(9)}, "'extra.weight' is not part of it"),
        ({"conv3.bias": torch.full((8,), torch.inf)}, "'conv3.bias' has values that are not finite"),
    ],
)
def test_a_file_that_is_not_this_net_is_refused_by_its_first_fault(tmp_path, net, changes, message):
    state = {k: v for k, v in net.state_dict().items() if not k.startswith(net.head)} | changes
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        load_torch(tmp_path / "w.pt", TINY)


def test_every_weight_takes_part_in_training(net):
    net.train()
    loss = torch.nn.functional.cross_entropy(net(faces(8, 32))[1], torch.arange(8) % 7)
    loss.backward()
    # Batch norm takes away what the bias of conv3 adds.
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] in ([], ["conv3.bias"])


def test_the_exported_net_equals_the_torch_net(net, tmp_path):
    assert export_onnx(net, faces(3, 32), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-5


def test_a_face_does_not_depend_on_the_others_of_its_batch(net):
    batch = faces(3, 32)
    together = net(batch)[0]
    torch.testing.assert_close(together, torch.cat([net(face)[0] for face in batch.split(1)]))


def test_the_net_for_tests_is_small():
    assert sum(p.numel() for p in MobileFaceNet.tiny().parameters()) < 20_000


def test_a_net_for_faces_of_another_size_has_the_same_weights_but_for_the_kernel_that_covers_the_face():
    net = fresh(MobileFaceNet.tiny, seed=0)
    other = at_size(net, 64)
    assert other.settings.size == 64
    differing = [k for k, v in net.state_dict().items() if other.state_dict()[k].shape != v.shape]
    assert differing == ["gdconv.depthwise.weight"]
    one, two = (n.state_dict()[differing[0]].sum(dim=(1, 2, 3)) for n in (net, other))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_an_even_face_gives_the_same_at_every_size():
    net = fresh(MobileFaceNet.tiny, seed=0).eval()
    with torch.inference_mode():
        wide = [n.gdconv.depthwise(torch.ones(1, 24, side, side)) for n, side in ((net, 2), (at_size(net, 64), 4))]
    torch.testing.assert_close(wide[0], wide[1], rtol=1e-4, atol=1e-5)


def test_at_its_own_size_a_net_is_copied_as_it_is():
    net = fresh(MobileFaceNet.tiny, seed=0)
    assert all(torch.equal(v, at_size(net, 32).state_dict()[k]) for k, v in net.state_dict().items())
