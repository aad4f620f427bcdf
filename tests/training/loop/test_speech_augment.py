from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError  # noqa: E402 (torch may be missing)
from emofuse.training.loop import SpeechAugment, WaveAugment, Waveforms  # noqa: E402
from emofuse.training.loop.prepare import draws_of  # noqa: E402
from emofuse.training.loop.speech_augment import SpeechChanges  # noqa: E402

RATE = 16_000
EVERYTHING = SpeechChanges(SpeechAugment(speed=0.2, colour_db=3, narrow=0.5, echo=0.5, noise=0.5, babble=0.5, fill=0.5))


def noise(n: int = 6, samples: int = 8_000) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (n, samples)).astype(np.float32))


def tones(*hertz: float, samples: int = RATE) -> torch.Tensor:
    time = torch.arange(samples, dtype=torch.float64) / RATE
    return torch.stack([torch.sin(2 * torch.pi * h * time) for h in hertz]).float()


def draws(augment: SpeechChanges, n: int, *, seed: int = 0, **fixed: float) -> dict[str, torch.Tensor]:
    drawn = augment.draw(n, torch.Generator().manual_seed(seed))
    return drawn | {name: torch.full_like(drawn[name], value) for name, value in fixed.items()}


def decibels(waves: torch.Tensor) -> torch.Tensor:
    return 10 * waves[:, 2_000:-2_000].square().mean(dim=1).log10()


def test_nothing_is_changed_by_default():
    augment = SpeechChanges(SpeechAugment())
    assert torch.equal(augment(noise(), draws(augment, 6), 1.0), noise())


def test_at_strength_0_nothing_is_changed():
    torch.testing.assert_close(EVERYTHING(noise(), draws(EVERYTHING, 6), 0.0), noise(), atol=1e-6, rtol=0)


def test_silence_remains_silence():
    assert not EVERYTHING(torch.zeros(6, 8_000), draws(EVERYTHING, 6), 1.0).any()


def test_inputs_are_not_modified():
    given = noise()
    EVERYTHING(given, draws(EVERYTHING, 6), 1.0)
    assert torch.equal(given, noise())


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_speed_changes_the_pitch(factor):
    augment = SpeechChanges(SpeechAugment(speed=0.25))
    changed = augment(tones(400), draws(augment, 1, speed=float(np.log(factor))), 1.0)
    loudest = int(torch.fft.rfft(changed[0]).abs().argmax())
    assert loudest == pytest.approx(400 * factor, abs=1)


def test_speed_agrees_with_interpolation_about_the_middle():
    augment = SpeechChanges(SpeechAugment(speed=0.2))
    drawn = draws(augment, 6)
    place = np.arange(8_000)
    for wave, speed, changed in zip(noise().numpy(), drawn["speed"], augment(noise(), drawn, 1.0), strict=True):
        at = 3999.5 + (place - 3999.5) * np.exp(float(speed))
        expected = np.interp(at, place, wave, left=0, right=0)
        np.testing.assert_allclose(changed.numpy(), expected, atol=2e-3)


def test_the_frequency_response_does_not_depend_on_the_wave():
    augment = SpeechChanges(SpeechAugment(colour_db=4))
    drawn = {name: values.repeat(4, *[1] * (values.ndim - 1)) for name, values in draws(augment, 1).items()}
    waves = tones(500, 500, 2_000, 2_000) * torch.tensor([[1.0], [0.1], [1.0], [0.1]])
    gains = decibels(augment(waves, drawn, 1.0)) - decibels(waves)
    place = np.log1p(np.array([500, 500, 2000, 2000]) / 700) / np.log1p(8000 / 700)
    expected = np.cos(np.pi * place[:, None] * np.arange(1, 7)) @ drawn["colour_db"][0].numpy()
    np.testing.assert_allclose(gains.numpy(), expected, atol=0.1)


def test_a_narrow_band_removes_high_and_low_frequencies_only():
    augment = SpeechChanges(SpeechAugment(narrow=1))
    waves = tones(50, 1_000, 7_000)
    changed = augment(waves, draws(augment, 3, low_hz=300, high_hz=3_400), 1.0)
    low, middle, high = (decibels(changed) - decibels(waves)).tolist()
    assert low < -40
    assert middle == pytest.approx(0, abs=0.1)
    assert high < -40


