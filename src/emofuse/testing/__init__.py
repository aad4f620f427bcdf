"""Contract checks for what people add to emofuse, here or in packages of their own.

A package that adds, for example, a fusion method names it as an entry point and tests it with the same contract as the
built-in ones:

    # pyproject.toml
    [project.entry-points."emofuse.fusion"]
    my-fusion = "my_package:my_fusion"

    # tests/test_fusion.py
    from emofuse.testing import check_fusion
    from my_package import my_fusion

    def test_my_fusion_keeps_the_contract():
        check_fusion(my_fusion)

Formats of data sets are entry points of the group `emofuse.datasets`, checked with `check_dataset`; writers of results
are entry points of the group `emofuse.writers`, named by the format and checked with `check_writer`.
A check that fails raises `AssertionError` with what was expected and what was found.
"""

from typing import TYPE_CHECKING, Any

from emofuse.testing.datasets import check_dataset
from emofuse.testing.detectors import check_detector
from emofuse.testing.fusion import check_fusion
from emofuse.testing.writers import check_writer

if TYPE_CHECKING:
    from emofuse.testing.networks import check_network

__all__ = ["check_dataset", "check_detector", "check_fusion", "check_network", "check_writer"]


def __getattr__(name: str) -> Any:
    # Only this check needs torch.
    if name == "check_network":
        from emofuse.testing.networks import check_network

        return check_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
