"""Metrics of the rows of Table 1 on synthetic scores of varying accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emofuse.evaluation.evaluate import Settings
from emofuse.experiments.comparison import compare
from emofuse.metrics import MEASURES, confusion
from emofuse.systems.paper import table_row
from support.small_datasets import random_data, simulate_scores

DATA = random_data(clips=12)
SOURCES = {
    name: replace(simulate_scores(DATA, name, skill=skill, seed=seed), system=name)
    for seed, (name, skill) in enumerate({"vggface2-svm": 1.5, "vggfer-kelm": 1.2, "cnn1d-lstm": 1.0}.items())
}
ROWS = tuple(map(table_row, ("vggface2-svm", "mcwf-visual", "mcwf-best")))


@pytest.fixture(scope="module")
def compared():
    return compare(ROWS, DATA, SOURCES, Settings(resamples=200))


def test_a_single_system_has_metrics_and_no_fusion(compared):
    figures = compared.rows["vggface2-svm"]
    said = SOURCES["vggface2-svm"].by_clip
    counts = sum(confusion(np.array(DATA.labels[c]), s.predictions(), classes=7) for c, s in said.items())
    assert figures["confusion"] == counts.tolist()
    assert figures["in_sample"]["cpm"][0] == pytest.approx(float(MEASURES["cpm"](counts)))
    assert figures["cross_fitted"] is figures["gain"] is figures["weights"] is None


def test_a_fusion_has_in_sample_and_cross_fitted_metrics(compared):
    figures = compared.rows["mcwf-best"]
    for how in ("in_sample", "cross_fitted"):
        value, low, high = figures[how]["cpm"]
        assert low <= value <= high
    assert figures["in_sample"]["cpm"][0] > compared.rows["vggface2-svm"]["in_sample"]["cpm"][0]


def test_the_chance_level_is_that_of_the_most_frequent_class(compared):
    truth = np.concatenate([np.array(DATA.labels[clip.id]) for clip in DATA.split("validation")])
    commonest = int(np.bincount(truth[truth >= 0]).argmax())
    counts = confusion(truth, np.full(len(truth), commonest), classes=7)
    assert compared.about["chance"]["label"] == DATA.label_set.names[commonest]
    assert compared.about["chance"]["cpm"][0] == pytest.approx(float(MEASURES["cpm"](counts)))


def test_the_gain_is_cross_fitted_and_over_the_best_system(compared):
    figures = compared.rows["mcwf-best"]
    alone = compared.rows["vggface2-svm"]["in_sample"]["cpm"][0]
    assert figures["gain"]["over"] == "vggface2-svm"
    assert figures["gain"]["cpm"][0] == pytest.approx(figures["cross_fitted"]["cpm"][0] - alone)


def test_the_weights_of_each_class_sum_to_one_over_the_systems(compared):
    weights = compared.rows["mcwf-best"]["weights"]
    assert weights["systems"] == ["vggface2-svm", "cnn1d-lstm"]
    assert np.sum(weights["values"], axis=0) == pytest.approx(np.ones(7), abs=2e-4)


def test_a_row_is_fused_from_its_own_systems_only(compared):
    assert set(compared.fitted["mcwf-visual"].systems) == {"vggface2-svm", "vggfer-kelm"}


def test_equal_seeds_give_equal_metrics(compared):
    assert compare(ROWS, DATA, SOURCES, Settings(resamples=200)).rows == compared.rows


@pytest.mark.parametrize(("method", "weighted"), [("log-pool", True), ("stacking", False)])
def test_a_row_may_be_fused_by_any_method(method, weighted):
    row = replace(table_row("mcwf-best"), method=method)
    compared = compare([row], DATA, SOURCES, Settings(resamples=20))
    weights = compared.rows["mcwf-best"]["weights"]
    assert compared.rows["mcwf-best"]["cross_fitted"]["cpm"][0] > 0.3
    assert np.shape(weights["values"]) == (2, 7) if weighted else weights is None
