"""Fusion of the scores of several systems: methods by name, fitted weights as arrays, and held-out fitting.

>>> sorted(METHODS)
['log-pool', 'mcwf', 'mcwf-refined', 'mean', 'stacking', 'swf', 'swf-refined']
"""

from emofuse.fusion.candidates import confusions
from emofuse.fusion.contract import Fitted, Measure, Method
from emofuse.fusion.heldout import cross_fit, folds, groups
from emofuse.fusion.registry import METHODS, method
from emofuse.fusion.saved import load, save
from emofuse.fusion.stack import Stack

__all__ = [
    "METHODS",
    "Fitted",
    "Measure",
    "Method",
    "Stack",
    "confusions",
    "cross_fit",
    "folds",
    "groups",
    "load",
    "method",
    "save",
]
