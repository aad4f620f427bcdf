"""The sample video and its parts: the rendered face, the voice, the video writer."""

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emofuse.errors import MediaError, OutputError, SettingsError, ShapeError
from emofuse.faces.default import DefaultDetector
from emofuse.media.encode import write_video
from emofuse.media.images import luma_of
from emofuse.synthetic.render import EXPRESSIONS, Expression, FaceRenderer, Identity, Pose
from emofuse.synthetic.sample import SPEECH_RATE_HZ, make_sample, sample_script, synthetic_voice

RATE = Fraction(10)
SIZE = (640, 360)
DETECTOR = DefaultDetector()
FRONTAL = (
    Pose(),
    Pose(x=0.42, roll=5, yaw=-10),
    Pose(x=0.57, scale=1.15, roll=-4, yaw=8),
    Pose(scale=0.85, nod_y=0.05),
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    script = make_sample(path, seconds=6.0, size=SIZE, rate_hz=RATE, seed=3)
    return path, script


@pytest.fixture(scope="module")
def portraits():
    renderer = FaceRenderer(size=(1280, 720))
    return [
        cv2.resize(renderer.frame(face, pose), SIZE, interpolation=cv2.INTER_AREA)
        for face in EXPRESSIONS.values()
        for pose in FRONTAL
    ]


def face_found(image):
    return len(DETECTOR(luma_of(image))) > 0


def timed_frames(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def dots(count, size=(32, 16)):
    return (np.full((size[1], size[0], 3), 40 + n, np.uint8) for n in range(count))


def test_the_same_seed_gives_the_same_bytes(sample, tmp_path):
    make_sample(tmp_path / "again.mp4", seconds=6.0, size=SIZE, rate_hz=RATE, seed=3)
    assert (tmp_path / "again.mp4").read_bytes() == sample[0].read_bytes()


def test_video_and_audio_have_the_requested_length(sample):
    with av.open(str(sample[0])) as container:
        for stream in container.streams:
            assert stream.duration * stream.time_base == 6
            assert stream.start_time == 0
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]


def test_every_frame_has_its_timestamp(sample):
    assert [time for time, _ in timed_frames(sample[0])] == pytest.approx([n / 10 for n in range(60)], abs=1e-9)


def test_the_script_covers_the_video_without_gaps():
    script = sample_script(300, Fraction(30000, 1001))
    assert script[0][0] == 0
    assert script[-1][1] == float(300 / Fraction(30000, 1001))
    assert all(before[1] == after[0] for before, after in pairwise(script))


def test_there_is_no_face_while_the_subject_is_away(sample):
    path, script = sample
    start, end = next((start, end) for start, end, name in script if name == "away")
    shown = [image.astype(int) for time, image in timed_frames(path) if start <= time < end]
    assert len(shown) == 10
    assert not any(face_found(image.astype(np.uint8)) for image in shown[::5])
    # Only the wall, which does not move, without a shoulder or an ear at the edge.
    assert max(np.abs(image - shown[7]).max() for image in shown) < 24


def test_a_face_is_found_while_the_subject_is_in_the_frame(sample):
    path, script = sample
    still = [
        image
        for time, image in timed_frames(path)
        if not any(name == "away" and start - 0.7 < time < end + 0.7 for start, end, name in script)
    ]
    assert np.mean([face_found(image) for image in still[::3]]) >= 0.95


def test_the_default_detector_finds_frontal_faces_of_every_expression(portraits):
    assert np.mean([face_found(image) for image in portraits]) >= 0.95


def test_yunet_finds_frontal_faces_of_every_expression(portraits):
    root = Path(os.environ.get("EMOFUSE_WEIGHTS") or Path(__file__).parents[3] / "shared" / "weights")
    weights = root / "yunet_n_640_640.onnx"
    if not weights.exists():
        pytest.skip(f"{weights} is missing; set EMOFUSE_WEIGHTS to the folder that holds it")
    detector = cv2.FaceDetectorYN.create(str(weights), "", SIZE, 0.7)
    found = [detector.detect(np.ascontiguousarray(image[..., ::-1]))[1] is not None for image in portraits]
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("identity", [
    Identity(skin=(112, 74, 54), hair=(24, 20, 20), iris=(58, 38, 26), lips=(122, 62, 60), face_width=1.06),
    Identity(skin=(240, 205, 185), hair=(188, 150, 96), hair_length=0.9, jaw_width=0.92, lip_fullness=1.2),
])  # fmt: skip
def test_faces_of_other_identities_are_found(identity):
    renderer = FaceRenderer(identity, size=SIZE)
    assert all(face_found(renderer.frame(EXPRESSIONS[name], Pose())) for name in ("neutral", "happiness"))


def test_expressions_are_interpolated():
    calm, glad = EXPRESSIONS["neutral"], EXPRESSIONS["happiness"]
    assert calm.towards(glad, 0.0) == calm
    assert calm.towards(glad, 1.0) == glad
    assert calm.towards(glad, 0.5).cheek == pytest.approx((calm.cheek + glad.cheek) / 2)


def test_extreme_expressions_can_be_rendered():
    renderer = FaceRenderer(size=(320, 180))
    for strength in (-1.5, 1.5):
        face = Expression(*[strength] * len(Expression.__dataclass_fields__))
        assert renderer.frame(face, Pose(x=0.98, yaw=30, roll=20)).shape == (180, 320, 3)


def test_a_frame_does_not_depend_on_earlier_frames():
    moved, fresh = FaceRenderer(size=(320, 180)), FaceRenderer(size=(320, 180))
    moved.frame(EXPRESSIONS["anger"], Pose(x=0.3, yaw=10))
    np.testing.assert_array_equal(
        moved.frame(EXPRESSIONS["neutral"], Pose()), fresh.frame(EXPRESSIONS["neutral"], Pose())
    )


def test_an_angry_voice_is_louder_and_higher_than_a_sad_one():
    def voice(name):
        script = [(0.0, 3.0, name)]
        return synthetic_voice([*script, (3.0, 4.0, "anger")], 4 * SPEECH_RATE_HZ, rng=np.random.default_rng(1))

    def pitch(audio):
        spectrum = np.abs(np.fft.rfft(audio)) ** 2
        lags = np.fft.irfft(spectrum)[: SPEECH_RATE_HZ // 80]
        return SPEECH_RATE_HZ / (200 + int(np.argmax(lags[160 + 40 :])))

    sad, angry = (voice(name)[: 3 * SPEECH_RATE_HZ] for name in ("sadness", "anger"))
    assert np.std(angry) > 1.5 * np.std(sad)
    assert pitch(angry) > pitch(sad)


def test_a_sample_too_short_for_its_script_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="give at least 6 s"):
        make_sample(tmp_path / "x.mp4", seconds=3)


def test_the_writer_keeps_fractional_frame_rates_exactly(tmp_path):
    rate = Fraction(30000, 1001)
    write_video(tmp_path / "x.mp4", dots(30), rate_hz=rate)
    with av.open(str(tmp_path / "x.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [n / rate for n in range(30)]


def test_the_writer_takes_frames_on_demand(tmp_path):
    given = []

    def frames():
        for n, image in enumerate(dots(5)):
            given.append(n)
            yield image
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_video(tmp_path / "x.mp4", frames(), rate_hz=RATE)
    assert given == [0, 1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_the_writer_refuses_invalid_frames_and_settings(tmp_path):
    with pytest.raises(ShapeError, match="even sides"):
        write_video(tmp_path / "x.mp4", dots(1, (31, 16)), rate_hz=RATE)
    with pytest.raises(ShapeError, match="no frame"):
        write_video(tmp_path / "x.mp4", dots(0), rate_hz=RATE)
    with pytest.raises(ShapeError, match="one size"):
        write_video(tmp_path / "x.mp4", [*dots(1), *dots(1, (64, 16))], rate_hz=RATE)
    with pytest.raises(SettingsError, match="unknown video format"):
        write_video(tmp_path / "x.txt", dots(1), rate_hz=RATE)
    with pytest.raises(MediaError, match="refused"):
        write_video(tmp_path / "x.mp4", dots(1), rate_hz=RATE, audio=np.zeros(100, np.float32), audio_rate_hz=1)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="there is a file where a folder is needed"):
        write_video(tmp_path / "file" / "x.mp4", dots(1), rate_hz=RATE)
