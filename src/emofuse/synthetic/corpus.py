"""Write a synthetic corpus in the layout of Aff-Wild2 (2020), by several processes, to be taken up where it stopped.

A video is done when its record stands in `.making/`, which is written after all its files; corpus.json comes last.
Frames are drawn, encoded and forgotten one by one; the sound of a video, about 0.5 MB a second, is held whole.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from emofuse.core.files import write_bytes, write_json
from emofuse.core.labels import AFFWILD2
from emofuse.errors import DataError, OutputError, SettingsError
from emofuse.media.encode import Encoding, write_video
from emofuse.media.images import encode_jpeg
from emofuse.synthetic.plan import Entry, Video, frame_labels, plan_corpus, planted_problems
from emofuse.synthetic.render import draw_single_threaded
from emofuse.synthetic.scenes import aligned, scenes
from emofuse.synthetic.soundtrack import RATE_HZ, mixture, voices

FORMAT = 1
HEADER = ",".join(name.capitalize() for name in AFFWILD2.names)
LABEL_FOLDERS = {
    "train": "annotations/EXPR_Set/Training_Set",
    "validation": "annotations/EXPR_Set/Validation_Set",
    "test": "truth/labels",
}
_MAKING, _ARGUMENTS = ".making", "arguments.json"
_FILE_RATES_HZ = (48_000, 44_100)
# One thread for each film: the processes share the work.
_ENCODING = Encoding(crf=23, preset="veryfast", threads=1)


@dataclass(frozen=True)
class Corpus:
    """A finished corpus: its folder, the names of its videos and entries, and how many videos this call made."""

    folder: Path
    videos: tuple[str, ...]
    entries: tuple[str, ...]
    made: int


def make_corpus(
    folder: str | Path,
    *,
    videos: int = 12,
    seconds: float = 20.0,
    seed: int = 0,
    easy: bool = False,
    processes: int = 2,
    progress: Callable[[str], None] | None = None,
) -> Corpus:
    """Make a corpus of drawn and synthesised people in the layout of Aff-Wild2, warts and all.

    The same videos, seconds, seed and ease give the same bytes, whatever the number of processes. A call that was
    killed goes on where it stopped; a finished corpus is left as it is.

    Args:
        videos: how many, at least 3; from 12 on every frame rate and every wart occurs.
        seconds: length of each, at least 4.
        easy: for small nets that learn in minutes: each emotion as often as the others, nothing behind the voices, no
            frame rate above 15 Hz.
        processes: at least 1. More than one start by importing the calling script, so call this below
            `if __name__ == "__main__"`.
        progress: gets a line for each video that is done.
    Raises:
        SettingsError: an argument makes no sense.
        DataError: the folder holds something else, or a corpus of other arguments.
        OutputError: the folder cannot be written.

    >>> make_corpus("anywhere", videos=2)
    Traceback (most recent call last):
    emofuse.errors.SettingsError: a corpus of 2 videos: give at least 3, one for each split.
    """
    if processes < 1 or seed < 0:
        raise SettingsError(f"a corpus by {processes} processes from seed {seed}: give at least 1, and a seed from 0.")
    plan, root = plan_corpus(videos, seconds, seed=seed, easy=easy), Path(folder)
    arguments = {"videos": videos, "seconds": float(seconds), "seed": seed} | ({"easy": True} if easy else {})
    waiting = [] if _claimed(root, arguments) else [video for video in plan if not _record_path(root, video).is_file()]
    for done, video in enumerate(_made(root, waiting, seed, processes), start=len(plan) - len(waiting) + 1):
        if progress is not None:
            progress(f"{done} of {len(plan)}: {video.name}, {video.split}, {video.seconds:.1f} s")
    _finish(root, plan, arguments)
    names = tuple(video.name for video in plan)
    return Corpus(root, names, tuple(entry.name for video in plan for entry in video.entries), len(waiting))


def _claimed(root: Path, arguments: dict[str, Any]) -> bool:
    """Whether the very same corpus is there, finished; if it is begun or the folder is empty, it is made ours."""
    wanted = {"format": FORMAT, "arguments": arguments}
    for path in (root / "corpus.json", root / _MAKING / _ARGUMENTS):
        if path.is_file():
            found = _arguments(path)
            if found != wanted:
                raise DataError(
                    f"{root}: holds a corpus made with {_told(found)}, asked for is {_told(wanted)}; "
                    "choose another folder, or remove this one."
                )
            return path.name == "corpus.json"
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root}: holds something else; choose an empty folder for the corpus.")
    write_json(root / _MAKING / _ARGUMENTS, wanted)
    return False


def _arguments(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        return {name: content[name] for name in ("format", "arguments")}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is no record of a corpus; choose another folder, or remove this one.") from None


def _told(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found["arguments"].items()) + f" (format {found['format']})"


def _made(root: Path, waiting: Sequence[Video], seed: int, processes: int) -> Iterator[Video]:
    """Makes the videos; yields each when it is done."""
    if processes == 1 or len(waiting) < 2:
        for video in waiting:
            make_video(root, video, seed=seed)
            yield video
        return
    # Not fork: OpenCV and x264 hold locks and threads that would be copied in any state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(waiting)), context, initializer=draw_single_threaded) as pool:
        # The longest first, so that no process is left alone with one at the end.
        order = sorted(waiting, key=lambda video: -video.frames * len(video.entries))
        running = {pool.submit(make_video, root, video, seed=seed): video for video in order}
        try:
            for future in as_completed(running):
                future.result()
                yield running[future]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def make_video(root: Path, video: Video, *, seed: int) -> None:
    """Write all files of one video, and last of all its record."""
    clean = voices(video, seed=seed)
    sound, file_rate_hz = None, _FILE_RATES_HZ[video.number % 2]
    if video.sound:
        heard, factor = mixture(video, np.sum(clean, axis=0), seed=seed)
        write_bytes(root / "truth" / "voice" / f"{video.name}.wav", _wav(np.sum(clean, axis=0) * factor))
        sound = np.asarray(soxr.resample(heard, RATE_HZ, file_rate_hz), np.float32)
    images = dict.fromkeys((entry.name for entry in video.entries), 0)
    write_video(
        root / "videos" / video.batch / f"{video.name}.mp4",
        _cropped(root, video, clean, images, seed),
        rate_hz=video.rate_hz,
        audio=sound,
        audio_rate_hz=file_rate_hz,
        encoding=_ENCODING,
    )
    for entry in video.entries:
        write_bytes(root / LABEL_FOLDERS[video.split] / f"{entry.name}.txt", _label_file(entry, video))
    write_json(_record_path(root, video), _record(video, images))


def _cropped(
    root: Path, video: Video, clean: Sequence[NDArray[np.float32]], images: dict[str, int], seed: int
) -> Iterator[NDArray[np.uint8]]:
    """The frames; on the way each face is cut out and written, and counted in `images`."""
    for n, (picture, marks) in enumerate(scenes(video, clean, seed=seed), start=1):
        for entry, landmarks in zip(video.entries, marks, strict=True):
            if landmarks is not None:
                crop = encode_jpeg(aligned(picture, landmarks))
                _write_crop(root / "cropped_aligned" / entry.name / f"{n:05d}.jpg", crop)
                images[entry.name] += 1
        yield picture


def _write_crop(path: Path, content: bytes) -> None:
    # Not by the store: waiting for the disk after each of thousands of small files takes a fifth of the time, and what
    # is half-written has no record and is made again.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); free some space, or choose another."
        ) from None


def _label_file(entry: Entry, video: Video) -> bytes:
    return "\n".join([HEADER, *map(str, frame_labels(entry, video).tolist()), ""]).encode()


def _wav(voice: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.rint(np.clip(voice, -1, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()


def _record_path(root: Path, video: Video) -> Path:
    return root / _MAKING / f"{video.name}.json"


def _record(video: Video, images: dict[str, int]) -> dict[str, Any]:
    """What corpus.json says of a video."""
    return {
        "file": f"videos/{video.batch}/{video.name}.mp4",
        "rate": f"{video.rate_hz.numerator}/{video.rate_hz.denominator}",
        "frames": video.frames,
        "seconds": video.seconds,
        "split": video.split,
        "sound": video.sound,
        "background": video.background,
        "snr_db": video.snr_db,
        "entries": [
            {
                "name": entry.name,
                "person": entry.person,
                "images": images[entry.name],
                "delay": entry.delay,
                "away": entry.away and {"start": entry.away[0], "end": entry.away[1], "how": entry.away[2]},
                "script": [
                    {
                        "start": segment.start,
                        "end": segment.end,
                        "emotion": segment.emotion,
                        "face": segment.face,
                        "voice": segment.voice,
                        "speaks": segment.voice is not None,
                        "face_strength": segment.face_strength,
                        "voice_strength": segment.voice_strength,
                    }
                    for segment in entry.segments
                ],
            }
            for entry in video.entries
        ],
    }


def _finish(root: Path, plan: Sequence[Video], arguments: dict[str, Any]) -> None:
    if not (root / "corpus.json").is_file():
        tests = [entry.name for video in plan if video.split == "test" for entry in video.entries]
        write_bytes(root / "annotations/EXPR_Set/Test_Set.txt", "\n".join([*tests, ""]).encode())
        records = {video.name: json.loads(_record_path(root, video).read_text("utf-8")) for video in plan}
        content = {"format": FORMAT, "arguments": arguments, "problems": planted_problems(plan), "videos": records}
        write_json(root / "corpus.json", content)
    shutil.rmtree(root / _MAKING, ignore_errors=True)
