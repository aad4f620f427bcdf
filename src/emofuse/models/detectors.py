"""Face detectors by name; `auto` takes YuNet where its weights can be had, and Haar otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from emofuse.core.files import file_digest
from emofuse.core.registry import nearest
from emofuse.errors import OutputError, SettingsError, WeightsError
from emofuse.faces.detector import Detector, Haar, YuNet
from emofuse.models import weights
from emofuse.runtime import Engine, Map

DETECTORS = ("auto", "yunet", "haar")


@dataclass(frozen=True)
class ChosenDetector:
    """A detector, what names it in results, why it is not the one that was hoped for (or ""), and how several pictures
    are shared out."""

    detector: Detector
    identity: str
    note: str = ""
    spread: Map = map


def choose_detector(name: str, engine: Engine) -> ChosenDetector:
    """The detector of a name.

    Raises:
        SettingsError: no such detector.
        WeightsError: "yunet" is wanted, but its weights are not here and cannot be fetched.
    """
    if name not in DETECTORS:
        raise SettingsError(f"--detector {name}: unknown{nearest(name, DETECTORS)}; choose {', '.join(DETECTORS)}.")
    if name == "haar":
        return ChosenDetector(Haar(), "haar")  # one after the other: it has threads of its own
    entry = weights.known("yunet")
    try:
        path = weights.fetch(entry, timeout_seconds=20 if name == "yunet" else 5)
    except (WeightsError, OutputError) as error:  # the cache may not be writable
        if name == "yunet":
            raise
        reason = str(error).split(". ")[0]
        return ChosenDetector(
            Haar(), "haar", f"faces are found by the simpler Haar cascade, since YuNet is not here: {reason}."
        )
    yunet = YuNet(path, engine=engine)
    return ChosenDetector(yunet, f"yunet:{file_digest(path)[:12]}:{yunet.long_side}", spread=engine.parallel_map())
