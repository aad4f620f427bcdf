"""Writers of results, one file per format, found by name and open to other packages; and the reader of what they write.

>>> sorted(WRITERS)[:3]
['csv', 'json', 'parquet']
"""

from emofuse.export import csv_file, json_file, parquet_file
from emofuse.export.reader import read_results
from emofuse.export.segments import Segment, SegmentSettings, find_segments
from emofuse.export.writer import WRITERS, ResultTable, Writer

__all__ = [
    "WRITERS",
    "ResultTable",
    "Segment",
    "SegmentSettings",
    "Writer",
    "csv_file",
    "find_segments",
    "json_file",
    "parquet_file",
    "read_results",
]
