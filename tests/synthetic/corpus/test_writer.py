"""A synthetic corpus on disk: layout, bytes, planted problems, and resuming."""

import hashlib
import os
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.time import Timeline, ticks
from emofuse.errors import DataError, SettingsError
from emofuse.faces.default import DefaultDetector
from emofuse.faces.yunet import YuNet
from emofuse.media.audio import AudioReader
from emofuse.media.images import luma_of, read_image
from emofuse.media.video import VideoReader
from emofuse.synthetic import make_corpus
from emofuse.synthetic.corpus.plan import RATES_HZ, plan_corpus

FOLDERS = {
    "train": "annotations/EXPR_Set/Training_Set",
    "validation": "annotations/EXPR_Set/Validation_Set",
    "test": "truth/labels",
}
HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
SMALL = {"videos": 3, "seconds": 4, "seed": 57}  # low frame rates, so few frames


def tree(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def entries(content):
    return [(name, video, entry) for name, video in content["videos"].items() for entry in video["entries"]]


def planted(content, code):
    return {p["item"] for p in content["problems"] if p["code"] == code}


def lines(folder, video, entry):
    return (folder / FOLDERS[video["split"]] / f"{entry['name']}.txt").read_text().splitlines()


def crops(folder, entry):
    return sorted(path.name for path in (folder / "cropped_aligned" / entry["name"]).iterdir())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "corpus"
    make_corpus(folder, **SMALL, processes=2)
    return folder


def test_a_resumed_run_of_one_process_gives_the_same_bytes_as_two_processes(small, tmp_path):
    def kill(line):
        raise KeyboardInterrupt(line)

    folder = tmp_path / "corpus"
    with pytest.raises(KeyboardInterrupt, match="1 of 3"):
        make_corpus(folder, **SMALL, processes=1, progress=kill)
    assert not (folder / "corpus.json").exists()
    # Remains of the next video of a killed process.
    video = plan_corpus(**SMALL)[1]
    (folder / "cropped_aligned" / video.entries[0].name).mkdir()
    (folder / "cropped_aligned" / video.entries[0].name / "00001.jpg").write_bytes(b"half a pict")
    (folder / "videos" / video.batch).mkdir(exist_ok=True)
    (folder / "videos" / video.batch / f".partial-{video.name}.mp4").write_bytes(b"half a film")
    assert make_corpus(folder, **SMALL, processes=1).written == 2
    assert tree(folder) == tree(small)


def test_a_complete_corpus_is_not_changed(small):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert make_corpus(small, **SMALL).written == 0
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_a_corpus_with_other_arguments_is_refused_in_one_line(small):
    with pytest.raises(
        DataError, match=r"a corpus with videos 3, seconds 4.0, seed 57 .* requested was videos 3, seconds 5.0"
    ) as refusal:
        make_corpus(small, videos=3, seconds=5, seed=57)
    assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match=r"seed 57 \(format 1\); requested was .* seed 57, easy True"):
        make_corpus(small, **SMALL, easy=True)


