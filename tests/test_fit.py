from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError  # noqa: E402 (torch may be missing)
from emofuse.fit import (  # noqa: E402
    Epoch,
    Examples,
    FitSettings,
    augment,
    evaluate,
    export_onnx,
    fit,
    fresh,
    predict_logits,
)
from emofuse.nets.compact import CompactFace, CompactFaceSettings  # noqa: E402

SETTINGS = FitSettings(epochs=3, batch=8, lr=0.05, average_decay=0.5, seed=4)


pytestmark = pytest.mark.usefixtures("one_thread")


def examples(n: int, *, seed: int) -> Examples:
    """Random faces; class 0 is brighter at the top, class 1 at the bottom: mirrors and turns do not hide it."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, n)
    slope = np.linspace(-90, 90, 48)[None, :, None] * np.where(classes == 0, -1, 1)[:, None, None]
    images = np.clip(128 + slope + rng.normal(0, 15, (n, 48, 48)), 0, 255).astype(np.uint8)
    return Examples(images, np.eye(7, dtype=np.float32)[classes])


TRAIN, VALIDATION = examples(24, seed=0), examples(16, seed=1)


def small(classes: int = 7) -> CompactFace:
    # oneDNN writes past its buffer in the backward pass of a strided 1x1 convolution in channels_last
    # with fewer input channels than its block, 8 or 16 (uxlfoundation/oneDNN issue 6035): not below 16.
    return CompactFace(CompactFaceSettings(widths=(16, 16), classes=classes))


def trained(path: Path, *, settings: FitSettings = SETTINGS, stop_after: int | None = None) -> CompactFace:
    net = fresh(small, seed=9)
    fit(net, TRAIN, VALIDATION, settings=settings, checkpoint=path, report=stopping(stop_after))
    return net


def stopping(after: int | None) -> Callable[[Epoch], None]:
    def report(epoch: Epoch) -> None:
        if epoch.epoch == after:
            raise KeyboardInterrupt

    return report


def same_weights(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# Training


@pytest.mark.parametrize("after", [0, 1])
def test_a_run_interrupted_and_resumed_ends_with_the_weights_of_one_that_was_not(tmp_path, after):
    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", stop_after=after)
    torch.rand(7)  # what else was drawn in between does not matter
    assert same_weights(trained(tmp_path / "parts"), whole)


def test_a_resumed_run_ends_with_the_checkpoint_of_one_that_was_not(tmp_path):
    from safetensors.torch import load_file

    trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", stop_after=0)
    trained(tmp_path / "parts")
    whole, parts = load_file(tmp_path / "whole"), load_file(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [k for k in whole if k != "history" and not torch.equal(whole[k], parts[k])] == []
    assert torch.equal(whole["history"][:, :3], parts["history"][:, :3])  # the last column is the time it took


def test_a_resumed_run_reports_only_the_epochs_it_does_and_returns_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "c", stop_after=0)
    reported: list[Epoch] = []
    net = fresh(small, seed=9)
    history = fit(net, TRAIN, VALIDATION, settings=SETTINGS, checkpoint=tmp_path / "c", report=reported.append)
    assert [e.epoch for e in reported] == [1, 2]
    assert [e.epoch for e in history] == [0, 1, 2]


def test_a_finished_training_is_not_done_again(tmp_path):
    first = trained(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    assert same_weights(trained(tmp_path / "c"), first)
    assert (tmp_path / "c").read_bytes() == before


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    one, two = trained(tmp_path / "a"), trained(tmp_path / "b")
    other = trained(tmp_path / "c", settings=replace(SETTINGS, seed=5))
    assert same_weights(one, two)
    assert not same_weights(one, other)


@pytest.mark.parametrize("changed", [{"lr": 0.1}, {"epochs": 4}, {"seed": 5}, {"batch": 6}], ids=str)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, changed):
    trained(tmp_path / "c", settings=replace(SETTINGS, epochs=1))
    with pytest.raises(SettingsError, match="c: a checkpoint of a training with other settings; delete it or use"):
        trained(tmp_path / "c", settings=replace(SETTINGS, **({"epochs": 1} | changed)))


def test_a_checkpoint_of_another_net_or_amount_of_data_is_refused(tmp_path):
    trained(tmp_path / "c")
    for net, train in [(small(8), TRAIN), (small(), examples(25, seed=0))]:
        with pytest.raises(SettingsError, match="a checkpoint of a training with other settings"):
            fit(net, train, VALIDATION, settings=SETTINGS, checkpoint=tmp_path / "c")


def test_fewer_examples_than_a_batch_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="fit: 24 examples do not fill one batch of 25"):
        trained(tmp_path / "c", settings=replace(SETTINGS, batch=25))


def test_training_on_a_learnable_set_reduces_the_loss(tmp_path):
    net = fresh(small, seed=9)
    before, _ = evaluate(net, VALIDATION)
    settings = replace(SETTINGS, epochs=6, warmup_epochs=0.5)
    history = fit(net, TRAIN, VALIDATION, settings=settings, checkpoint=tmp_path / "c")
    loss, accuracy = evaluate(net, VALIDATION)
    assert loss < before / 2
    assert accuracy == 1.0
    assert history[-1].train_loss < history[0].train_loss / 2


def test_the_net_ends_with_the_weights_of_its_best_epoch(tmp_path):
    net = fresh(small, seed=9)
    history = fit(net, TRAIN, VALIDATION, settings=SETTINGS, checkpoint=tmp_path / "c")
    loss, accuracy = evaluate(net, VALIDATION)
    best = max(history, key=lambda e: (e.validation_accuracy, e.epoch))
    assert (loss, accuracy) == (best.validation_loss, best.validation_accuracy)


# Evaluation


def test_evaluation_agrees_with_a_slow_loop():
    net = fresh(small, seed=9)
    logits = predict_logits(net, VALIDATION.images).astype(float)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss, accuracy = evaluate(net, VALIDATION)
    assert loss == pytest.approx(-(VALIDATION.targets * log_p).sum(axis=1).mean(), rel=1e-5)
    assert accuracy == np.mean(logits.argmax(axis=1) == VALIDATION.targets.argmax(axis=1))


def test_logits_do_not_depend_on_the_size_of_the_batches():
    net = fresh(small, seed=9)
    one, all_ = (predict_logits(net, VALIDATION.images, batch=n) for n in (3, 256))
    np.testing.assert_allclose(one, all_, atol=1e-5)


# Augmentation


def faces(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (n, 48, 48), dtype=np.uint8))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_augmented_faces_keep_their_shape_and_stay_between_0_and_1():
    out = augment(faces(50), generator(0))
    assert out.shape == (50, 1, 48, 48)
    assert out.min() >= 0
    assert out.max() <= 1
    assert out.isfinite().all()


def test_faces_that_are_not_square_keep_their_shape():
    assert augment(faces(2)[:, :, :40], generator(0)).shape == (2, 1, 48, 40)


def test_augmentation_depends_on_nothing_but_its_generator():
    one = augment(faces(5), generator(1))
    torch.manual_seed(0)
    assert torch.equal(augment(faces(5), generator(1)), one)
    assert not torch.equal(augment(faces(5), generator(2)), one)


def test_augmentation_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    augment(faces(5), generator(1))
    assert torch.equal(torch.rand(1), expected)


def test_each_face_of_a_batch_is_augmented_in_its_own_way():
    same = faces(1).expand(6, 48, 48)
    out = augment(same, generator(1))
    assert all(not torch.equal(out[a], out[b]) for a in range(6) for b in range(a))


def test_a_uniform_face_stays_uniform():
    out = augment(torch.full((20, 48, 48), 100, dtype=torch.uint8), generator(0))
    assert (out.amax(dim=(1, 2, 3)) - out.amin(dim=(1, 2, 3))).max() < 1e-5


# Export


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, about itself
@pytest.mark.parametrize("batch", [1, 3])
def test_the_exported_net_gives_what_torch_gives(tmp_path, batch):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    net = fresh(small, seed=9)
    net(torch.rand(8, 1, 48, 48))  # so that the batch norms are not the identity
    export_onnx(net, torch.rand(2, 1, 48, 48), tmp_path / "net.onnx", outputs=("embedding", "logits"))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["embedding", "logits"]
    images = torch.rand(batch, 1, 48, 48, generator=generator(0))
    with torch.inference_mode():
        expected = [t.numpy() for t in net.eval()(images)]
    for got, wanted in zip(session.run(None, {"input": images.numpy()}), expected, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, atol=1e-4)
