"""Which audio track is scored: files of several tracks, one of them with a tone that comes and goes like a voice."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from emofuse.inference.audio_track import choose_track
from emofuse.media.container import MediaFile
from emofuse.speech.energy import EnergyDetector
from support.fused_bundles import predictor, write_bundle
from support.media_files import moving_bar

RATE = 16000


def voice(seconds=12):
    """Tones of 0.4 s with pauses."""
    t = np.arange(seconds * RATE) / RATE
    return 0.3 * np.sin(2 * np.pi * 300 * t) * (t % 1 < 0.4)


def hum(seconds=12):
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(seconds * RATE) / RATE)


def write_tracks(path, *tracks, default=None):
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=30)
        video.width, video.height = 64, 48
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in tracks]
        for n, stream in enumerate(streams if default is not None else []):
            stream.disposition = av.stream.Disposition.default if n == default else av.stream.Disposition(0)
        for image in moving_bar(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, 12 * RATE, RATE):
            for stream, samples in zip(streams, tracks, strict=True):
                packet = av.Packet((samples[start : start + RATE] * 32767).astype("<i2").tobytes())
                packet.stream, packet.time_base = stream, Fraction(1, RATE)
                packet.pts = packet.dts = start
                container.mux(packet)
    return path


def chosen(path):
    with MediaFile(path) as file:
        return choose_track(file, EnergyDetector(), RATE)


def test_a_single_track_needs_no_choice(tmp_path):
    assert chosen(write_tracks(tmp_path / "a.mkv", voice())) == (None, "")


@pytest.mark.parametrize("tracks", [(0 * voice(), voice()), (0 * voice(), hum(), voice()), (hum(), voice(), hum())])
def test_the_track_with_speech_is_chosen(tmp_path, tracks):
    track = chosen(write_tracks(tmp_path / "a.mkv", *tracks))
    place = [np.array_equal(samples, voice()) for samples in tracks].index(True) + 1
    assert track[0] == place  # stream 0 is the video
    assert track.note.startswith(f"has {len(tracks)} audio tracks: track {place} is scored, which has ")


def test_the_default_track_is_preferred_among_tracks_with_speech(tmp_path):
    track = chosen(write_tracks(tmp_path / "a.mkv", voice(), 0.9 * voice(), default=1))
    assert track == (2, "has 2 audio tracks: track 2 is scored, the default one")


def test_of_silent_tracks_the_default_one_is_chosen(tmp_path):
    assert chosen(write_tracks(tmp_path / "a.mkv", 0 * voice(), 0 * voice()))[0] == 1


def test_the_choice_is_a_warning_of_the_prediction(tmp_path):
    bundle = write_bundle(tmp_path, {"voice": 1.0})
    path = write_tracks(tmp_path / "a.mkv", 0 * voice(), voice())
    prediction = predictor(bundle).predict(path)
    assert prediction.metadata["warnings"][0].startswith("has 2 audio tracks: track 2 is scored, which has ")
    assert any(scores.valid.any() for scores in prediction.scores.values())
