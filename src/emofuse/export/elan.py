"""Segments as an ELAN annotation file (EAF 3.0) with one tier per person, and probabilities as a time series beside it.

ELAN opens the time series with the annotations: it reads how to show the file `NAME_series.txt` from `NAME_tsconf.xml`.
Source: MPI for Psycholinguistics, EAF v3.0 schema; ELAN manual, time series viewer.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from emofuse.core.colour import COLOURS, rgb_of
from emofuse.core.files import atomic, write_bytes
from emofuse.export.segments import Segment, Sentence, find_sentences, milliseconds, who_of
from emofuse.export.writer import WRITERS, ResultTable, Writer

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = ("_series.txt", "_tsconf.xml")  # of the time series and its configuration, by which ELAN finds it
_MIME = mimetypes.MimeTypes()  # not those of the machine, which differ
_DATE = "2000-01-01T00:00:00+00:00"  # required; a real one would make the bytes differ from run to run
_SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "emotion"
_PROVIDER = "mpi.eudico.client.annotator.timeseries.csv.CSVServiceProvider"


class _Person(NamedTuple):
    """A person as the tier is called, with the segments, and the probabilities by the start of rows."""

    who: str
    segments: list[Segment]
    probabilities: pd.DataFrame


def write_elan(table: ResultTable, path: Path) -> None:
    """Write the annotation file, and beside it the time series of all probabilities and its configuration.

    The last tier has the words, if they are known. A property of the annotation file states where segments are from.
    """
    series, configuration = companions = [path.with_name(path.name.removesuffix(".eaf") + end) for end in _ENDINGS]
    persons, sentences = list[_Person](), list[Sentence]()
    for rows in table.blocks:
        sentences = sentences or find_sentences(rows)
        segments = table.segments(rows)
        if who := segments[0].who if segments else who_of(rows):
            persons.append(_Person(who, segments, rows[["start", *table.labels]]))
    _write_series(persons, series)
    write_bytes(configuration, _xml(_configuration([p.who for p in persons], table.labels, series.name)))
    write_bytes(path, _xml(_document(table, persons, sentences, path, companions)))


def _document(
    table: ResultTable,
    persons: Sequence[_Person],
    sentences: Sequence[Sentence],
    path: Path,
    companions: Sequence[Path],
) -> ElementTree.Element:
    attributes = {"AUTHOR": "emofuse", "DATE": _DATE, "FORMAT": "3.0", "VERSION": "3.0"}
    schema = {f"{{{_SCHEMA_INSTANCE}}}noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"}
    document = ElementTree.Element("ANNOTATION_DOCUMENT", attributes | schema)
    header = ElementTree.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    beside = table.options.beside_media
    if table.media is not None:
        place = path.with_name(table.media.name) if beside else table.media
        _link(header, "MEDIA_DESCRIPTOR", "MEDIA_URL", table.media.absolute().as_uri(), _relative(place, path))
    for companion in companions:
        relative = _relative(companion, path)
        address = relative if beside else companion.absolute().as_uri()
        _link(header, "LINKED_FILE_DESCRIPTOR", "LINK_URL", address or companion.name, relative)
    order = ElementTree.SubElement(document, "TIME_ORDER")
    last = 0
    tiers = [(p.who, [(s.start, s.end, s.emotion or "") for s in p.segments]) for p in persons]
    tiers += [("words", [s[:3] for s in sentences])] if sentences else []
    for name, spans in tiers:
        tier = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": _TYPE, "ANNOTATOR": "emofuse"}
        last = _add_annotations(ElementTree.SubElement(document, "TIER", tier), order, spans, last)
    for name, value in (("origin", table.origin), ("lastUsedAnnotationId", str(last))):
        ElementTree.SubElement(header, "PROPERTY", NAME=name).text = value
    kind = {"LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ElementTree.SubElement(document, "LINGUISTIC_TYPE", kind)
    return document


def _add_annotations(
    tier: ElementTree.Element, order: ElementTree.Element, spans: Iterable[tuple[float, float, str]], last: int
) -> int:
    """Add start, end and text of at least a millisecond to a tier; returns the number of the last annotation."""
    for start, end, text in spans:
        times = milliseconds(start), milliseconds(end)
        if times[0] == times[1]:
            continue
        last += 1
        slots = {"TIME_SLOT_REF1": f"ts{2 * last - 1}", "TIME_SLOT_REF2": f"ts{2 * last}"}
        for slot, time in zip(slots.values(), times, strict=True):
            ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
        parent = ElementTree.SubElement(tier, "ANNOTATION")
        annotation = ElementTree.SubElement(parent, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{last}", **slots})
        ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = text
    return last


def _link(header: ElementTree.Element, element: str, name: str, address: str, relative: str | None) -> None:
    """Add a reference to a file, by its address and relative to the folder of the annotation file."""
    kind = _MIME.guess_type(address)[0] or "unknown"
    attributes = {name: address, "MIME_TYPE": kind, f"RELATIVE_{name}": relative or address}
    ElementTree.SubElement(header, element, attributes)


def _relative(target: Path, path: Path) -> str | None:
    """The path of a file from the folder of another, as ELAN writes it; None on another drive."""
    try:
        relative = Path(os.path.relpath(target.absolute(), path.absolute().parent)).as_posix()
    except ValueError:
        return None
    return relative if relative.startswith("..") else f"./{relative}"


def _write_series(persons: Sequence[_Person], path: Path) -> None:
    """Write the time in seconds, and for each person and class a column of probabilities."""
    import pandas as pd

    columns = [person.probabilities.set_index("start").add_prefix(f"{person.who} ") for person in persons]
    whole = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=pd.Index([], name="start"))
    with atomic(path) as partial:
        whole.to_csv(partial, index_label="seconds", lineterminator="\n", encoding="utf-8")


def _configuration(persons: Sequence[str], labels: Sequence[str], series: str) -> ElementTree.Element:
    """What ELAN's time series viewer needs to know of the columns."""
    root = ElementTree.Element("timeseries", date=_DATE, version="1.0")
    kind = {"source-url": f"./{series}", "sample-type": "Discontinuous Rate", "time-column": "0"}
    source = ElementTree.SubElement(root, "tracksource", kind)
    ElementTree.SubElement(source, "property", key="provider", value=_PROVIDER)
    names = [(f"{who} {label}", COLOURS[k % len(COLOURS)]) for who in persons for k, label in enumerate(labels)]
    for n, (name, colour) in enumerate(names, start=1):
        track = ElementTree.SubElement(source, "track", name=name, derivative="0")
        ElementTree.SubElement(track, "property", key="detect-range", value="false")
        ElementTree.SubElement(ElementTree.SubElement(track, "sample-position"), "pos", row="0", col=str(n))
        ElementTree.SubElement(track, "description")
        ElementTree.SubElement(track, "units")
        ElementTree.SubElement(track, "range", min="0.0", max="1.0")
        ElementTree.SubElement(track, "color").text = ",".join(map(str, rgb_of(colour)))
    return root


def _xml(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


ElementTree.register_namespace("xsi", _SCHEMA_INSTANCE)
WRITERS.add("elan", Writer(write_elan, ".eaf", _ENDINGS))
