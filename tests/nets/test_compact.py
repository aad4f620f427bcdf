from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from emofuse.models.bundle import bundled  # noqa: E402
from emofuse.nets.compact import CompactFace, CompactFaceSettings, build  # noqa: E402
from emofuse.nets.formats import onnx  # noqa: E402
from emofuse.nets.pretrained import load_pretrained  # noqa: E402
from emofuse.nets.wrappers import Ensemble  # noqa: E402
from emofuse.training.loop import export_onnx, face_example, fresh, halve_onnx, quantise_onnx  # noqa: E402
from support.tiny_networks import COMPACT as TINY  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> CompactFace:
    return fresh(lambda: CompactFace(TINY), seed=1).eval()


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(2))


def test_the_embedding_of_the_full_network_has_320_values():
    with torch.inference_mode():
        embedding, logits = CompactFace().eval()(torch.rand(1, 1, 48, 48))
    assert (embedding.shape, logits.shape) == ((1, 320), (1, 7))


def test_the_embedding_has_the_width_of_the_last_stage(faces):
    net = CompactFace(CompactFaceSettings(widths=(4, 6, 10)))
    assert net(faces)[0].shape == (3, 10)


@pytest.mark.parametrize(("contrast", "brightness"), [(0.5, 0.25), (2.0, -0.3), (1.0, 0.4), (255.0, 0.0)])
def test_brightness_and_contrast_do_not_change_the_logits(net, faces, contrast, brightness):
    torch.testing.assert_close(net(faces * contrast + brightness)[1], net(faces)[1], atol=0.01, rtol=0.01)


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_uniform_image_has_the_logits_of_a_black_one(net, grey):
    black = net(torch.zeros(1, 1, 48, 48))[1]
    torch.testing.assert_close(net(torch.full((1, 1, 48, 48), grey))[1], black)
    assert black.isfinite().all()


def test_the_same_seed_builds_the_same_weights_and_leaves_the_global_generator_unchanged():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (fresh(lambda: CompactFace(TINY), seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["classify.weight"], other["classify.weight"])


def test_the_network_of_the_default_bundle_is_restored_from_its_int8_file():
    path = bundled()["default"] / "face.onnx"
    net = fresh(build, seed=0)
    assert load_pretrained(net, path, name="compact") == ()
    faces = 255 * torch.rand(8, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = net.eval()(faces / 255)[0].numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # After its embedding come those of the other members of the ensemble.
    expected = session.run(["embedding"], {"input": faces.numpy() / 255})[0][:, : found.shape[1]]
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)  # the file rounds activations too


def test_weights_of_the_members_of_an_int8_ensemble_are_restored_in_order_to_half_a_step(tmp_path):
    net = Ensemble([fresh(lambda: CompactFace(TINY), seed=s).eval() for s in (1, 2)], [[0.5, 0.5]])
    export_onnx(net, face_example(48), tmp_path / "c.onnx", outputs=("embedding", "logits"))
    quantise_onnx(tmp_path / "c.onnx", tmp_path / "i.onnx", calibration=[face_example(48).numpy()])
    exact, rounded = onnx.read(tmp_path / "c.onnx"), onnx.read(tmp_path / "i.onnx")
    assert exact.keys() == rounded.keys()
    for name in (n for n in exact if n.endswith("weight")):
        largest = np.abs(exact[name]).max(axis=tuple(range(1, exact[name].ndim)), keepdims=True)
        assert (np.abs(exact[name] - rounded[name]) <= 1.001 * largest / 64 / 2).all()


def test_the_first_member_of_an_ensemble_is_restored_from_half_precision(tmp_path):
    nets = [fresh(CompactFace, seed=s).eval() for s in (1, 2)]
    export_onnx(Ensemble(nets, [[0.5, 0.5]]), face_example(48), tmp_path / "c.onnx", outputs=("embedding", "logits"))
    halve_onnx(tmp_path / "c.onnx", tmp_path / "h.onnx")
    back = fresh(build, seed=0)
    load_pretrained(back, tmp_path / "h.onnx", name="compact")
    faces = face_example(48)
    with torch.inference_mode():
        (_, found), (_, expected), (_, other) = (net(faces) for net in (back.eval(), *nets))
    assert torch.allclose(found, expected, atol=1e-3)
    assert not torch.allclose(found, other, atol=1e-1)
