"""Classifiers of feature rows as scikit-learn estimators, saved as arrays: a support vector machine, a kernel ELM.

>>> import numpy as np
>>> rows, labels = np.array([[0.0], [0.2], [1.0], [1.2]]), np.array([0, 0, 1, 1])
>>> KernelELM().fit(rows, labels).predict([[0.1], [1.1]]).tolist()
[0, 1]
"""

from emofuse.core.class_weights import class_weights, largest_mu, log_weights
from emofuse.heads.folds import deal
from emofuse.heads.kelm import KernelELM
from emofuse.heads.saved import HEADS, Head, Saved, load, save
from emofuse.heads.search import Grid, Search, Trial, grid_search
from emofuse.heads.svm import SVM
from emofuse.heads.svm_search import SVMGrid, svm_search

__all__ = [
    "HEADS",
    "SVM",
    "SVMGrid",
    "Grid",
    "Head",
    "KernelELM",
    "Saved",
    "Search",
    "Trial",
    "class_weights",
    "deal",
    "grid_search",
    "largest_mu",
    "load",
    "log_weights",
    "save",
    "svm_search",
]
