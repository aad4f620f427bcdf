"""Bundles of several networks for faces and several voices: each is scored as if it were alone, and all are fused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.time import ticks
from emofuse.errors import BundleError, SettingsError
from emofuse.faces.crop import BoxCrop
from emofuse.fusion.weighted import WeightedFusion
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.media.video import VideoReader
from emofuse.models.bundle import Bundle, load, write_bundle
from emofuse.models.fusion import ModalityFusion
from support.fused_bundles import RATE, predictor, table, write_several, write_video
from support.speech_bundles import tone

NAMES = ("face", "face-windows", "face-windows:other", "voice", "voice:other")


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    return write_several(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """10 s with a voice; a second person comes after 4 s."""
    levels = [(120 + 2 * n, 200 - n if n >= 20 else 0) for n in range(50)]
    path = tmp_path_factory.mktemp("video") / "two.mkv"
    return write_video(path, levels, tone(2, 10, 0, rate=44_100))


def with_weights(bundle: Bundle, folder: Path, *names: str) -> Path:
    """The bundle of one network for faces and one voice, if there are such."""
    first = {m.partition(":")[2] for m in names}
    assert len(first) == 1
    suffix = f":{first.pop()}" if first != {""} else ""
    networks = {key: n for key, n in bundle.networks.items() if key.partition(":")[2] == suffix[1:]}
    plain = tuple(m.removesuffix(suffix) for m in names)
    fusion = ModalityFusion(WeightedFusion("mcwf", plain, AFFWILD2, table(*[1 / len(plain)] * len(plain))))
    face, voice = networks["face" + suffix], networks["voice" + suffix]
    write_bundle(folder, replace(bundle, face=face, voice=voice, further={}, fusion=fusion))
    return folder


def test_each_modality_has_the_scores_of_its_network_alone(several, video, tmp_path):
    bundle, found = load(several), predictor(several).predict(video)
    assert found.modality_names == bundle.modalities == NAMES
    for n, names in enumerate((("face", "face-windows", "voice"), ("face-windows:other", "voice:other"))):
        alone = predictor(with_weights(bundle, tmp_path / str(n), *names)).predict(video)
        assert found.timeline == alone.timeline
        for person in (1, 2):
            for name in names:
                expected, scores = alone.modalities[person][name.partition(":")[0]], found.modalities[person][name]
                assert scores.valid.tolist() == expected.valid.tolist()
                np.testing.assert_allclose(scores.values, expected.values, atol=1e-6)


def test_all_modalities_are_fused_and_persons_share_all_voices(several, video):
    found = predictor(several).predict(video)
    row = 40  # both persons are there, and every modality is valid
    for person in (1, 2):
        scores = {name: s.values[row] for name, s in found.modalities[person].items() if s.valid[row]}
        assert set(scores) == set(NAMES)
        shared = {name: 0.1 if name.startswith("voice") else 0.2 for name in NAMES}
        expected = sum(shared[name] * scores[name] for name in NAMES) / sum(shared.values())
        np.testing.assert_allclose(found.scores[person].values[row], expected, atol=1e-6)


def test_rows_without_a_face_are_scored_by_the_voices(several, tmp_path):
    levels = [(150 if n < 25 else 0,) for n in range(50)]
    found = predictor(several).predict(write_video(tmp_path / "a.mkv", levels, tone(2, 10, 0, rate=44_100)))
    assert found.table().status.tolist() == ["ok"] * 25 + ["voice_only"] * 25


@pytest.mark.parametrize("seed", [0, 1])
def test_random_pushes_of_frames_and_of_audio_at_each_rate_have_the_result_of_predict(several, video, seed):
    loaded, rng = predictor(several), np.random.default_rng(seed)
    whole, session, collector = loaded.predict(video), loaded.session(), loaded.collector()
    with VideoReader(video) as reader:
        frames, end = list(reader.frames()), reader.end
    audio = {}
    for key, rate in (("voice", RATE), ("voice:other", RATE // 2)):
        with AudioReader(video, rate_hz=rate) as reader:
            audio[key] = np.concatenate([block.samples for block in reader.blocks()]), rate
    pushed = dict.fromkeys(("frames", *audio), 0)
    while pushed["frames"] < len(frames) or any(pushed[k] < len(samples) for k, (samples, _) in audio.items()):
        what, start = (choice := rng.choice(list(pushed))), pushed[choice]
        size = int(rng.integers(1, 15 if what == "frames" else 6000))
        if what == "frames":
            collector.add(session.push_frames(frames[start : start + size]))
        elif start < len(audio[what][0]):
            samples, rate = audio[what]
            collector.add(
                session.push_audio(AudioBlock(samples[start : start + size], start * ticks(1) // rate, rate), what)
            )
        pushed[what] += size
    collector.add(session.close(end))
    found = collector.prediction(video.name, "x", {})
    for person in (1, 2):
        np.testing.assert_allclose(found.scores[person].values, whole.scores[person].values, atol=1e-4)


def test_a_written_bundle_keeps_the_files_of_further_networks_in_folders_of_their_names(several):
    bundle = load(several)
    assert list(bundle.networks) == ["face", "voice", "face:other", "voice:other"]
    assert {n.net.relative_to(several).as_posix() for n in bundle.networks.values()} == {
        "face.onnx", "voice.onnx", "other/face.onnx", "other/voice.onnx"
    }  # fmt: skip
    assert bundle.further["face:other"].head == several / "other" / "head.safetensors"


def test_networks_for_faces_with_other_crops_are_refused(several):
    bundle = load(several)
    other = replace(bundle.further["face:other"], crop=BoxCrop(16))
    with pytest.raises(SettingsError, match="its networks for faces differ in their crop or smoothing"):
        replace(bundle, further=dict(bundle.further) | {"face:other": other})


def test_a_network_without_a_weight_and_a_wrong_name_are_refused(several):
    bundle = load(several)
    with pytest.raises(SettingsError, match="voice:idle has no weight in the fusion"):
        replace(bundle, further=dict(bundle.further) | {"voice:idle": bundle.voice})
    with pytest.raises(SettingsError, match=r"network 'voice:\.\./x': name it face:NAME or voice:NAME"):
        replace(bundle, further=dict(bundle.further) | {"voice:../x": bundle.voice})


def test_a_damaged_file_of_a_further_network_is_named(several, tmp_path):
    import shutil

    copy = Path(shutil.copytree(several, tmp_path / "copy"))
    (copy / "other" / "voice.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"other/voice\.onnx is damaged"):
        load(copy)
