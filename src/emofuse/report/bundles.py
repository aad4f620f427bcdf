"""Descriptions of bundles for the terminal: labels, training data, licence and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emofuse.models.bundle import Bundle


def text(bundles: Sequence[Bundle]) -> str:
    """Each bundle with its labels, training data, licence and metrics."""
    return "\n".join(line for bundle in bundles for line in _lines(bundle))


def _lines(bundle: Bundle) -> Iterator[str]:
    yield f"{bundle.name} {bundle.version}: {bundle.card['what']}"
    yield f"  labels   {', '.join(bundle.label_set.names)}"
    yield f"  trained  {bundle.card['data']}"
    yield f"  licence  {bundle.card['licence']}"
    for data, metrics in bundle.card["metrics"].items():
        counts = " ".join(f"{metrics[k]} {k}" for k in ("images", "clips", "sentences") if k in metrics)
        yield f"  {data}: accuracy {metrics['accuracy']:.3f}, UAR {metrics['uar']:.3f} ({counts})"
