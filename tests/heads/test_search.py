"""The grid search against a loop that fits each head again."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError
from emofuse.heads import Grid, KernelELM, deal, grid_search
from emofuse.metrics import accuracy_of, confusion, cpm_of

GRID = Grid(Cs=(0.01, 1.0, 10.0), gs=(1.0, 30.0), normalisations=("none", "znorm+l2", "power"), folds=3)


def test_every_trial_equals_fitting_each_fold_again(made):
    rows = made(150)
    base = KernelELM(class_weight="log", mu=2.0)
    found = grid_search(rows.features, rows.labels, measure=cpm_of, groups=rows.groups, grid=GRID, base=base)
    fold = deal(rows.labels, groups=rows.groups, count=3)
    assert len(found.trials) == 3 * (2 + 1) * 3
    for trial in found.trials:
        counts = np.zeros((4, 4), np.int64)
        for n in range(3):
            head = KernelELM(class_weight="log", mu=2.0, **trial.settings)
            head.fit(rows.features[fold != n], rows.labels[fold != n])
            counts += confusion(rows.labels[fold == n], head.predict(rows.features[fold == n]), classes=4)
        np.testing.assert_array_equal(trial.counts, counts)
        assert trial.value == pytest.approx(float(cpm_of(counts)))


def test_the_best_trial_is_the_one_that_the_measure_likes_most(made):
    rows = made(150)
    found = grid_search(rows.features.astype(np.float32), rows.labels, measure=accuracy_of, grid=GRID)
    assert found.best.value == max(row["value"] for row in found.table())
    KernelELM(**found.best.settings).fit(rows.features, rows.labels)


def test_a_grid_with_a_wrong_point_is_refused_before_anything_is_computed(made):
    rows = made(40)
    with pytest.raises(SettingsError, match="did you mean 'minmax'"):
        grid_search(rows.features, rows.labels, measure=cpm_of, grid=Grid(normalisations=("none", "minmx")))
    with pytest.raises(SettingsError, match="give one of each"):
        grid_search(rows.features, rows.labels, measure=cpm_of, grid=Grid(Cs=()))
    with pytest.raises(SettingsError, match=r"memory_mb allows 0\.001"):
        grid_search(rows.features, rows.labels, measure=cpm_of, base=KernelELM(memory_mb=0.001))
