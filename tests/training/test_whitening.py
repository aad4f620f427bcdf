"""Whitening of identities."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.nets import expression, mobilefacenet  # noqa: E402
from emofuse.training.loop import fresh  # noqa: E402
from emofuse.training.whitening import whitening  # noqa: E402


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def separation(identities: np.ndarray, people: np.ndarray) -> float:
    """The lowest cosine of one person less the highest of two."""
    cosine, same = unit(identities) @ unit(identities).T, people[:, None] == people
    return float(cosine[same].min() - cosine[~same].max())


def test_a_direction_that_varies_within_persons_counts_less():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(6), 8)
    identities = np.concatenate([np.eye(6)[people], rng.normal(0, 1.5, (48, 1))], axis=1).astype(np.float32)
    mean, matrix = whitening(identities, [str(p) for p in people], ridge=0.01)
    assert separation(identities, people) < 0
    assert separation((unit(identities) - mean) @ matrix, people) > 0.3


def test_without_two_photographs_of_anyone_identities_are_only_centred():
    identities = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    mean, matrix = whitening(identities, list("abcde"))
    assert mean == pytest.approx(unit(identities).mean(axis=0), abs=1e-6)
    assert np.array_equal(matrix, np.eye(3))


def test_the_network_whitens_its_identities():
    net = expression.of_identities(fresh(lambda: mobilefacenet.build(tiny=True), seed=1)).eval()
    faces = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    mean, matrix = torch.full((8,), 0.1), torch.randn(8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        embedding, logits, identity = net(faces)
        found = expression.WhitenedNet(net, mean, matrix).eval()(faces)
        plain = expression.IdentityNet(net)(faces)
    assert torch.equal(found[0], embedding)
    assert torch.equal(found[1], logits)
    expected = (unit(identity.numpy()) - mean.numpy()) @ matrix.numpy()
    assert found[2].numpy() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(plain[0], identity)
