"""How a table 1 is put into words: the same in the terminal, the file and the page.

Figures are printed in percent with two decimals, as the paper does; `NONE` stands where there is none.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

NONE = "-"
MEASURES = {
    "cpm": "CPM",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "accuracy": "accuracy",
    "uar": "UAR",
}
QUOTED = (
    "Quoted figures are CPM as the paper gives it, measured by its authors on Aff-Wild2 with networks at full size; "
    "none of them was measured here."
)
CPM = "CPM = 0.67 macro F1 + 0.33 accuracy."
BASELINE = "baseline of the organisers"
# A name from a damaged file could otherwise steer a terminal, turn the text around, or fail to be encoded.
_UNPRINTABLE = {"Cc", "Cs"}
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def plain(value: object) -> str:
    """Text on one line that nothing can be hidden in.

    >>> plain("a\\nb\\x1b[31m")
    'a b\\ufffd[31m'
    """
    line = " ".join(str(value).splitlines())
    return "".join("\ufffd" if unicodedata.category(c) in _UNPRINTABLE or c in _TURNING else c for c in line)


def known(value: float | None) -> bool:
    """Whether there is a figure at all."""
    return value is not None and math.isfinite(value)


def percent(value: float | None) -> str:
    """
    >>> percent(0.5023), percent(None)
    ('50.23', '-')
    """
    return f"{100 * value:.2f}" if value is not None and math.isfinite(value) else NONE


def quoted(value: float | None) -> str:
    """A figure of the paper, which has it in percent."""
    return NONE if value is None else f"{value:.2f}"


def count(value: int | None) -> str:
    """A whole number, or that there is none."""
    return NONE if value is None else str(value)


def weight(value: float | None) -> str:
    """
    >>> weight(0.25), weight(None)
    ('0.2500', '-')
    """
    return f"{value:.4f}" if value is not None and math.isfinite(value) else NONE


def interval(estimate: Sequence[float | None] | None, *, signed: bool = False) -> str:
    """The bounds of (value, low, high) in brackets; empty where there are none.

    >>> interval([0.5, 0.4, 0.61]), interval([0.5, None, None])
    ('[40.00, 61.00]', '')
    """
    if estimate is None or not all(map(known, estimate[1:])):
        return ""
    say = _signed if signed else percent
    return f"[{say(estimate[1])}, {say(estimate[2])}]"


def with_interval(estimate: Sequence[float | None] | None) -> str:
    """
    >>> with_interval([0.5, 0.4, 0.61]), with_interval(None)
    ('50.00 [40.00, 61.00]', '-')
    """
    return f"{percent(estimate[0])} {interval(estimate)}".rstrip() if estimate else NONE


def gained(gain: Mapping[str, Any] | None) -> str:
    """What fusing gains, in points.

    >>> gained({"over": "pann", "cpm": [0.01, -0.02, 0.04]})
    '+1.00 [-2.00, +4.00]'
    """
    return f"{_signed(gain['cpm'][0])} {interval(gain['cpm'], signed=True)}".rstrip() if gain else NONE


def _signed(value: float | None) -> str:
    return f"{100 * value:+z.2f}" if value is not None and math.isfinite(value) else NONE


def verdict(gain: Mapping[str, Any] | None) -> str:
    """Whether a gain is beyond chance: its interval excludes 0.

    >>> [verdict({"over": "a", "cpm": c}) for c in ([0.02, 0.01, 0.03], [-0.02, -0.03, -0.01])]
    ['better, beyond chance', 'worse, beyond chance']
    >>> [verdict({"over": "a", "cpm": c}) for c in ([0.02, 0.0, 0.04], [0.02, None, None])]
    ['not beyond chance', 'no interval']
    """
    if gain is None or not known(gain["cpm"][0]):
        return NONE
    _, low, high = gain["cpm"]
    if not known(low) or not known(high):
        return "no interval"
    if low > 0:
        return "better, beyond chance"
    return "worse, beyond chance" if high < 0 else "not beyond chance"


def headline(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figures to go by: of a fusion the cross-fitted ones, of a system alone the only ones."""
    return (row["cross_fitted"] if row["method"] else row["in_sample"]) or {}


