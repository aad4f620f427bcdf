"""Writers of results, one file per format, found by name and open to other packages; and the reader of what they write.

>>> sorted(WRITERS)[:4]
['annotated-video', 'boris', 'csv', 'elan']
"""

from emofuse.export import annotated_video, boris, csv_file, elan, json_file, parquet_file, praat, srt, webvtt
from emofuse.export.convert import export_results
from emofuse.export.reader import read_results
from emofuse.export.segments import Segment, SegmentSettings, find_segments
from emofuse.export.writer import WRITERS, ExportOptions, ResultTable, Writer, checked_formats, writer_of

__all__ = [
    "WRITERS",
    "ExportOptions",
    "ResultTable",
    "Segment",
    "SegmentSettings",
    "Writer",
    "annotated_video",
    "boris",
    "checked_formats",
    "csv_file",
    "elan",
    "export_results",
    "find_segments",
    "json_file",
    "parquet_file",
    "praat",
    "read_results",
    "srt",
    "webvtt",
    "writer_of",
]
