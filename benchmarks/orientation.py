"""Whether videos that lie on their side or upside down are noticed, with each face detector.

    python benchmarks/orientation.py CLIPS --backgrounds IMAGES

CLIPS is a folder of upright clips with faces. Each is checked as `emofuse predict` does it, as it is and as if it were
turned by each right angle, by detections in its frames turned likewise. IMAGES is a folder of images without faces;
one that would be turned, if two frames of a video showed it, counts as a false turn.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from emofuse.faces.detector import Detector, Face
from emofuse.faces.orientation import TURNS, scores_by_turn, video_turn
from emofuse.inference.orientation import checked_numbers, faces_by_turn
from emofuse.inference.sampling import Sampling
from emofuse.media.images import luma_of, read_image
from emofuse.media.video import VideoReader
from emofuse.models.detectors import choose_detector
from emofuse.runtime import Engine

Found = Mapping[int, list[Face]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--backgrounds", type=Path, metavar="DIR", help="images without faces")
    parser.add_argument("--detectors", nargs="*", default=["default", "yunet"], help="default: default yunet")
    options = parser.parse_args()
    for name in options.detectors:
        detector = choose_detector(name, Engine())
        print(detector.identity)
        report_clips(detector, [checked_frames(path, detector) for path in sorted(options.clips.glob("*.mp4"))])
        if options.backgrounds:
            report_backgrounds(detector, options.backgrounds)


def checked_frames(path: Path, detector: Detector) -> list[Found]:
    """The faces by turn in the frames of a clip that may be checked."""
    with VideoReader(path) as video:
        frames = video.frames(checked_numbers(video.timeline, Sampling().wanted(video.timeline)))
        return [faces_by_turn(frame.rgb() if detector.colour else frame.luma(), detector) for frame in frames]


def report_clips(detector: Detector, clips: list[list[Found]]) -> None:
    """Print the decisions, and the detections that they took."""
    for turned in TURNS:
        decisions, calls = Counter[str](), 0
        for frames in clips:
            scores = [scores_by_turn({turn: found[(turn + turned) % 360] for turn in TURNS}) for found in frames]
            turns = [video_turn(scores[: n + 1], certain=detector.certain_score) for n in range(len(scores))]
            checked = turns.index(0) + 1 if 0 in turns else len(turns)
            decided, right = turns[checked - 1], (360 - turned) % 360
            decisions["right" if decided == right else "undecided" if decided is None else "wrong"] += 1
            calls += checked * len(TURNS)
        print(f"  turned by {turned:3}: {dict(decisions)}, {calls / len(clips):.1f} detections per clip")


def report_backgrounds(detector: Detector, folder: Path) -> None:
    """Print the fraction of images that would be turned."""
    paths, false = sorted(folder.glob("*.jpg")), 0
    for path in paths:
        image = read_image(path)
        scores = scores_by_turn(faces_by_turn(image if detector.colour else luma_of(image), detector))
        false += bool(video_turn([scores, scores], certain=detector.certain_score))
    print(f"  false turns: {false} of {len(paths)} images")


if __name__ == "__main__":
    main()
