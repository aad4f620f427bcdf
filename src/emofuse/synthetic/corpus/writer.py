"""Write a synthetic corpus in the layout of Aff-Wild2 (2020) with several processes; interrupted calls are resumed.

A video is complete when its record exists in `.incomplete/`, written after all its other files; corpus.json comes last.
Frames are rendered and encoded one by one; the audio of a video, about 0.5 MB per second, is in memory as a whole.
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
from emofuse.synthetic.corpus.frames import aligned, render_frames
from emofuse.synthetic.corpus.plan import PlannedEntry, PlannedVideo, frame_labels, plan_corpus, planted_problems
from emofuse.synthetic.corpus.soundtrack import RATE_HZ, mixture, voices
from emofuse.synthetic.render import draw_single_threaded

FORMAT = 1
HEADER = ",".join(name.capitalize() for name in AFFWILD2.names)
LABEL_FOLDERS = {
    "train": "annotations/EXPR_Set/Training_Set",
    "validation": "annotations/EXPR_Set/Validation_Set",
    "test": "truth/labels",
}
_INCOMPLETE, _ARGUMENTS = ".incomplete", "arguments.json"
_FILE_RATES_HZ = (48_000, 44_100)
# One thread per video, since the processes share the cores.
_ENCODING = Encoding(crf=23, preset="veryfast", threads=1)


@dataclass(frozen=True)
class Corpus:
    """A complete corpus: its folder, the names of its videos and entries, and the number of videos this call wrote."""

    folder: Path
    videos: tuple[str, ...]
    entries: tuple[str, ...]
    written: int


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
    """Write a corpus of synthetic subjects in the layout of Aff-Wild2, including its data-quality problems.

    The same arguments give the same bytes with any number of processes. A call that was killed is resumed by the next
    one; a complete corpus is not changed.

    Args:
        videos: number of videos, at least 3; with 12 or more, every frame rate and every problem occurs.
        seconds: length of each video, at least 4.
        easy: for small networks that train in minutes: balanced emotions, no background audio, no frame rate above
            15 Hz.
        processes: number of processes. If more than one, each imports the calling script, so call this below
            `if __name__ == "__main__"`.
        progress: called with a line for each complete video.
    Raises:
        SettingsError: an argument is out of range.
        DataError: the folder has other content, or a corpus with other arguments.
        OutputError: the folder cannot be written.

    >>> make_corpus("anywhere", videos=2)
    Traceback (most recent call last):
    emofuse.errors.SettingsError: a corpus of 2 videos: give at least 3, one for each split.
    """
    if processes < 1 or seed < 0:
        raise SettingsError(
            f"a corpus with {processes} processes and seed {seed}: give at least 1 process, and a seed of at least 0."
        )
    plan, root = plan_corpus(videos, seconds, seed=seed, easy=easy), Path(folder)
    arguments = {"videos": videos, "seconds": float(seconds), "seed": seed} | ({"easy": True} if easy else {})
    missing = [] if _is_complete(root, arguments) else [v for v in plan if not _record_path(root, v).is_file()]
    for done, video in enumerate(_written(root, missing, seed, processes), start=len(plan) - len(missing) + 1):
        if progress is not None:
            progress(f"{done} of {len(plan)}: {video.name}, {video.split}, {video.seconds:.1f} s")
    _finish(root, plan, arguments)
    names = tuple(video.name for video in plan)
    return Corpus(root, names, tuple(entry.name for video in plan for entry in video.entries), len(missing))


def _is_complete(root: Path, arguments: dict[str, Any]) -> bool:
    """Whether the same corpus is complete; if not, records the arguments in the folder."""
    wanted = {"format": FORMAT, "arguments": arguments}
    for path in (root / "corpus.json", root / _INCOMPLETE / _ARGUMENTS):
        if path.is_file():
            found = _arguments(path)
            if found != wanted:
                raise DataError(
                    f"{root}: holds a corpus with {_shown(found)}; requested was {_shown(wanted)}; "
                    "choose another folder, or remove this one."
                )
            return path.name == "corpus.json"
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root}: is not empty; choose an empty folder for the corpus.")
    write_json(root / _INCOMPLETE / _ARGUMENTS, wanted)
    return False


def _arguments(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        return {name: content[name] for name in ("format", "arguments")}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is not the record of a corpus; choose another folder, or remove this one.") from None


def _shown(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found["arguments"].items()) + f" (format {found['format']})"


def _written(root: Path, missing: Sequence[PlannedVideo], seed: int, processes: int) -> Iterator[PlannedVideo]:
    """Writes the videos and yields each when it is complete."""
    if processes == 1 or len(missing) < 2:
        for video in missing:
            write_files(root, video, seed=seed)
            yield video
        return
    # Not fork: it would copy locks and threads of OpenCV and x264 in an undefined state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(missing)), context, initializer=draw_single_threaded) as pool:
        # Longest first, so that none is left over for a single process at the end.
        order = sorted(missing, key=lambda video: -video.frames * len(video.entries))
        running = {pool.submit(write_files, root, video, seed=seed): video for video in order}
        try:
            for future in as_completed(running):
                future.result()
                yield running[future]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_files(root: Path, video: PlannedVideo, *, seed: int) -> None:
    """Write all files of one video, its record last."""
    clean = voices(video, seed=seed)
    audio, file_rate_hz = None, _FILE_RATES_HZ[video.number % 2]
    if video.has_audio:
        mixed, gain = mixture(video, np.sum(clean, axis=0), seed=seed)
        write_bytes(root / "truth" / "voice" / f"{video.name}.wav", _wav(np.sum(clean, axis=0) * gain))
        audio = np.asarray(soxr.resample(mixed, RATE_HZ, file_rate_hz), np.float32)
    images = dict.fromkeys((entry.name for entry in video.entries), 0)
    write_video(
        root / "videos" / video.batch / f"{video.name}.mp4",
        _frames_with_crops(root, video, clean, images, seed),
        rate_hz=video.rate_hz,
        audio=audio,
        audio_rate_hz=file_rate_hz,
        encoding=_ENCODING,
    )
    for entry in video.entries:
        write_bytes(root / LABEL_FOLDERS[video.split] / f"{entry.name}.txt", _label_file(entry, video))
    write_json(_record_path(root, video), _record(video, images))


def _frames_with_crops(
    root: Path, video: PlannedVideo, clean: Sequence[NDArray[np.float32]], images: dict[str, int], seed: int
) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video; writes the crop of each face, and counts crops by entry in `images`."""
    for n, (frame, faces) in enumerate(render_frames(video, clean, seed=seed), start=1):
        for entry, landmarks in zip(video.entries, faces, strict=True):
            if landmarks is not None:
                crop = encode_jpeg(aligned(frame, landmarks))
                _write_crop(root / "cropped_aligned" / entry.name / f"{n:05d}.jpg", crop)
                images[entry.name] += 1
        yield frame


