"""Data sets: Aff-Wild2, FER-2013, lists of one's own clips, and photographs, all behind the interface of `DataSet`."""

# Importing a format registers it, and the first one that recognises a path opens it: folders and tables of FER-2013
# would pass for photographs, and those of photographs for clip lists.
from emofuse.datasets.fer2013.dataset import Fer2013  # isort: skip
from emofuse.datasets.affwild2.dataset import AffWild2  # isort: skip
from emofuse.datasets.image_folder import ImageFolder  # isort: skip
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
    "ImageFolder",
    "check_data",
    "open_data",
]
