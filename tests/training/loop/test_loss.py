from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402 (torch may be missing)

from emofuse.errors import SettingsError  # noqa: E402
from emofuse.training.loop import Balance, Examples, FitSettings  # noqa: E402
from emofuse.training.loop.loss import balance_weights, cross_entropy, mixed, mixup_weights, targets_of  # noqa: E402

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 30)
HARD = np.eye(4, dtype=np.float32)[LABELS]
SOFT = RNG.dirichlet(np.ones(4), 30).astype(np.float32)
LOGITS = torch.from_numpy(RNG.normal(0, 2, (30, 4)).astype(np.float32))


def examples(targets: np.ndarray, **more: np.ndarray) -> Examples:
    return Examples(np.zeros(len(targets)), targets, **more)


def loss_of(given: Examples, settings: FitSettings, logits: torch.Tensor = LOGITS) -> float:
    targets = targets_of(given, settings)
    return cross_entropy(logits, targets.values, targets.total()).item()


@pytest.mark.parametrize("targets", [HARD, SOFT], ids=["hard", "soft"])
def test_without_weights_the_loss_is_bit_equal_to_cross_entropy_of_torch(targets):
    logits = LOGITS.clone().requires_grad_()
    expected = functional.cross_entropy(logits, torch.from_numpy(targets))
    (gradient,) = torch.autograd.grad(expected, logits)
    prepared = targets_of(examples(targets), FitSettings())
    loss = cross_entropy(logits, prepared.values, prepared.total())
    assert loss.item() == expected.item()
    assert torch.equal(torch.autograd.grad(loss, logits)[0], gradient)


def test_class_weights_have_the_effect_of_those_in_torch():
    weights = (1.0, 2.5, 0.5, 4.0)
    expected = functional.cross_entropy(LOGITS, torch.from_numpy(LABELS), weight=torch.tensor(weights)).item()
    settings = FitSettings(balance=Balance(weights=weights))
    assert loss_of(examples(HARD), settings) == pytest.approx(expected, rel=1e-6)


def test_label_smoothing_equals_that_of_torch():
    expected = functional.cross_entropy(LOGITS, torch.from_numpy(LABELS), label_smoothing=0.1).item()
    assert loss_of(examples(HARD), FitSettings(label_smoothing=0.1)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("changed", [{}, {"label_smoothing": 0.1}, {"balance": Balance("log")}], ids=str)
def test_unlabelled_rows_have_no_effect_on_the_loss(changed):
    settings = FitSettings(**changed)
    more = np.concatenate([HARD, np.zeros((10, 4), np.float32)])
    logits = torch.cat([LOGITS, torch.randn(10, 4, generator=torch.Generator().manual_seed(0))])
    assert loss_of(examples(more), settings, logits) == pytest.approx(loss_of(examples(HARD), settings), rel=1e-6)


def test_steps_of_a_sequence_are_weighted_like_examples():
    sequence = loss_of(examples(SOFT.reshape(10, 3, 4)), FitSettings(), LOGITS.view(10, 3, 4))
    assert sequence == pytest.approx(loss_of(examples(SOFT), FitSettings()), rel=1e-6)


def test_polish_targets_have_the_class_weights_of_the_main_targets():
    given = examples(HARD, polish_targets=np.roll(HARD, 1, axis=1))
    settings = FitSettings(balance=Balance(weights=(1.0, 2.0, 3.0, 4.0)))
    assert targets_of(given, settings, polish=True).weights.tolist() == [1.0 + (k + 1) % 4 for k in LABELS]


# Class weights


def test_given_weights_must_match_the_classes():
    with pytest.raises(SettingsError, match=r"balance\.weights are 2 for 3 classes; give one above 0 for each"):
        balance_weights(np.array([1.0, 2.0, 3.0]), Balance(weights=(1.0, 2.0)))


# Mixup


def test_neighbours_are_mixed_and_an_odd_last_row_is_not():
    values = torch.tensor([[1.0], [3.0], [5.0]])
    assert mixed(values, torch.tensor([0.75, 0.5, 0.2])).tolist() == [[1.5], [2.0], [5.0]]


def test_the_loss_of_mixed_rows_is_the_mean_of_both_losses_each_over_its_own_classes():
    possible = np.array([[True, True, True, False], [True, False, True, True]])
    given = examples(np.eye(4, dtype=np.float32)[[1, 3]], possible=possible)
    parts = targets_of(given, FitSettings()).of_mixed(torch.tensor([0.7, 0.6]))
    total = sum(part.total() for part in parts)
    assert total == pytest.approx(2)

    def own(row: int, target: int) -> float:
        classes = np.flatnonzero(possible[target])
        logs = LOGITS[row, classes].log_softmax(dim=0)
        return -float(logs[list(classes).index([1, 3][target])])

    expected = 0.7 * own(0, 0) + 0.3 * own(0, 1) + 0.6 * own(1, 1) + 0.4 * own(1, 0)
    found = sum(float(part.loss(LOGITS[:2], total)) for part in parts) * total
    assert found == pytest.approx(expected, rel=1e-5)


def test_impossible_classes_have_no_gradient_and_no_share_of_the_smoothing():
    possible = np.ones((30, 4), bool)
    possible[:, 2] = False
    targets = np.eye(4, dtype=np.float32)[np.where(LABELS == 2, 0, LABELS)]
    logits = LOGITS.clone().requires_grad_()
    given = targets_of(examples(targets, possible=possible), FitSettings(label_smoothing=0.3))
    given.loss(logits, given.total()).backward()
    assert not logits.grad[:, 2].any()
    expected = functional.cross_entropy(
        LOGITS[:, [0, 1, 3]], torch.from_numpy(targets[:, [0, 1, 3]]).argmax(dim=1), label_smoothing=0.3
    )
    assert float(given.loss(LOGITS, given.total())) == pytest.approx(float(expected), rel=1e-5)


def test_a_row_of_weight_two_counts_like_two_rows():
    weights = np.where(np.arange(30) < 10, 2, 1).astype(np.float32)
    weighted = targets_of(examples(HARD, weights=weights), FitSettings(label_smoothing=0.1))
    rows = np.repeat(np.arange(30), weights.astype(int))
    repeated = targets_of(examples(HARD[rows]), FitSettings(label_smoothing=0.1))
    losses = [weighted.loss(LOGITS, weighted.total()), repeated.loss(LOGITS[rows], repeated.total())]
    torch.testing.assert_close(*losses)


def test_mixup_weights_are_symmetric_between_0_and_1_and_come_from_the_generator():
    one, two = (mixup_weights(4000, 0.4, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one, two)
    assert 0 <= one.min() < 0.01
    assert 0.99 < one.max() <= 1
    assert abs(one.mean() - 0.5) < 0.02
