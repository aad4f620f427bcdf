"""Fusion of the scores of several systems: methods by name, fitted fusions as arrays, and cross-fitting.

>>> sorted(METHODS)
['log-pool', 'mcwf', 'mcwf-refined', 'mean', 'stacking', 'swf', 'swf-refined']
"""

from emofuse.fusion import log_pool, search, stacking, weighted  # noqa: F401  (each registers its methods)
from emofuse.fusion.cross_fitting import clip_folds, clip_groups, cross_fit
from emofuse.fusion.registry import METHODS, FittedFusion, FusionMethod, Measure
from emofuse.fusion.saved import load, save
from emofuse.fusion.system_scores import SystemScores

__all__ = [
    "METHODS",
    "FittedFusion",
    "FusionMethod",
    "Measure",
    "SystemScores",
    "clip_folds",
    "clip_groups",
    "cross_fit",
    "load",
    "save",
]
