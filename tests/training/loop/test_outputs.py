from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.metrics import accuracy_score, log_loss, recall_score  # noqa: E402 (torch may be missing)

from emofuse.errors import ShapeError  # noqa: E402
from emofuse.training.loop import Examples, Faces, WaveAugment, Waveforms, evaluate, fresh, predict  # noqa: E402
from support.small_trainings import SMALL, VALIDATION, Residuals, layers  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_evaluation_agrees_with_scikit_learn():
    net = fresh(Residuals, seed=9)
    logits = predict(net, VALIDATION.inputs).logits.astype(float)
    truth = VALIDATION.targets.argmax(axis=1)
    judged = evaluate(net, VALIDATION)
    powers = np.exp(logits)
    expected = log_loss(truth, powers / powers.sum(axis=1, keepdims=True), labels=range(7))
    assert judged.loss == pytest.approx(expected, rel=1e-5)
    assert judged.measures["accuracy"] == accuracy_score(truth, logits.argmax(axis=1))
    uar = recall_score(truth, logits.argmax(axis=1), labels=np.unique(truth), average="macro")
    assert judged.measures["uar"] == pytest.approx(uar)


def test_unlabelled_rows_are_not_evaluated():
    net = fresh(layers, seed=9)
    inputs, targets = SMALL.validation.inputs, SMALL.validation.targets
    some = Examples(inputs, targets * (np.arange(10) < 6)[:, None])
    first = Examples(inputs[:6], targets[:6])
    one, two = evaluate(net, some), evaluate(net, first)
    assert one.loss == pytest.approx(two.loss, rel=1e-6)
    assert one.measures == two.measures


def test_logits_and_embeddings_do_not_depend_on_the_size_of_the_batches():
    net = fresh(Residuals, seed=9)
    one, all_ = (predict(net, VALIDATION.inputs, batch=n) for n in (3, 256))
    np.testing.assert_allclose(one.logits, all_.logits, atol=1e-5)
    np.testing.assert_allclose(one.embeddings, all_.embeddings, atol=1e-5)


def test_predictions_are_the_outputs_in_evaluation_mode():
    net = fresh(Residuals, seed=9)
    said = predict(net, VALIDATION.inputs)
    with torch.inference_mode():
        embedding, logits = net.eval()(torch.from_numpy(VALIDATION.inputs).unsqueeze(1).float() / 255)
    np.testing.assert_allclose(said.logits, logits, atol=1e-5)
    np.testing.assert_allclose(said.embeddings, embedding, atol=1e-5)


def test_a_network_without_embeddings_returns_none():
    assert predict(fresh(layers, seed=9), SMALL.validation.inputs).embeddings is None


def test_embeddings_can_be_left_out():
    assert predict(fresh(Residuals, seed=9), VALIDATION.inputs, embeddings=False).embeddings is None


def test_waveforms_are_predicted_without_augmentation():
    waves = np.random.default_rng(0).normal(0, 1, (5, 20)).astype(np.float32)
    net = torch.nn.Linear(20, 3)
    expected = net(torch.from_numpy(waves)).detach().numpy()
    np.testing.assert_allclose(
        predict(net, waves, prepare=Waveforms(WaveAugment(noise=1.0)), batch=2).logits, expected, atol=1e-6
    )


def test_no_inputs_are_refused():
    with pytest.raises(ShapeError, match="predict: there are no inputs"):
        predict(layers(), np.zeros((0, 12, 12), np.uint8))


def test_networks_with_another_number_of_classes_are_not_evaluated():
    with pytest.raises(ShapeError, match=r"returns logits of the shape \(5,\) for each example, but targets are \(7"):
        evaluate(layers(5), SMALL.validation, prepare=Faces())