def _write_crop(path: Path, content: bytes) -> None:
    # Not atomically: fsync on thousands of small files takes a fifth of the time, and the files of an incomplete video
    # are written again.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); free some space, or choose another."
        ) from None


def _label_file(entry: PlannedEntry, video: PlannedVideo) -> bytes:
    return "\n".join([HEADER, *map(str, frame_labels(entry, video).tolist()), ""]).encode()


def _wav(voice: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.rint(np.clip(voice, -1, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()


def _record_path(root: Path, video: PlannedVideo) -> Path:
    return root / _INCOMPLETE / f"{video.name}.json"


def _record(video: PlannedVideo, images: dict[str, int]) -> dict[str, Any]:
    """The description of a video in corpus.json."""
    return {
        "file": f"videos/{video.batch}/{video.name}.mp4",
        "rate": f"{video.rate_hz.numerator}/{video.rate_hz.denominator}",
        "frames": video.frames,
        "seconds": video.seconds,
        "split": video.split,
        "audio": video.has_audio,
        "background": video.background,
        "snr_db": video.snr_db,
        "entries": [
            {
                "name": entry.name,
                "subject": entry.subject,
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


def _finish(root: Path, plan: Sequence[PlannedVideo], arguments: dict[str, Any]) -> None:
    if not (root / "corpus.json").is_file():
        tests = [entry.name for video in plan if video.split == "test" for entry in video.entries]
        write_bytes(root / "annotations/EXPR_Set/Test_Set.txt", "\n".join([*tests, ""]).encode())
        records = {video.name: json.loads(_record_path(root, video).read_text("utf-8")) for video in plan}
        content = {"format": FORMAT, "arguments": arguments, "problems": planted_problems(plan), "videos": records}
        write_json(root / "corpus.json", content)
    shutil.rmtree(root / _INCOMPLETE, ignore_errors=True)
