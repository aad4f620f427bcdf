"""Results as one JSON object: the metadata, the labels, and a list of rows."""

from __future__ import annotations

import json
from pathlib import Path

from emofuse.core.files import write_bytes
from emofuse.export.writer import WRITERS, ResultTable, Writer


def write_json(table: ResultTable, path: Path) -> None:
    """Write a table as UTF-8 JSON."""
    rows = [row for block in table.blocks for row in json.loads(block.to_json(orient="records"))]
    content = {"file": table.file, **table.metadata, "labels": table.labels, "rows": rows}
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


WRITERS.add("json", Writer(write_json, ".json"))
