"""Results as Apache Parquet."""

from __future__ import annotations

from pathlib import Path

from emofuse.core.files import atomic
from emofuse.export.writer import WRITERS, ResultTable, Writer


def write_parquet(table: ResultTable, path: Path) -> None:
    """Write a table as Parquet, one row group per block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks = iter(table.blocks)
    first = pa.Table.from_pandas(next(blocks), preserve_index=False)
    with atomic(path) as partial, pq.ParquetWriter(partial, first.schema) as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(pa.Table.from_pandas(block, schema=first.schema, preserve_index=False))


WRITERS.add("parquet", Writer(write_parquet, ".parquet"))
