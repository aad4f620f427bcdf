"""The search for SVM settings against a loop that fits scikit-learn's again."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from emofuse.errors import SettingsError
from emofuse.heads import SVM, SVMGrid, deal, svm_search
from emofuse.metrics import confusion, cpm_of

GRID = SVMGrid(Cs=(0.5, 4.0), gammas=(0.1, 0.2), degrees=(1, 3), kernels=("poly", "rbf", "linear"), folds=3)


@pytest.mark.parametrize("coef0", [0.0, 1.0])
def test_every_trial_equals_fitting_each_fold_again(made, coef0):
    rows = made(150)
    base = SVM(coef0=coef0)
    found = svm_search(rows.features, rows.labels, measure=cpm_of, groups=rows.groups, grid=GRID, base=base)
    fold = deal(rows.labels, groups=rows.groups, count=3)
    assert len(found.trials) == 2 * (2 * 2 + 2 + 1)
    for trial in found.trials:
        counts = np.zeros((4, 4), np.int64)
        for n in range(3):
            theirs = SVC(coef0=coef0, break_ties=True, tol=1e-3, **trial.settings)
            theirs.fit(rows.features[fold != n], rows.labels[fold != n])
            counts += confusion(rows.labels[fold == n], theirs.predict(rows.features[fold == n]), classes=4)
        assert np.abs(trial.counts - counts).sum() <= 2  # a row at the border, within libsvm's tolerance
        assert trial.value == pytest.approx(float(cpm_of(trial.counts)))


def test_points_with_one_product_of_gamma_and_cost_have_one_result(made):
    rows = made(100)
    grid = SVMGrid(Cs=(1.0, 8.0), gammas=(0.1, 0.2), degrees=(3,), folds=3)
    by_point = {
        (t.settings["gamma"], t.settings["C"]): t
        for t in svm_search(rows.features, rows.labels, measure=cpm_of, grid=grid).trials
    }
    assert by_point[0.2, 1.0].counts is by_point[0.1, 8.0].counts


def test_a_class_of_one_group_cannot_be_searched(made):
    rows = made(60)
    labels = np.where(np.arange(60) < 3, 3, np.minimum(rows.labels, 2))
    with pytest.raises(SettingsError, match="more videos or persons"):
        svm_search(rows.features, labels, measure=cpm_of, groups=rows.groups)
    with pytest.raises(SettingsError, match="give one of each"):
        svm_search(rows.features, labels, measure=cpm_of, grid=SVMGrid(kernels=()))
    with pytest.raises(SettingsError, match="memory_mb allows"):
        svm_search(rows.features, labels, measure=cpm_of, base=SVM(memory_mb=0.01))
