"""Every network of the catalogue keeps the contract."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from emofuse.nets.catalogue import NETWORKS
from emofuse.testing import check_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_catalogue_keeps_the_contract(name):
    # Batch norm removes what the bias of conv3 adds.
    no_gradient = ("conv3.bias",) if name == "mobilefacenet" else ()
    check_network(NETWORKS[name], no_gradient=no_gradient, tolerance=1e-5 if NETWORKS[name].preprocessing else 1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_tiny_network_trains_in_minutes(name):
    assert sum(p.numel() for p in NETWORKS[name].build(tiny=True).parameters()) < 250_000
