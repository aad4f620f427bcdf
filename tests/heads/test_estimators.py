"""Both heads against scikit-learn's own checks of an estimator."""

from __future__ import annotations

import warnings

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from emofuse.heads import SVM, KernelELM

ORDER = {"check_classifiers_train": "calibrated probabilities may have another order than the scores, as of SVC"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (SVM(kernel="rbf"), {}),
        (KernelELM(), {}),
        (SVM(kernel="rbf", probability=True), ORDER),
        (KernelELM(probability=True), ORDER),
    ],
    ids=str,
)
def test_heads_pass_the_estimator_checks_of_scikit_learn(head, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # of checks that need packages that are not installed
        check_estimator(head, expected_failed_checks=expected, on_skip=None)


@pytest.mark.slow
def test_the_kernel_of_the_paper_fails_only_checks_that_it_fails_in_scikit_learn():
    # A cubic without lower terms cannot separate the data of those checks, in any implementation.
    def failed(estimator):
        return {
            r["check_name"] for r in check_estimator(estimator, on_fail=None, on_skip=None) if r["status"] == "failed"
        }

    assert failed(SVM()) == {"check_classifiers_train", "check_class_weight_classifiers"}
    assert failed(SVM()) <= failed(SVC(kernel="poly", gamma=0.1, C=3.0))