def test_a_folder_with_other_content_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(DataError, match="choose an empty folder"):
        make_corpus(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path):
    for wrong in ({"videos": 1}, {"seconds": 1.0}, {"processes": 0}, {"seed": -1}):
        with pytest.raises(SettingsError, match="give at least"):
            make_corpus(tmp_path / "corpus", **{**SMALL, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_the_corpus_has_only_the_documented_files(corpus):
    folder, content = corpus
    tops = {Path(name).parts[0] for name in tree(folder)}
    assert tops == {"videos", "cropped_aligned", "annotations", "truth", "corpus.json"}
    assert {path.name for path in folder.iterdir()} == tops
    names = {entry["name"] for _, _, entry in entries(content)}
    assert {path.name for path in (folder / "cropped_aligned").iterdir()} == names
    found = {path.stem for name in FOLDERS.values() for path in (folder / name).iterdir()}
    assert found == names


def test_the_test_split_is_listed_and_its_labels_are_only_in_truth(corpus):
    folder, content = corpus
    listed = (folder / "annotations" / "EXPR_Set" / "Test_Set.txt").read_text().splitlines()
    assert listed == [entry["name"] for _, video, entry in entries(content) if video["split"] == "test"]
    assert not any((folder / FOLDERS[s] / f"{name}.txt").exists() for s in ("train", "validation") for name in listed)


def test_every_frame_rate_occurs_and_timestamps_are_exact(corpus):
    folder, content = corpus
    rates = set()
    for video in content["videos"].values():
        rate = Fraction(video["rate"])
        rates.add(rate)
        timeline = VideoReader(folder / video["file"]).timeline
        assert timeline == Timeline.steps(rate, end=ticks(video["frames"] / rate))
        assert video["seconds"] == pytest.approx(4, abs=0.5 / rate)
    assert rates == set(RATES_HZ)


def test_each_entry_has_a_label_for_each_frame_unless_planted(corpus):
    folder, content = corpus
    wrong = set()
    for _, video, entry in entries(content):
        header, *labels = lines(folder, video, entry)
        assert header == HEADER
        assert abs(len(labels) - video["frames"]) <= 1
        wrong |= {entry["name"]} if len(labels) != video["frames"] else set()
    assert wrong == planted(content, "off-by-one")
    assert len(wrong) == 2


def test_frames_are_unlabelled_only_where_planted(corpus):
    folder, content = corpus
    values = {e["name"]: [int(line) for line in lines(folder, video, e)[1:]] for _, video, e in entries(content)}
    assert all(min(labels) >= -1 and max(labels) < 7 for labels in values.values())
    assert {name for name, labels in values.items() if -1 in labels} == planted(content, "unlabelled")
    assert all(max(labels) >= 0 for labels in values.values())


def test_images_are_numbered_from_one_and_missing_only_where_planted(corpus):
    folder, content = corpus
    gaps = set()
    for _, video, entry in entries(content):
        found = crops(folder, entry)
        assert len(found) == entry["images"] > 0
        assert set(found) <= {f"{n:05d}.jpg" for n in range(1, video["frames"] + 1)}
        gaps |= {entry["name"]} if len(found) < video["frames"] else set()
    assert gaps == planted(content, "no-face")


def test_images_are_missing_while_the_subject_is_away(corpus):
    folder, content = corpus
    for _, video, entry in entries(content):
        if entry["away"]:
            times = (np.arange(video["frames"]) + 0.5) / float(Fraction(video["rate"]))
            away = (times > entry["away"]["start"]) & (times < entry["away"]["end"])
            present = {int(name[:5]) - 1 for name in crops(folder, entry)}
            assert away.any()
            assert not present & set(np.flatnonzero(away).tolist())


def test_audio_is_missing_only_where_planted(corpus):
    folder, content = corpus
    silent = set()
    for name, video in content["videos"].items():
        with av.open(str(folder / video["file"])) as file:
            kinds = [stream.type for stream in file.streams]
            assert "video" in kinds
            silent |= set() if "audio" in kinds else {name}
        assert video["audio"] == ("audio" in kinds) == (folder / "truth" / "voice" / f"{name}.wav").exists()
    assert silent == planted(content, "no-audio")


def test_crops_are_aligned_faces_of_112_pixels(corpus):
    folder, content = corpus
    detector, eyes = DefaultDetector(), list[np.ndarray]()
    for _, _, entry in entries(content):
        image = read_image(folder / "cropped_aligned" / entry["name"] / crops(folder, entry)[0])
        assert image.shape == (112, 112, 3)
        wide = cv2.copyMakeBorder(luma_of(image), 56, 56, 56, 56, cv2.BORDER_REPLICATE)
        eyes += [face.landmarks[:2] - 56 for face in detector(wide)[:1]]
    assert len(eyes) >= 8
    distance = np.abs(np.array(eyes) - [(38.3, 51.7), (73.5, 51.5)]).max(axis=(1, 2))
    assert np.median(distance) < 4


def _found_at(frame, crop) -> float:
    """The horizontal position in the frame that a crop fits best, over several scales."""
    fits = []
    for scale in np.arange(0.5, 1.2, 0.05):
        template = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, best, _, (x, _) = cv2.minMaxLoc(cv2.matchTemplate(frame, template, cv2.TM_CCOEFF_NORMED))
        fits.append((best, x + template.shape[1] / 2))
    return max(fits)[1]


def test_left_and_right_are_the_sides_of_the_frame(corpus):
    folder, content = corpus
    pairs = [video for video in content["videos"].values() if len(video["entries"]) == 2]
    assert len(pairs) == 2
    for video in pairs:
        frame = next(VideoReader(folder / video["file"]).frames(np.array([0]))).rgb()
        for entry, left in zip(video["entries"], (True, False), strict=True):
            assert entry["name"].endswith("_left" if left else "_right")
            crop = read_image(folder / "cropped_aligned" / entry["name"] / "00001.jpg")[20:100, 15:97]
            assert (_found_at(frame, crop) < frame.shape[1] / 2) == left


def test_the_clean_voice_is_in_the_audio_at_the_stated_level(corpus):
    folder, content = corpus
    checked = 0
    for name, video in content["videos"].items():
        if not video["audio"]:
            continue
        with wave.open(str(folder / "truth" / "voice" / f"{name}.wav")) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
            voice = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        mixed = np.concatenate([block.samples for block in AudioReader(folder / video["file"]).blocks()])
        count = min(len(voice), len(mixed))
        assert abs(len(voice) - video["seconds"] * 16000) < 1
        background = mixed[:count] - voice[:count]
        snr_db = 10 * np.log10(np.mean(voice**2) / np.mean(background**2))
        if video["snr_db"] is None:
            assert snr_db > 20  # the error of the encoder
        else:
            assert snr_db == pytest.approx(video["snr_db"], abs=1.0)
            checked += 1
    assert checked >= 6


def test_the_record_has_the_script_of_each_subject(corpus):
    _, content = corpus
    assert content["arguments"] == {"videos": 12, "seconds": 4.0, "seed": 4}
    for _, video, entry in entries(content):
        script = entry["script"]
        assert script[0]["start"] == 0
        assert script[-1]["end"] == pytest.approx(video["seconds"], abs=1e-3)
        for segment in script:
            assert segment["emotion"] in AFFWILD2.names
            assert segment["speaks"] == (segment["voice"] is not None)


@pytest.fixture(scope="module")
def sampled_frames(corpus):
    """Every 18th frame of all videos, and the number of faces in it."""
    folder, content = corpus
    frames = []
    for video in content["videos"].values():
        for frame in VideoReader(folder / video["file"]).frames(np.arange(0, video["frames"], 18)):
            name = f"{frame.index + 1:05d}.jpg"
            faces = sum((folder / "cropped_aligned" / e["name"] / name).is_file() for e in video["entries"])
            frames.append((frame.rgb(), faces))
    return frames


def recall_of(detector, sampled_frames):
    found = [(len(detector(image if detector.colour else luma_of(image))), faces) for image, faces in sampled_frames]
    hits = [n >= k for n, faces in found for k in range(1, faces + 1)]
    assert len(hits) > 60
    return float(np.mean(hits))


def test_the_default_detector_finds_the_faces(sampled_frames):
    assert recall_of(DefaultDetector(), sampled_frames) >= 0.95


def test_yunet_finds_the_faces(sampled_frames):
    root = Path(os.environ.get("EMOFUSE_WEIGHTS") or Path(__file__).parents[4] / "shared" / "weights")
    weights = root / "yunet_n_640_640.onnx"
    if not weights.is_file():
        pytest.skip(f"no {weights}; set EMOFUSE_WEIGHTS")
    assert recall_of(YuNet(weights), sampled_frames) >= 0.95


def test_the_audio_of_files_is_not_at_the_sampling_rate_of_models(corpus):
    folder, content = corpus
    rates = set()
    for video in content["videos"].values():
        with av.open(str(folder / video["file"])) as file:
            rates |= {stream.rate for stream in file.streams.audio}
    assert rates == {44_100, 48_000}
