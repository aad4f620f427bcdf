"""Fusion of the parts of a bundle, by hand-worked numbers of two classes."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline
from emofuse.core.types import Scores
from emofuse.errors import ShapeError
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.weighted import WeightedFusion
from emofuse.models.fusion import ModalityFusion, logarithms

LABELS = LabelSet(("calm", "cross"))


def weights(*names: str, rows: list[list[float]]) -> WeightedFusion:
    return WeightedFusion("mcwf", names, LABELS, np.array(rows, np.float32))


SWF = ModalityFusion(weights("face", "voice", rows=[[0.6, 0.6], [0.4, 0.4]]))
THREE = ModalityFusion(weights("voice", "face", "face-windows", rows=[[0.5, 0.2], [0.25, 0.2], [0.25, 0.6]]))


def said(*calm: float | None) -> Scores:
    """One row for each probability of being calm, None where there is nothing to judge."""
    values = np.array([[0, 0] if c is None else [c, 1 - c] for c in calm], np.float32)
    valid = np.array([c is not None for c in calm])
    return Scores(values, Timeline.windows(10, 10, end=10 * len(calm)), LABELS, valid, "any name")


def fused(part: ModalityFusion, visible: list[int] | None = None, **parts: Scores) -> Scores:
    scores = {name.replace("_", "-"): s for name, s in parts.items()}
    seen = [s.valid for name, s in scores.items() if name != "voice"]
    alone = np.any(seen, axis=0).astype(np.int64) if seen else np.zeros(len(scores["voice"]), np.int64)
    return part(scores, visible=alone if visible is None else np.array(visible))


def test_face_and_voice_are_weighed_and_what_is_missing_drops_out():
    found = fused(SWF, face=said(0.9, 0.9, None, None), voice=said(0.4, None, 0.4, None))
    assert found.valid.tolist() == [True, True, True, False]
    assert found.values[:, 0] == pytest.approx([0.6 * 0.9 + 0.4 * 0.4, 0.9, 0.4, 0])


def test_weights_of_each_class_are_renormalised_by_themselves():
    found = fused(THREE, face=said(0.8), face_windows=said(None), voice=said(0.2))
    calm, cross = (0.5 * 0.2 + 0.25 * 0.8) / 0.75, (0.2 * 0.8 + 0.2 * 0.2) / 0.4
    assert found.values[0] == pytest.approx([calm / (calm + cross), cross / (calm + cross)])


def test_the_voice_is_shared_by_those_in_the_picture():
    found = fused(SWF, visible=[1, 2, 4], face=said(1, 1, 1), voice=said(0, 0, 0))
    assert found.values[:, 0] == pytest.approx([0.6, 0.6 / 0.8, 0.6 / 0.7])


def test_in_a_pool_the_voice_speaks_the_more_softly_the_more_there_are_and_alone_it_is_not_amplified():
    pool = ModalityFusion(LogPoolFusion("log-pool", ("face", "voice"), LABELS, np.array([[1.0, 1.0], [0.5, 0.5]])))
    found = fused(pool, visible=[1, 2, 0], face=said(0.5, 0.5, None), voice=said(0.8, 0.8, 0.8))
    odds = [4**0.5, 4**0.25, 4**0.5]  # a face that finds both alike changes nothing
    assert found.values[:, 0] == pytest.approx([o / (1 + o) for o in odds])


def test_somebody_out_of_the_picture_is_judged_by_the_voice_only_while_nobody_is_in_it():
    found = fused(SWF, visible=[0, 1, 2], face=said(None, None, None), voice=said(0.3, 0.3, 0.3))
    assert found.valid.tolist() == [True, False, False]
    assert found.values[0, 0] == pytest.approx(0.3)


def test_each_combination_has_its_calibration_and_the_others_that_of_any():
    sure = LogitCalibration(0.5, (0.0, 0.0))  # squares the ratio of the probabilities
    biased = LogitCalibration(1.0, (np.log(3), 0.0))  # three times as calm
    part = ModalityFusion(SWF.weights, {"face+voice": sure, "any": biased})
    found = fused(part, face=said(0.75, 0.5, None), voice=said(0.75, None, 0.25))
    assert found.values[:, 0] == pytest.approx([0.9, 0.75, 0.5])


def test_without_a_calibration_what_is_fused_stays():
    part = ModalityFusion(SWF.weights, {"voice": LogitCalibration(0.5, (0.0, 0.0))})
    assert fused(part, face=said(0.75), voice=said(0.75)).values[0] == pytest.approx([0.75, 0.25])


def test_a_class_that_is_impossible_stays_finite_in_a_calibration():
    part = ModalityFusion(SWF.weights, {"any": LogitCalibration(2.0, (0.0, 0.0))})
    found = fused(part, face=said(1.0), voice=said(1.0)).values[0]
    assert found[0] == pytest.approx(1 / (1 + np.sqrt(1e-7)))
    assert np.isfinite(logarithms(np.array([0.0, 1.0]))).all()


def test_rows_are_probabilities_though_classes_have_other_weights():
    rng = np.random.default_rng(0)
    parts = {name: said(*rng.uniform(0, 1, 50)) for name in ("face", "face_windows", "voice")}
    found = fused(THREE, visible=rng.integers(1, 4, 50).tolist(), **parts)
    assert found.values.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_one_person_alone_gets_the_bits_of_the_fitted_fusion():
    rng = np.random.default_rng(1)
    parts = {name: said(*rng.uniform(0, 1, 50)) for name in ("face", "voice")}
    named = [Scores(s.values, s.timeline, LABELS, s.valid, n) for n, s in parts.items()]
    assert fused(SWF, **parts).values == pytest.approx(SWF.weights(named).probabilities(), abs=1e-7)


def test_a_voice_that_has_all_the_weight_of_a_class_still_fuses():
    part = ModalityFusion(weights("face", "voice", rows=[[0, 1], [1, 0]]))
    found = fused(part, visible=[3], face=said(0.2), voice=said(0.6))
    assert found.values[0] == pytest.approx([0.6 / 1.4, 0.8 / 1.4])


@pytest.mark.parametrize("key", ["voice+face", "hand", "face-windows", ""])
def test_a_calibration_of_no_combination_lists_the_parts(key):
    with pytest.raises(ShapeError, match="join some of face, voice in this order"):
        ModalityFusion(SWF.weights, {key: LogitCalibration.identity(2)})


def test_a_calibration_for_other_labels_is_refused():
    with pytest.raises(ShapeError, match="3 biases for 2 labels"):
        ModalityFusion(SWF.weights, {"any": LogitCalibration.identity(3)})


def test_an_unknown_part_lists_the_known():
    with pytest.raises(ShapeError, match="fusion of gait: no such modality; there are face, face-windows, voice"):
        ModalityFusion(weights("gait", rows=[[1, 1]]))
