from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from emofuse.errors import SettingsError  # noqa: E402
from emofuse.training.loop import export_onnx, face_example, fresh  # noqa: E402
from support.small_trainings import Residuals  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, about itself


class Recurrent(torch.nn.Module):
    """Waveforms to logits, through a convolution and an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.convolve = torch.nn.Conv1d(1, 4, 5, stride=5)
        self.lstm = torch.nn.LSTM(4, 6, batch_first=True)
        self.classify = torch.nn.Linear(6, 3)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        steps, _ = self.lstm(torch.relu(self.convolve(waves.unsqueeze(1))).transpose(1, 2))
        return self.classify(steps[:, -1])


class Both(torch.nn.Module):
    """A face and a voice to one row of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.face, self.voice = torch.nn.Linear(4, 3), torch.nn.Linear(5, 3)

    def forward(self, face: torch.Tensor, voice: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.face(face), self.face(face) + self.voice(voice)


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", [1, 3])
def test_the_exported_network_equals_torch(tmp_path, batch):
    net = fresh(Residuals, seed=9)
    net(torch.rand(8, 1, 48, 48))  # so that the batch norms are not the identity
    export_onnx(net, face_example(48, n=2), tmp_path / "net.onnx", outputs=("embedding", "logits"))
    exported = session(tmp_path / "net.onnx")
    assert [o.name for o in exported.get_outputs()] == ["embedding", "logits"]
    images = face_example(48, n=batch)
    with torch.inference_mode():
        expected = [t.numpy() for t in net.eval()(images)]
    for got, wanted in zip(exported.run(None, {"input": images.numpy()}), expected, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
def test_recurrent_networks_are_exported_with_a_free_batch_size(tmp_path, batch):
    net = fresh(Recurrent, seed=1)
    error = export_onnx(net, torch.rand(2, 40), tmp_path / "net.onnx", outputs=("logits",))
    assert error < 1e-5
    waves = torch.rand(batch, 40)
    (got,) = session(tmp_path / "net.onnx").run(None, {"input": waves.numpy()})
    np.testing.assert_allclose(got, net(waves).detach().numpy(), atol=1e-5)


def test_several_inputs_are_exported_with_their_names(tmp_path):
    net = fresh(Both, seed=1)
    example = (torch.rand(2, 4), torch.rand(2, 5))
    export_onnx(net, example, tmp_path / "n.onnx", inputs=("face", "voice"), outputs=("seen", "logits"))
    assert [i.name for i in session(tmp_path / "n.onnx").get_inputs()] == ["face", "voice"]


def test_an_export_that_differs_leaves_no_file(tmp_path):
    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(len(x))  # becomes a constant in the file, right for two rows alone

    with pytest.raises(SettingsError, match=r"the exported network differs from the torch network by 1\.0e\+00"):
        export_onnx(Counting(), torch.rand(2, 3), tmp_path / "n.onnx", outputs=("y",))
    assert list(tmp_path.iterdir()) == []
