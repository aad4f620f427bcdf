"""Heads on disk."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.labels import LabelSet
from emofuse.errors import BundleError, LabelError, SettingsError
from emofuse.heads import SVM, KernelELM, load, save
from emofuse.heads.saved import FORMAT

NAMES = LabelSet(("calm", "angry", "glad", "sad", "afraid"))
HEADS = [
    SVM(probability=True, class_weight="log", mu=0.47),
    SVM(kernel="rbf", gamma=np.float64(0.05), probability=True, class_weight={1: 2.0}),
    SVM(degree=1),
    KernelELM(normalisation="znorm+power+l2", probability=True),
    KernelELM("linear", normalisation="minmax", landmarks=20),
]


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loaded_head_returns_bit_equal_values(random_rows, tmp_path, head, dtype):
    rows, others = random_rows(120), random_rows(40, seed=1)
    features = others.features.astype(dtype)
    head.fit(rows.features.astype(dtype), rows.labels)
    save(tmp_path / "head.safetensors", head, label_set=NAMES)
    saved = load(tmp_path / "head.safetensors")
    assert saved.label_set == NAMES
    assert saved.head.get_params() == head.get_params()
    assert saved.head.n_features_in_ == 12
    np.testing.assert_array_equal(saved.head.decision_function(features), head.decision_function(features))
    np.testing.assert_array_equal(saved.head.predict(features), head.predict(features))
    if head.probability:
        np.testing.assert_array_equal(saved.head.predict_proba(features), head.predict_proba(features))


def test_a_label_absent_from_training_has_probability_zero(random_rows, tmp_path):
    rows = random_rows(80)
    labels = np.array([0, 1, 3, 4])[rows.labels]
    save(tmp_path / "head", KernelELM(probability=True).fit(rows.features, labels), label_set=NAMES)
    probabilities = load(tmp_path / "head").probabilities(rows.features)
    assert probabilities.shape == (80, 5)
    assert probabilities.dtype == np.float32
    assert not probabilities[:, 2].any()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_the_error_for_a_head_without_probabilities_has_a_remedy(random_rows, tmp_path):
    rows = random_rows(40)
    save(tmp_path / "head", SVM().fit(rows.features, rows.labels), label_set=NAMES)
    with pytest.raises(SettingsError, match="probability=True"):
        load(tmp_path / "head").probabilities(rows.features)


def test_classes_must_be_indices_into_the_labels(random_rows, tmp_path):
    rows = random_rows(40)
    for labels in (np.array(list("abcd"))[rows.labels], rows.labels + 3):
        with pytest.raises(LabelError, match="indices from 0 to 4"):
            save(tmp_path / "head", KernelELM().fit(rows.features, labels), label_set=NAMES)
    assert not (tmp_path / "head").exists()


def _rewritten(path, arrays=None, **changes):
    kept, meaning = FORMAT.read(path)
    FORMAT.write(path, kept if arrays is None else arrays, meaning | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "forest"}, "damaged head .'forest'"),
        ({"params": {}}, "damaged head .'class_weight'"),
        ({"params": {"class_weight": None, "kernel": "cubic"}}, "kernel 'cubic'"),
        ({"labels": ["a"]}, "its classes are"),
    ],
)
@pytest.mark.parametrize("head", [SVM(probability=True), KernelELM(probability=True)], ids=["svm", "kelm"])
def test_a_wrong_file_is_refused_in_one_line(random_rows, tmp_path, head, changes, message):
    rows = random_rows(60)
    path = tmp_path / "head"
    save(path, head.fit(rows.features, rows.labels), label_set=NAMES)
    _rewritten(path, **changes)
    with pytest.raises(BundleError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [SVM(probability=True), KernelELM(probability=True)], ids=["svm", "kelm"])
def test_every_missing_truncated_or_non_finite_array_is_reported(random_rows, tmp_path, head):
    rows = random_rows(60)
    path = tmp_path / "head"
    save(path, head.fit(rows.features, rows.labels), label_set=NAMES)
    whole, _ = FORMAT.read(path)
    for name, array in whole.items():
        wrong = [{k: a for k, a in whole.items() if k != name}]
        wrong += [{**whole, name: array[:-1].copy()}] if array.size else []
        wrong += [{**whole, name: np.full_like(array, np.nan)}] if array.size and array.dtype.kind == "f" else []
        for arrays in wrong:
            _rewritten(path, arrays)
            with pytest.raises(BundleError):
                load(path)


def test_a_file_that_is_not_a_head_is_refused_in_one_line(tmp_path):
    (tmp_path / "head").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="cannot be read as a head"):
        load(tmp_path / "head")
    with pytest.raises(BundleError, match="no such file"):
        load(tmp_path / "none")
