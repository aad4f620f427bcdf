"""Writers of results: one file per format, found by name and open to other packages.

>>> sorted(WRITERS)[:3]
['csv', 'json', 'parquet']
"""

from emofuse.export import csv_file, json_file, parquet_file
from emofuse.export.writer import WRITERS, ResultTable, Writer

__all__ = ["WRITERS", "ResultTable", "Writer", "csv_file", "json_file", "parquet_file"]
