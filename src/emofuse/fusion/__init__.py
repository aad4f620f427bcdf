"""Fusion of the scores of several systems: methods by name, fitted weights as arrays, and held-out fitting.

>>> sorted(METHODS)
['log-pool', 'mcwf', 'mcwf-refined', 'mean', 'stacking', 'swf', 'swf-refined']
"""

from emofuse.fusion.candidates import confusions
from emofuse.fusion.contract import FittedFusion, FusionMethod, Measure
from emofuse.fusion.cross_fitting import cross_fit, folds, groups
from emofuse.fusion.registry import METHODS, method
from emofuse.fusion.saved import load, save
from emofuse.fusion.system_scores import SystemScores

__all__ = [
    "METHODS",
    "FittedFusion",
    "Measure",
    "FusionMethod",
    "SystemScores",
    "confusions",
    "cross_fit",
    "folds",
    "groups",
    "load",
    "method",
    "save",
]