@pytest.mark.parametrize("name", ["narrow", "echo", "noise", "babble", "fill"])
def test_a_fraction_of_the_examples_is_changed(name):
    augment = SpeechChanges(SpeechAugment(**{name: 0.3}))
    numbers = draws(augment, 60)
    changed = (augment(noise(60, 2_000), numbers, 1.0) - noise(60, 2_000)).abs().amax(dim=1) > 1e-3
    assert torch.equal(changed, numbers[name] < 0.3)
    assert 0 < changed.sum() < 60


def test_an_echo_follows_the_voice_and_decays_by_60_decibels():
    augment = SpeechChanges(SpeechAugment(echo=1))
    impulse = torch.zeros(1, RATE)
    impulse[0, 4_000] = 1
    heard = augment(impulse, draws(augment, 1, decay_seconds=0.4, echo_db=-6), 1.0)[0].double()
    assert heard[:4_000].abs().max() < 1e-6
    assert heard[4_000].item() == pytest.approx(1, abs=1e-4)
    tail = heard[4_001:12_000]
    assert 10 * tail.square().sum().log10() == pytest.approx(-6, abs=0.2)
    first, last = (tail[start : start + 400].square().mean() for start in (0, 6_000))
    assert 10 * (first / last).log10() == pytest.approx(60 * 6_000 / RATE / 0.4, abs=2)


@pytest.mark.parametrize("name", ["noise", "babble"])
def test_noise_has_the_drawn_level_relative_to_each_example(name):
    augment = SpeechChanges(SpeechAugment(**{name: 1}))
    waves = noise(8, 16_000) * torch.linspace(0.01, 2, 8)[:, None]
    numbers = draws(augment, 8)
    added = augment(waves, numbers, 1.0) - waves
    ratio = 10 * (added.square().mean(dim=1) / waves.square().mean(dim=1)).log10()
    torch.testing.assert_close(ratio, numbers[f"{name}_db"], atol=0.05, rtol=0)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_the_power_of_noise_falls_with_frequency_to_its_slope(slope):
    augment = SpeechChanges(SpeechAugment(noise=1))
    waves = noise(20, 16_000)
    added = augment(waves, draws(augment, 20, noise_slope=slope, noise_db=0), 1.0) - waves
    power = torch.fft.rfft(added).abs().square().mean(dim=0)
    octaves = [10 * power[low : 2 * low].mean().log10() for low in (200, 400, 800, 1_600)]
    falls = np.diff([float(o) for o in octaves])
    np.testing.assert_allclose(falls, -3.01 * slope, atol=0.7)


def test_speech_is_repeated_from_a_random_position_with_pauses():
    augment = SpeechChanges(SpeechAugment(fill=1))
    wave = torch.zeros(1, RATE)
    wave[0, 3_000:7_000] = torch.arange(1, 4_001) / 4_000 + 0.1
    filled = augment(wave, draws(augment, 1, begin=0.25, pause_seconds=0.0625), 1.0)[0]
    period = 4_000 + 1_000
    assert torch.equal(filled[:-period], filled[period:])
    assert torch.equal(filled[:2_750], wave[0, 4_250:7_000])
    assert not filled[2_750:3_750].any()
    assert filled[3_750] == wave[0, 3_000]


def test_babble_consists_of_other_stretches_of_the_example():
    augment = SpeechChanges(SpeechAugment(babble=1))
    impulse = torch.zeros(1, RATE)
    impulse[0, 100] = 1
    heard = augment(impulse, draws(augment, 1, babble_db=0), 1.0)[0]
    assert 5 <= (heard > 0).sum() <= 7


def test_a_click_is_not_repeated():
    augment = SpeechChanges(SpeechAugment(fill=1))
    click = torch.zeros(1, RATE)
    click[0, 100:600] = 1
    assert torch.equal(augment(click, draws(augment, 1), 1.0), click)


def test_a_divided_step_is_changed_like_a_whole_one():
    prepare = Waveforms(WaveAugment(shift_samples=500, speech=EVERYTHING.settings))
    drawn = prepare.draw(6, torch.Generator().manual_seed(1))
    parts = [prepare(noise()[rows], draws_of(drawn, rows)) for rows in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(torch.cat(parts), prepare(noise(), drawn), atol=1e-6, rtol=1e-4)


def test_the_same_seed_gives_the_same_changes_and_another_seed_different_ones():
    first, again, other = (EVERYTHING(noise(), draws(EVERYTHING, 6, seed=s), 1.0) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "value"), [("speed", -0.1), ("narrow", 1.5), ("colour_db", float("nan"))])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(SettingsError, match=f"speech augment: {name} is"):
        SpeechAugment(**{name: value})
