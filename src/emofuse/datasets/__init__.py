"""Data sets: Aff-Wild2, FER-2013, and lists of one's own clips, all behind the interface of `DataSet`."""

# Importing a format registers it. FER-2013 comes first: its folders and tables would pass for clip lists.
from emofuse.datasets.fer2013.dataset import Fer2013  # isort: skip
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.dataset import DATASETS, DataFormat, DataSet, open_data
from emofuse.datasets.statistics import DataReport, check_data

__all__ = [
    "DATASETS",
    "AffWild2",
    "ClipList",
    "DataFormat",
    "DataReport",
    "DataSet",
    "Fer2013",
    "check_data",
    "open_data",
]
