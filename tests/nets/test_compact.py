from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from emofuse.models.bundle import shipped  # noqa: E402
from emofuse.nets.committee import Committee  # noqa: E402
from emofuse.nets.compact import CompactFace, CompactFaceSettings  # noqa: E402
from emofuse.nets.pretrained import known, load_pretrained  # noqa: E402
from emofuse.training.loop import export_onnx, face_example, fresh, halve_onnx  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> CompactFace:
    return fresh(CompactFace.tiny, seed=1).eval()


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("classes", [2, 7, 8])
def test_a_net_gives_an_embedding_and_one_logit_for_each_class(faces, classes):
    embedding, logits = CompactFace.tiny(classes)(faces)
    assert (len(embedding), logits.shape) == (3, (3, classes))


def test_the_embedding_of_the_full_net_has_320_numbers():
    with torch.inference_mode():
        embedding, logits = CompactFace().eval()(torch.rand(1, 1, 48, 48))
    assert (embedding.shape, logits.shape) == ((1, 320), (1, 7))


def test_the_embedding_has_the_width_of_the_last_stage(faces):
    net = CompactFace(CompactFaceSettings(widths=(4, 6, 10)))
    assert net(faces)[0].shape == (3, 10)


@pytest.mark.parametrize(("contrast", "light"), [(0.5, 0.25), (2.0, -0.3), (1.0, 0.4), (255.0, 0.0)])
def test_light_and_contrast_do_not_change_the_logits(net, faces, contrast, light):
    torch.testing.assert_close(net(faces * contrast + light)[1], net(faces)[1], atol=0.01, rtol=0.01)


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_uniform_image_gives_the_logits_of_a_black_one(net, grey):
    black = net(torch.zeros(1, 1, 48, 48))[1]
    torch.testing.assert_close(net(torch.full((1, 1, 48, 48), grey))[1], black)
    assert black.isfinite().all()


def test_a_face_does_not_depend_on_the_others_of_its_batch(net, faces):
    together = net(faces)[1]
    alone = torch.cat([net(face[None])[1] for face in faces])
    torch.testing.assert_close(together, alone)


def test_every_weight_takes_part_in_training(net, faces):
    net.train()
    torch.nn.functional.cross_entropy(net(faces)[1], torch.tensor([0, 3, 6])).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_same_seed_gives_the_same_first_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (fresh(CompactFace.tiny, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["classify.weight"], other["classify.weight"])


@pytest.mark.parametrize("build", [CompactFace, CompactFace.tiny], ids=["full", "tiny"])
def test_no_strided_1x1_convolution_has_fewer_channels_than_a_block_of_onednn(build):
    # In channels_last its backward pass writes past its buffer: a crash, a hang or wrong gradients
    # (uxlfoundation/oneDNN issue 6035; the block is 8 channels with AVX2, 16 with AVX-512).
    convolutions = [m for m in build().modules() if isinstance(m, torch.nn.Conv2d)]
    narrow = [c for c in convolutions if c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16]
    assert narrow == []


def test_the_net_for_tests_is_small():
    assert sum(p.numel() for p in CompactFace.tiny().parameters()) < 20_000


def test_the_net_of_the_default_bundle_comes_back_from_its_onnx_file():
    path = shipped()["default"] / "face.onnx"
    net = fresh(known("compact").build, seed=0)
    assert load_pretrained(net, path, name="compact") == ()
    faces = 255 * torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = net.eval()(faces / 255)
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"input": faces.numpy() / 255})
    embedding = found[0].numpy()
    # Beside it are those of the other members of the committee.
    np.testing.assert_allclose(embedding, expected[0][:, : embedding.shape[1]], rtol=1e-4, atol=1e-4)


def test_the_first_of_a_committee_comes_back_from_half_precision(tmp_path):
    nets = [fresh(CompactFace, seed=s).eval() for s in (1, 2)]
    export_onnx(Committee(nets, [[0.5, 0.5]]), face_example(48), tmp_path / "c.onnx", outputs=("embedding", "logits"))
    halve_onnx(tmp_path / "c.onnx", tmp_path / "h.onnx")
    back = fresh(known("compact").build, seed=0)
    load_pretrained(back, tmp_path / "h.onnx", name="compact")
    faces = face_example(48)
    with torch.inference_mode():
        (_, found), (_, expected), (_, other) = (net(faces) for net in (back.eval(), *nets))
    assert torch.allclose(found, expected, atol=1e-3)
    assert not torch.allclose(found, other, atol=1e-1)
