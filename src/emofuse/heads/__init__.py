"""Classifiers of feature rows as scikit-learn estimators, saved as arrays: a support vector machine and a kernel ELM.

>>> import numpy as np
>>> rows, labels = np.array([[0.0], [0.2], [1.0], [1.2]]), np.array([0, 0, 1, 1])
>>> KernelELM().fit(rows, labels).predict([[0.1], [1.1]]).tolist()
[0, 1]
"""

from emofuse.heads.kelm import KernelELM
from emofuse.heads.saved import HEADS, LabelledHead, load, save
from emofuse.heads.svm import SVM

__all__ = ["HEADS", "SVM", "KernelELM", "LabelledHead", "load", "save"]
