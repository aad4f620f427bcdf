"""The sample film and what it is made with: the drawn face, the voice, the writer."""

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emofuse.errors import MediaError, OutputError, SettingsError, ShapeError
from emofuse.media.encode import write_video
from emofuse.synthetic.render import EXPRESSIONS, Expression, FaceRenderer, Identity, Pose
from emofuse.synthetic.sample import SOUND_RATE_HZ, make_sample, sample_story, synthetic_voice

RATE = Fraction(10)
SIZE = (640, 360)
CASCADE = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
FRONTAL = (
    Pose(),
    Pose(x=0.42, roll=5, yaw=-10),
    Pose(x=0.57, scale=1.15, roll=-4, yaw=8),
    Pose(scale=0.85, nod_y=0.05),
)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    story = make_sample(path, seconds=6.0, size=SIZE, rate_hz=RATE, seed=3)
    return path, story


@pytest.fixture(scope="module")
def portraits():
    renderer = FaceRenderer(size=(1280, 720))
    return [
        cv2.resize(renderer.frame(face, pose), SIZE, interpolation=cv2.INTER_AREA)
        for face in EXPRESSIONS.values()
        for pose in FRONTAL
    ]


def haar_finds(image):
    return len(CASCADE.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 1.1, 5)) > 0


def pictures(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def dots(count, size=(32, 16)):
    return (np.full((size[1], size[0], 3), 40 + n, np.uint8) for n in range(count))


def test_the_same_seed_gives_the_same_bytes(film, tmp_path):
    make_sample(tmp_path / "again.mp4", seconds=6.0, size=SIZE, rate_hz=RATE, seed=3)
    assert (tmp_path / "again.mp4").read_bytes() == film[0].read_bytes()


def test_picture_and_sound_both_have_the_length_asked_for(film):
    with av.open(str(film[0])) as container:
        for stream in container.streams:
            assert stream.duration * stream.time_base == 6
            assert stream.start_time == 0
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]


def test_every_frame_is_there_and_on_time(film):
    assert [time for time, _ in pictures(film[0])] == pytest.approx([n / 10 for n in range(60)], abs=1e-9)


def test_the_story_tiles_the_film_on_frame_borders():
    story = sample_story(300, Fraction(30000, 1001))
    assert story[0][0] == 0
    assert story[-1][1] == float(300 / Fraction(30000, 1001))
    assert all(before[1] == after[0] for before, after in pairwise(story))


def test_no_face_is_shown_while_the_person_is_said_to_be_away(film):
    path, story = film
    start, end = next((start, end) for start, end, name in story if name == "away")
    shown = [image.astype(int) for time, image in pictures(path) if start <= time < end]
    assert len(shown) == 10
    assert not any(haar_finds(image.astype(np.uint8)) for image in shown[::5])
    # Nothing moves: it is the empty wall, without a shoulder or an ear at the edge.
    assert max(np.abs(image - shown[7]).max() for image in shown) < 24


def test_a_face_is_found_while_the_person_is_there(film):
    path, story = film
    still = [
        image
        for time, image in pictures(path)
        if not any(name == "away" and start - 0.7 < time < end + 0.7 for start, end, name in story)
    ]
    assert np.mean([haar_finds(image) for image in still[::3]]) >= 0.95


def test_haar_finds_frontal_faces_of_every_expression(portraits):
    assert np.mean([haar_finds(image) for image in portraits]) >= 0.95


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
def test_other_identities_are_found_too(identity):
    renderer = FaceRenderer(identity, size=SIZE)
    assert all(haar_finds(renderer.frame(EXPRESSIONS[name], Pose())) for name in ("neutral", "happiness"))


def test_expressions_mix_from_one_end_to_the_other():
    calm, glad = EXPRESSIONS["neutral"], EXPRESSIONS["happiness"]
    assert calm.towards(glad, 0.0) == calm
    assert calm.towards(glad, 1.0) == glad
    assert calm.towards(glad, 0.5).cheek == pytest.approx((calm.cheek + glad.cheek) / 2)


def test_a_shut_eye_and_any_strong_movement_can_be_drawn():
    renderer = FaceRenderer(size=(320, 180))
    for strength in (-1.5, 1.5):
        face = Expression(*[strength] * len(Expression.__dataclass_fields__))
        assert renderer.frame(face, Pose(x=0.98, yaw=30, roll=20)).shape == (180, 320, 3)


def test_an_earlier_pose_leaves_no_trace_in_the_next_frame():
    moved, fresh = FaceRenderer(size=(320, 180)), FaceRenderer(size=(320, 180))
    moved.frame(EXPRESSIONS["anger"], Pose(x=0.3, yaw=10))
    np.testing.assert_array_equal(
        moved.frame(EXPRESSIONS["neutral"], Pose()), fresh.frame(EXPRESSIONS["neutral"], Pose())
    )


def test_an_angry_voice_is_louder_and_higher_than_a_sad_one():
    def voice(name):
        story = [(0.0, 3.0, name)]
        return synthetic_voice([*story, (3.0, 4.0, "anger")], 4 * SOUND_RATE_HZ, rng=np.random.default_rng(1))

    def pitch(sound):
        spectrum = np.abs(np.fft.rfft(sound)) ** 2
        lags = np.fft.irfft(spectrum)[: SOUND_RATE_HZ // 80]
        return SOUND_RATE_HZ / (200 + int(np.argmax(lags[160 + 40 :])))

    sad, angry = (voice(name)[: 3 * SOUND_RATE_HZ] for name in ("sadness", "anger"))
    assert np.std(angry) > 1.5 * np.std(sad)
    assert pitch(angry) > pitch(sad)


def test_a_sample_too_short_for_its_story_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="needs 6 s"):
        make_sample(tmp_path / "x.mp4", seconds=3)


def test_the_writer_keeps_broken_rates_exactly(tmp_path):
    rate = Fraction(30000, 1001)
    write_video(tmp_path / "x.mp4", dots(30), rate_hz=rate)
    with av.open(str(tmp_path / "x.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [n / rate for n in range(30)]


def test_the_writer_takes_frames_only_as_it_needs_them(tmp_path):
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


def test_the_writer_says_what_is_wrong_with_a_frame(tmp_path):
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


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        write_video(tmp_path / "file" / "x.mp4", dots(1), rate_hz=RATE)
