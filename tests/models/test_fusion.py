"""Fusion of the modalities of a bundle, against numbers of two classes worked by hand."""

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


def scores(*calm: float | None) -> Scores:
    """One row for each probability of "calm"; None for a row that is not valid."""
    values = np.array([[0, 0] if c is None else [c, 1 - c] for c in calm], np.float32)
    valid = np.array([c is not None for c in calm])
    return Scores(values, Timeline.windows(10, 10, end=10 * len(calm)), LABELS, valid, "any name")


def fused(
    fusion: ModalityFusion, visible: list[int] | None = None, weight: list[float] | None = None, **modalities: Scores
) -> Scores:
    named = {name.replace("_", "-"): s for name, s in modalities.items()}
    faces = [s.valid for name, s in named.items() if name != "voice"]
    alone = np.any(faces, axis=0).astype(np.int64) if faces else np.zeros(len(named["voice"]), np.int64)
    part = None if weight is None else np.array(weight)
    return fusion(named, visible=alone if visible is None else np.array(visible), voice_weight=part)


def test_face_and_voice_are_weighted_and_missing_modalities_are_left_out():
    found = fused(SWF, face=scores(0.9, 0.9, None, None), voice=scores(0.4, None, 0.4, None))
    assert found.valid.tolist() == [True, True, True, False]
    assert found.values[:, 0] == pytest.approx([0.6 * 0.9 + 0.4 * 0.4, 0.9, 0.4, 0])


def test_weights_are_renormalised_for_each_class():
    found = fused(THREE, face=scores(0.8), face_windows=scores(None), voice=scores(0.2))
    calm, cross = (0.5 * 0.2 + 0.25 * 0.8) / 0.75, (0.2 * 0.8 + 0.2 * 0.2) / 0.4
    assert found.values[0] == pytest.approx([calm / (calm + cross), cross / (calm + cross)])


def test_the_weight_of_the_voice_is_divided_by_the_number_of_visible_persons():
    found = fused(SWF, visible=[1, 2, 4], face=scores(1, 1, 1), voice=scores(0, 0, 0))
    assert found.values[:, 0] == pytest.approx([0.6, 0.6 / 0.8, 0.6 / 0.7])


def test_each_person_gets_the_given_part_of_the_voice():
    found = fused(SWF, visible=[2, 2, 2], weight=[1.0, 0.25, 0.0], face=scores(1, 1, 1), voice=scores(0, 0, 0))
    assert found.values[:, 0] == pytest.approx([0.6, 0.6 / 0.7, 1])


def test_without_a_part_of_the_voice_the_calibration_is_that_of_the_face():
    sharper = LogitCalibration(0.5, (0.0, 0.0))
    fusion = ModalityFusion(SWF.weights, {"face": sharper})
    found = fused(fusion, visible=[2, 2], weight=[0.5, 0.0], face=scores(0.75, 0.75), voice=scores(0.75, 0.75))
    assert found.values[:, 0] == pytest.approx([0.75, 0.9])


def test_in_a_pool_the_voice_is_weakened_by_the_number_of_visible_persons_and_never_amplified():
    pool = ModalityFusion(LogPoolFusion("log-pool", ("face", "voice"), LABELS, np.array([[1.0, 1.0], [0.5, 0.5]])))
    found = fused(pool, visible=[1, 2, 0], face=scores(0.5, 0.5, None), voice=scores(0.8, 0.8, 0.8))
    odds = [4**0.5, 4**0.25, 4**0.5]  # equal probabilities of the face change nothing
    assert found.values[:, 0] == pytest.approx([o / (1 + o) for o in odds])


def test_a_person_who_is_not_visible_is_scored_by_the_voice_only_while_nobody_is_visible():
    found = fused(SWF, visible=[0, 1, 2], face=scores(None, None, None), voice=scores(0.3, 0.3, 0.3))
    assert found.valid.tolist() == [True, False, False]
    assert found.values[0, 0] == pytest.approx(0.3)


def test_each_combination_has_its_own_calibration_or_that_of_any():
    sharper = LogitCalibration(0.5, (0.0, 0.0))  # squares the ratio of the probabilities
    biased = LogitCalibration(1.0, (np.log(3), 0.0))  # three times as calm
    fusion = ModalityFusion(SWF.weights, {"face+voice": sharper, "any": biased})
    found = fused(fusion, face=scores(0.75, 0.5, None), voice=scores(0.75, None, 0.25))
    assert found.values[:, 0] == pytest.approx([0.9, 0.75, 0.5])


def test_without_a_calibration_fused_probabilities_are_unchanged():
    fusion = ModalityFusion(SWF.weights, {"voice": LogitCalibration(0.5, (0.0, 0.0))})
    assert fused(fusion, face=scores(0.75), voice=scores(0.75)).values[0] == pytest.approx([0.75, 0.25])


def test_a_class_of_probability_0_stays_finite_in_a_calibration():
    fusion = ModalityFusion(SWF.weights, {"any": LogitCalibration(2.0, (0.0, 0.0))})
    found = fused(fusion, face=scores(1.0), voice=scores(1.0)).values[0]
    assert found[0] == pytest.approx(1 / (1 + np.sqrt(1e-7)))
    assert np.isfinite(logarithms(np.array([0.0, 1.0]))).all()


def test_rows_sum_to_1_although_weights_differ_by_class():
    rng = np.random.default_rng(0)
    modalities = {name: scores(*rng.uniform(0, 1, 50)) for name in ("face", "face_windows", "voice")}
    found = fused(THREE, visible=rng.integers(1, 4, 50).tolist(), **modalities)
    assert found.values.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_the_scores_of_a_single_person_equal_those_of_the_fitted_fusion():
    rng = np.random.default_rng(1)
    modalities = {name: scores(*rng.uniform(0, 1, 50)) for name in ("face", "voice")}
    named = [Scores(s.values, s.timeline, LABELS, s.valid, n) for n, s in modalities.items()]
    assert fused(SWF, **modalities).values == pytest.approx(SWF.weights(named).probabilities(), abs=1e-7)


def test_a_class_can_be_decided_by_the_voice_alone():
    fusion = ModalityFusion(weights("face", "voice", rows=[[0, 1], [1, 0]]))
    found = fused(fusion, visible=[3], face=scores(0.2), voice=scores(0.6))
    assert found.values[0] == pytest.approx([0.6 / 1.4, 0.8 / 1.4])


@pytest.mark.parametrize("key", ["voice+face", "hand", "face-windows", ""])
def test_a_calibration_of_an_unknown_combination_lists_the_modalities(key):
    with pytest.raises(ShapeError, match="join some of face, voice in this order"):
        ModalityFusion(SWF.weights, {key: LogitCalibration.identity(2)})


def test_a_calibration_for_other_labels_is_refused():
    with pytest.raises(ShapeError, match="3 biases for 2 labels"):
        ModalityFusion(SWF.weights, {"any": LogitCalibration.identity(3)})


def test_an_unknown_modality_lists_the_known_ones():
    with pytest.raises(ShapeError, match="fusion of gait: no such modality; there are face, face-windows, voice"):
        ModalityFusion(weights("gait", rows=[[1, 1]]))