def in_sample(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a fusion reaches on the videos its weights were fitted on; a system alone has none fitted."""
    return (row["in_sample"] or {}) if row["method"] else {}


def made_of(row: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The systems of a row with what stands in for them, and how they are fused.

    >>> row = {"parts": ["vggface2", "pann"], "method": "mcwf"}
    >>> made_of(row, {"systems": {"vggface2": {"stands_in": "mobile"}}})
    'MCWF of vggface2 (mobile in its place) + pann'
    """
    parts = []
    for name in row["parts"]:
        other = (result["systems"].get(name) or {}).get("stands_in")
        parts.append(f"{name} ({other} in its place)" if other else name)
    return plain((f"{row['method'].upper()} of " if row["method"] else "") + " + ".join(parts))


def title(result: Mapping[str, Any]) -> str:
    return plain(f"Table 1 on {result['data']}")


def facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was measured, and how."""
    return [
        ("data", plain(f"{result['data']}, {result['split']}")),
        ("size", f"{result['clips']} clips of {result['videos']} videos, {result['frames']} labelled frames"),
        ("scale", plain(f"{result['scale']}, seed {result['seed']}")),
        ("in brackets", plain(result["interval"])),
        ("chance", chance(result)),
    ]


def chance(result: Mapping[str, Any]) -> str:
    """What needs no system at all.

    >>> chance({"always": {"label": "neutral", "cpm": [0.25, 0.23, 0.27]}})
    'always saying neutral, the commonest class, has CPM 25.00 [23.00, 27.00]'
    """
    always = result["always"]
    return plain(f"always saying {always['label']}, the commonest class, has CPM {with_interval(always['cpm'])}")


def legend(result: Mapping[str, Any]) -> list[str]:
    """What the columns mean."""
    lines = [f"All figures are percent. {CPM}"]
    if any(row["method"] for row in result["rows"]):
        lines += [
            "CPM, macro F1 and accuracy of a fusion are cross-fitted: its weights come from other videos. In-sample "
            "figures are scored on the videos that the weights were fitted on, as the paper reports them.",
            "Gain: cross-fitted CPM of a fusion less that of the best of its parts on the same videos, in points; "
            "beyond chance where its interval excludes 0.",
        ]
    return [*lines, QUOTED]


def alone(result: Mapping[str, Any]) -> str:
    """Which systems alone are above chance, in a sentence; empty where there are no intervals to judge by."""
    least, above, others = result["always"]["cpm"][0], list[str](), list[str]()
    for row in result["rows"]:
        if not row["method"]:
            low = ((row["in_sample"] or {}).get("cpm") or [None, None])[1]
            if known(low) and known(least):
                (above if low > least else others).append(plain(row["name"]))
    always = f"always saying {plain(result['always']['label'])} (CPM {percent(least)})"
    said = [f"Above {always} with their whole interval: {', '.join(above)}."] if above else []
    return " ".join([*said, *([f"Not above {always} beyond chance: {', '.join(others)}."] if others else [])])


def summary(result: Mapping[str, Any]) -> str:
    """Which systems are above chance, and which fusions gain beyond it."""
    return " ".join(said for said in (alone(result), fusions(result)) if said)


def fusions(result: Mapping[str, Any]) -> str:
    """Which fusions gain beyond chance, in a sentence; empty where nothing is fused."""
    said: dict[str, list[str]] = {}
    for row in result["rows"]:
        if row["gain"] is not None:
            said.setdefault(verdict(row["gain"]), []).append(plain(row["name"]))
    if not said:
        return ""
    better, worse = said.get("better, beyond chance"), said.get("worse, beyond chance")
    unsure = said.get("no interval", []) + said.get(NONE, [])
    sentences = [f"Better than the best of their parts, beyond chance: {', '.join(better)}."] if better else []
    if not better and "not beyond chance" in said:
        sentences.append("No fusion is better than the best of its parts beyond chance.")
    sentences += [f"Worse, beyond chance: {', '.join(worse)}."] if worse else []
    sentences += [f"There is no interval to judge by for {', '.join(unsure)}."] if unsure else []
    return " ".join(sentences)


def estimates(result: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    """Every row with each of its sets of figures and what they are."""
    found = []
    for row in result["rows"]:
        kinds = {"in-sample": row["in_sample"], "cross-fitted": row["cross_fitted"]} if row["method"] else {}
        for kind, figures in (kinds or {"alone": row["in_sample"]}).items():
            if figures:
                found.append((row, kind, figures))
    return found


def machine(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the figures were made with."""
    made = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    return [
        ("emofuse", plain(result["emofuse"])),
        ("python", plain(made["python"])),
        ("packages", plain(packages)),
        ("machine", plain(f"{made['platform']}, {made['cores']} cores")),
    ]


def duration(result: Mapping[str, Any]) -> str:
    """How long it took: the one line in which equal runs differ."""
    return f"time: {result['seconds']:.1f} s"
