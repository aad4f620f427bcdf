from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import ShapeError  # noqa: E402 (torch may be missing)
from emofuse.training.loop import SpeechAugment, WaveAugment, Waveforms  # noqa: E402
from emofuse.training.loop.prepare import draws_of  # noqa: E402
from emofuse.training.loop.speech_augment import SpeechChanges  # noqa: E402


def waves(n: int = 5, samples: int = 400) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (n, samples)).astype(np.float32))


def changed(prepare: Waveforms, batch: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
    return prepare(batch, prepare.draw(len(batch), torch.Generator().manual_seed(seed)))


EVERYTHING = Waveforms(WaveAugment(gain_db=6, noise=0.5, shift_samples=30))


def test_nothing_is_changed_by_default():
    assert torch.equal(changed(Waveforms(), waves()), waves())


def test_waveforms_are_not_augmented_at_prediction():
    assert torch.equal(EVERYTHING(waves()), waves())


def test_gain_is_one_factor_per_example_within_its_range():
    ratio = changed(Waveforms(WaveAugment(gain_db=6)), waves(200)) / waves(200)
    decibels = 20 * ratio.log10()
    assert (decibels.amax(dim=1) - decibels.amin(dim=1)).max() < 1e-3
    assert -6 <= decibels.min() < -5
    assert 5 < decibels.max() <= 6.001


def test_noise_is_relative_to_the_rms_of_the_example():
    batch = waves(100, 4000) * torch.linspace(0.1, 10, 100)[:, None]
    added = changed(Waveforms(WaveAugment(noise=0.5)), batch) - batch
    share = added.square().mean(dim=1).sqrt() / batch.square().mean(dim=1).sqrt()
    assert share.min() >= 0
    assert 0.45 < share.max() < 0.52


def test_silence_remains_silence():
    assert not changed(EVERYTHING, torch.zeros(4, 100)).any()


def test_shifts_agree_with_a_slow_loop():
    prepare = Waveforms(WaveAugment(shift_samples=30))
    draws = prepare.draw(20, torch.Generator().manual_seed(0))
    expected = np.zeros((20, 400), np.float32)
    for row, (wave, shift) in enumerate(zip(waves(20).numpy(), draws["shift"].tolist(), strict=True)):
        for k in range(400):
            if 0 <= k + shift < 400:
                expected[row, k + shift] = wave[k]
    np.testing.assert_array_equal(prepare(waves(20), draws).numpy(), expected)
    assert draws["shift"].min() < -20
    assert draws["shift"].max() > 20


def test_a_divided_step_is_changed_like_a_whole_one():
    draws = EVERYTHING.draw(5, torch.Generator().manual_seed(1))
    parts = [EVERYTHING(waves()[rows], draws_of(draws, rows)) for rows in (slice(0, 2), slice(2, 5))]
    torch.testing.assert_close(torch.cat(parts), EVERYTHING(waves(), draws))


def test_the_same_seed_gives_the_same_changes_and_another_seed_different_ones():
    assert torch.equal(changed(EVERYTHING, waves()), changed(EVERYTHING, waves()))
    assert not torch.equal(changed(EVERYTHING, waves()), changed(EVERYTHING, waves(), seed=1))


def test_half_the_strength_halves_the_change():
    prepare = Waveforms(WaveAugment(gain_db=6))
    draws = prepare.draw(5, torch.Generator().manual_seed(1))
    full, half = prepare(waves(), draws), prepare(waves(), draws, strength=0.5)
    torch.testing.assert_close((half / waves()) ** 2, full / waves())


def test_speech_changes_are_applied():
    speech = SpeechAugment(speed=0.1, echo=0.5)
    prepare = Waveforms(WaveAugment(speech=speech))
    draws = prepare.draw(5, torch.Generator().manual_seed(0))
    assert torch.equal(prepare(waves(), draws), SpeechChanges(speech)(waves(), draws, 1.0))
    assert not torch.equal(prepare(waves(), draws), waves())


@pytest.mark.parametrize("batch", [torch.zeros(3, 10, dtype=torch.int16), torch.zeros(3, 1, 10)])
def test_input_that_is_not_a_batch_of_waveforms_is_refused(batch):
    with pytest.raises(ShapeError, match=r"give float32 \[n, samples\]"):
        Waveforms()(batch)
