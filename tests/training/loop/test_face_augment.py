"""Changes of faces as videos show them: each does what it says, and nothing at no strength."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.training.loop import VideoAugment  # noqa: E402 (torch may be missing)
from emofuse.training.loop.face_augment import _blurred, _compressed, _reduced  # noqa: E402
from emofuse.training.loop.prepare import draws_of  # noqa: E402

VIDEO = VideoAugment()


def faces(n: int, side: int = 40) -> torch.Tensor:
    small = np.random.default_rng(0).uniform(0.2, 0.8, (n, 6, 6)).astype(np.float32)
    return torch.from_numpy(np.stack([cv2.resize(f, (side, side)) for f in small])).unsqueeze(1)


def drawn(n: int, seed: int = 0) -> dict[str, torch.Tensor]:
    return VIDEO.draw(n, torch.Generator().manual_seed(seed))


def test_at_strength_0_a_face_is_at_most_mirrored():
    given, draws = faces(8), drawn(8)
    expected = torch.where((draws["mirror"] < 0.5).view(-1, 1, 1, 1), given.flip(3), given)
    torch.testing.assert_close(VIDEO(given, draws, 0.0), expected, rtol=0, atol=2e-3)


def test_the_augmentation_of_a_face_does_not_depend_on_the_others():
    given, draws = faces(6), drawn(6)
    together = VIDEO(given, draws, 1.0)
    alone = torch.cat([VIDEO(given[n : n + 1], draws_of(draws, slice(n, n + 1)), 1.0) for n in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_augmented_faces_stay_between_0_and_1():
    changed = VIDEO(faces(32), drawn(32), 1.0)
    assert changed.shape == (32, 1, 40, 40)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1


@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_each_face_is_blurred_by_its_own_gaussian(sigma):
    given = faces(2)
    blurred = _blurred(given, torch.tensor([0.0, sigma]))
    torch.testing.assert_close(blurred[0], given[0], rtol=0, atol=1e-5)
    radius = int(np.ceil(2.5 * sigma))
    expected = cv2.GaussianBlur(
        given[1, 0].numpy(), (2 * radius + 1,) * 2, sigmaX=sigma, borderType=cv2.BORDER_REPLICATE
    )
    np.testing.assert_allclose(blurred[1, 0].numpy(), expected, atol=2e-5)


def test_weak_compression_keeps_a_face_and_strong_compression_keeps_the_means_of_blocks():
    given = faces(1)
    torch.testing.assert_close(_compressed(given, torch.tensor([0.0])), given, rtol=0, atol=1e-3)
    blocks = torch.nn.functional.avg_pool2d(_compressed(given, torch.tensor([60.0])), 8)
    assert float(_compressed(given, torch.tensor([60.0]))[0, 0, :8, :8].std()) < 1e-5  # nothing but the mean is left
    assert float((blocks - torch.nn.functional.avg_pool2d(given, 8)).abs().max()) < 60 * 16 / 255 / 8


def test_pixels_beyond_a_multiple_of_the_block_are_not_compressed():
    given = faces(1, side=43)
    changed = _compressed(given, torch.tensor([20.0]))
    assert torch.equal(changed[..., 40:, :], given[..., 40:, :])
    assert not torch.equal(changed[..., :40, :40], given[..., :40, :40])


def test_a_face_of_the_chosen_part_is_reduced_to_one_of_a_few_sizes_and_enlarged_again():
    given = faces(4, side=96)
    changed = _reduced(given, torch.tensor([0.0, 0.2, 0.4, 0.7]), 0.6)
    for row, side in enumerate((24, 32, 48)):
        small = torch.nn.functional.interpolate(given[row : row + 1], (side, side), mode="bilinear", antialias=True)
        expected = torch.nn.functional.interpolate(small, (96, 96), mode="bilinear")
        torch.testing.assert_close(changed[row : row + 1], expected)
    assert torch.equal(changed[3], given[3])


def test_colour_faces_of_the_chosen_part_become_grey():
    colour = torch.rand(8, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    augment = VideoAugment(grey=0.5)
    draws = augment.draw(8, torch.Generator().manual_seed(0)) | {"hides": torch.ones(8)}
    grey = [bool(torch.allclose(face[0], face[2], atol=1e-5)) for face in augment(colour, draws, 1.0)]
    assert grey == (draws["greyed"] < 0.5).tolist()
    assert 0 < sum(grey) < 8
