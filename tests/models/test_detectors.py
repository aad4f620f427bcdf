"""A face detector of another package, in one file: chosen by name, and tested with the contract."""

from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

from emofuse.core import registry
from emofuse.errors import SettingsError
from emofuse.faces import DETECTORS, Face
from emofuse.media.images import check_luma, check_rgb
from emofuse.models.detectors import choose_detector
from emofuse.runtime import Engine
from emofuse.testing import check_detector


class Redness:
    """Finds the bounding box of red pixels."""

    identity = "redness:1"
    colour = True
    certain_score = 0.85

    def __call__(self, image):
        check_rgb(image, "redness")
        rows, columns = np.nonzero((image[..., 0] > 200) & (image[..., 1] < 50))
        if not len(rows):
            return []
        x, y = columns.min(), rows.min()
        return [Face(np.array([x, y, np.ptp(columns) + 1, np.ptp(rows) + 1]), 1.0)]


class Darkness:
    """Finds the bounding box of dark pixels, in luma."""

    identity = "darkness:1"
    colour = False
    certain_score = 0.85

    def __call__(self, image):
        check_luma(image, "darkness")
        rows, columns = np.nonzero(image < 20)
        if not len(rows):
            return []
        x, y = columns.min(), rows.min()
        return [Face(np.array([x, y, np.ptp(columns) + 1, np.ptp(rows) + 1]), 1.0)]


def load(weights, engine):
    return Redness()


def test_a_detector_of_another_package_is_found_by_name_and_fulfils_the_contract(monkeypatch):
    entry = EntryPoint("redness", f"{__name__}:load", "emofuse.detectors")
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([entry]).select(group=group))
    assert list(DETECTORS) == ["default", "yunet", "redness"]
    chosen = choose_detector("redness", Engine(1))
    assert chosen.identity == "redness:1"
    image = np.full((120, 160, 3), 60, np.uint8)
    image[30:70, 50:90] = 255, 0, 0
    check_detector(chosen, image)


def test_a_detector_without_colour_is_given_luma():
    image = np.full((120, 160, 3), 200, np.uint8)
    image[30:70, 50:90] = 0, 30, 0
    check_detector(Darkness(), image)


def test_a_detector_that_takes_colour_for_luma_breaks_the_contract():
    class Careless(Darkness):
        def __call__(self, image):
            return []

    with pytest.raises(AssertionError, match="was accepted; raise ShapeError"):
        check_detector(Careless())


def test_small_faces_are_searched_in_larger_images():
    chosen = [choose_detector("default", Engine(1), small_faces=small).identity for small in (False, True)]
    assert [identity.rpartition(":")[2] for identity in chosen] == ["320", "640"]


def test_only_the_default_detector_has_a_variant_for_small_faces():
    with pytest.raises(SettingsError, match="leave one of the two out"):
        choose_detector("yunet", Engine(1), small_faces=True)
