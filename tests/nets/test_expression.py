from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from emofuse.nets import expression, mobilefacenet  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def published() -> nn.Module:
    return fresh(lambda: mobilefacenet.build(tiny=True), seed=1).eval()


def faces(size: int) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2))


def test_both_heads_start_as_the_published_one(published):
    net = expression.of_identities(published).eval()
    embedding, logits, identity = net(faces(32))
    expected = published(faces(32))
    assert torch.equal(identity, expected[0])
    assert torch.equal(embedding, expected[0])
    assert torch.equal(logits, expected[1])


def test_the_heads_are_trained_apart_on_a_shared_map(published):
    net = expression.of_identities(published)
    net(faces(32))[1].sum().backward()
    assert net.conv3.weight.grad is None
    assert net.expression.conv3.weight.grad is not None
    assert net.expression.conv1[0].weight.grad is not None


def test_at_another_size_only_the_kernels_of_both_heads_change(published):
    net = expression.of_identities(published)
    other = expression.at_size(net, 48)
    assert [t.shape[1:] for t in other.eval()(faces(48))] == [t.shape[1:] for t in net.eval()(faces(32))]
    kernels = {"gdconv.depthwise.weight", "expression.gdconv.depthwise.weight"}
    for name, tensor in net.state_dict().items():
        found = other.state_dict()[name]
        if name in kernels:
            torch.testing.assert_close(found.sum(dim=(2, 3)), tensor.sum(dim=(2, 3)))
        else:
            assert torch.equal(found, tensor)


def test_the_export_has_three_outputs(published, tmp_path):
    net = expression.of_identities(published).eval()
    assert export_onnx(net, faces(32), tmp_path / "n.onnx", outputs=("embedding", "logits", "identity")) < 1e-4
