from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.errors import DataError
from emofuse.export import WRITERS, ResultTable
from emofuse.words import read_transcript, transcript_beside
from emofuse.words.transcript_files import SUFFIXES

SRT = "1\n00:00:01,500 --> 00:00:03,000\n<i>Hello</i> there.\n\n2\n00:00:03,000 --> 00:00:04,000\n- Bye.\n"
VTT = (
    "WEBVTT\n\nNOTE made by hand\n\n00:01.500 --> 00:03.000 align:start\n<v Anna>Hello <00:02.000>there.\n\n"
    "00:03.000 --> 00:04.000\n<v.loud Ben>Tom &amp; I?</v>\n\n00:05.000 --> 00:06.000\n[music]\n"
)
LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 4
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 4
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = ""
        intervals [2]:
            xmin = 1.5
            xmax = 4
            text = "She said ""no"" 3 times."
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 4
        points: size = 1
        points [1]:
            number = 2
            mark = "click"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 4
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 4
            text = "n"
"""
SHORT_GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n4\n<exists>\n2\n"IntervalTier"\n"Anna"\n0\n4\n1\n0\n4\n'
    '"Hello."\n"IntervalTier"\n"Ben"\n0\n4\n2\n0\n2\n""\n2\n4\n"Bye."\n'
)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def refused(path: Path) -> str:
    """The message if a file is refused, or "" if it has cues."""
    try:
        return "" if read_transcript(path).cues else "no cues\n"
    except DataError as error:
        return str(error)


def to_bytes(pieces: list[str]) -> bytes:
    return "".join(pieces).encode()


def cues(path: Path) -> list[tuple[float, float, str, str | None]]:
    return [(c.start / ticks(1), c.end / ticks(1), c.text, c.speaker) for c in read_transcript(path).cues]


def whisper(path: Path, *segments: dict[str, object], **more: object) -> Path:
    return written(path, json.dumps({"segments": segments, **more}))


def test_subtitles_are_cues_without_markup(tmp_path):
    assert cues(written(tmp_path / "t.srt", SRT)) == [(1.5, 3, "Hello there.", None), (3, 4, "Bye.", None)]


def test_voice_tags_name_the_speaker_and_music_is_left_out(tmp_path):
    assert cues(written(tmp_path / "t.vtt", VTT)) == [(1.5, 3, "Hello there.", "Anna"), (3, 4, "Tom & I?", "Ben")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-8"])
def test_encodings_are_recognised(tmp_path, encoding):
    transcript = read_transcript(written(tmp_path / "t.srt", SRT.replace("Bye", "Tschüss"), encoding))
    assert (transcript.cues[1].text, transcript.warnings) == ("Tschüss.", ())


def test_latin_1_is_read_with_a_warning(tmp_path):
    transcript = read_transcript(written(tmp_path / "t.srt", SRT.replace("Bye", "Tschüss"), "cp1252"))
    assert transcript.cues[1].text == "Tschüss."
    assert transcript.warnings == ("t.srt is not UTF-8 and was read as Latin-1",)


def test_line_ends_of_windows_do_not_matter(tmp_path):
    assert cues(written(tmp_path / "w.srt", SRT.replace("\n", "\r\n"))) == cues(written(tmp_path / "t.srt", SRT))


def test_segments_of_whisper_have_words_with_times_and_a_language(tmp_path):
    words = [{"word": " Oh", "start": 1.0, "end": 1.2, "probability": 0.9}, {"word": " no.", "start": 1.5, "end": 2.0}]
    path = whisper(tmp_path / "t.json", {"start": 1.0, "end": 2.0, "text": " Oh no.", "words": words}, language="en")
    transcript = read_transcript(path)
    assert transcript.language == "en"
    assert [word.text for word in transcript.cues[0].words] == ["Oh", "no."]
    assert transcript.cues[0].words[1].start == ticks(1.5)


def test_segments_of_whisperx_have_speakers_and_may_lack_times_of_words(tmp_path):
    segment = {"start": 0.5, "end": 1, "text": " In 1999.", "speaker": "SPEAKER_01", "words": [{"word": "In"}]}
    path = whisper(tmp_path / "t.json", segment)
    assert cues(path) == [(0.5, 1, "In 1999.", "SPEAKER_01")]
    assert read_transcript(path).cues[0].words == ()


def test_a_list_of_segments_is_a_transcript_too(tmp_path):
    path = written(tmp_path / "t.json", json.dumps([{"start": 0, "end": 1, "text": "Yes."}]))
    assert cues(path) == [(0, 1, "Yes.", None)]


def test_tiers_of_words_in_the_long_form_are_read(tmp_path):
    assert cues(written(tmp_path / "t.TextGrid", LONG_GRID)) == [(1.5, 4, 'She said "no" 3 times.', None)]


def test_several_tiers_in_the_short_form_are_speakers(tmp_path):
    path = written(tmp_path / "t.TextGrid", SHORT_GRID, "utf-16")
    assert cues(path) == [(0, 2, "Hello.", "Anna"), (2, 4, "Bye.", "Ben")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.srt", "", r"t\.srt: is empty; give WebVTT or SRT"),
        ("t.srt", "a letter to my aunt", r"t\.srt: holds no words"),
        ("t.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n[music]\n", "holds no words"),
        (
            "t.srt",
            SRT.replace("00:00:03,000\n<i>", "00:00:01,000\n<i>"),
            "line 2: ends at 1 s, before its start at 1.5 s",
        ),
        ("t.srt", SRT.replace("00:00:04", "00:70:04"), "line 6: 3 to nan s are not times"),
        ("t.doc", "hello", r"t\.doc: is not a transcript; give WebVTT or SRT"),
        ("t.json", "{", "is not JSON"),
        ("t.json", '{"a": 1}', "has no segments"),
        ("t.json", '[{"start": 1, "text": "a"}]', "segment 1: lacks a start, an end or a text"),
        ("t.json", '[{"start": 2, "end": 1, "text": "a"}]', "segment 1: ends at 1 s, before its start at 2 s"),
        ("t.json", '[{"start": -2, "end": 1, "text": "a"}]', "segment 1: -2 to 1 s are not times"),
        ("t.json", '["a"]', "segment 1: lacks a start"),
        ("t.json", '[{"start": 0, "end": 1, "text": null}]', "segment 1: lacks a start, an end or a text"),
        ("t.json", '[{"start": NaN, "end": 1, "text": "a"}]', "segment 1: nan to 1 s are not times"),
        ("t.json", "[" * 100_000, "is not JSON"),
        ("t.TextGrid", "hello", "is not a TextGrid of Praat"),
        ("t.TextGrid", LONG_GRID[:300], "is a damaged TextGrid"),
        (
            "t.vtt",
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<v person 1>anger 0.56\n",
            "holds emotions, as emofuse writes them",
        ),
    ],
)
def test_what_is_no_transcript_is_refused_in_one_line(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message) as error:
        read_transcript(written(tmp_path / name, text))
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "t.srt").write_bytes(b"\xff\x81\x8d" * 50)
    with pytest.raises(DataError, match="is not text in UTF-8 or Latin-1; save it as UTF-8"):
        read_transcript(tmp_path / "t.srt")


def test_utf_16_that_is_cut_off_is_refused(tmp_path):
    (tmp_path / "t.srt").write_bytes(SRT.encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"t\.srt: (is cut off|cannot be read)"):
        read_transcript(tmp_path / "t.srt")


PIECES = st.sampled_from(
    [
        *'\n :,.[]{}"<>-0123456789',
        "-->",
        "00:00:01,000 --> ",
        "xmin = ",
        '"IntervalTier"',
        '"segments"',
        '"start"',
        '"text"',
    ]
)


@given(st.sampled_from(SUFFIXES), st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=40).map(to_bytes)))
def test_any_file_is_read_or_refused_in_one_line(tmp_path_factory, suffix, content):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    starts = {".TextGrid": LONG_GRID[:90].encode(), ".json": b'{"segments": '}
    for head in (b"", starts.get(suffix, b"WEBVTT\n\n")):
        path.write_bytes(head + content)
        assert "\n" not in refused(path)


@pytest.mark.parametrize("form", ["srt", "webvtt", "praat"])
def test_emotions_that_emofuse_wrote_are_not_taken_for_words(tmp_path, form):
    rows = pd.DataFrame(
        {"person": 1, "start": [0.0], "end": [1.0], "status": "ok", "anger": [0.75], "joy": 0.25, "emotion": "anger"}
    )
    path = tmp_path / f"t{WRITERS[form].extension}"
    WRITERS[form].write(ResultTable("t.mp4", ("anger", "joy"), {}, [rows]), path)
    with pytest.raises(DataError, match="holds emotions"):
        read_transcript(path)


def test_a_transcript_beside_a_video_has_its_name(tmp_path):
    video = tmp_path / "talk.mp4"
    written(tmp_path / "other.srt", SRT)
    written(tmp_path / "talk.json", '{"rows": []}')
    assert transcript_beside(video) is None
    whisper(tmp_path / "talk.json", {"start": 0, "end": 1, "text": "a"})
    assert transcript_beside(video) == tmp_path / "talk.json"
    written(tmp_path / "talk.srt", SRT)
    assert transcript_beside(video) == tmp_path / "talk.srt"
