"""Transcripts in the vendor's formats."""

import json

import pytest

from avatar_service.sandbox.errors import VendorError
from avatar_service.sandbox.transcript import Hearing, Segment, Transcript, Word
from avatar_service.sandbox.transcript_formats import delta_events, done_event, plain, srt, verbose, vtt
from avatar_service.sandbox.transcription_form import Form, check_form

WORDS = (
    Word(" Hello", 0.0, 0.5, (1,), (" Hello",), (-0.1,)),
    Word(".", 0.5, 0.6, (2,), (".",), (-0.3,)),
    Word(" What", 0.6, 0.9, (3,), (" What",), (-0.5,)),
    Word(" now?", 0.9, 1.25, (4, 5), (" now", "?"), (-0.1, -0.1)),
)
WINDOW = Segment("Hello. What now?", 0.0, 3.0, (1, 2, 3, 4, 5), -0.2, 0.01, WORDS)
HEARD = Transcript(3661.5, (WINDOW,))


def test_segments_are_sentences() -> None:
    first, second = HEARD.sentences
    assert (first.text, first.start_s, first.end_s, first.tokens) == (" Hello.", 0.0, 0.6, (1, 2))
    assert first.avg_logprob == pytest.approx(-0.2)
    assert (second.text, second.start_s, second.end_s) == (" What now?", 0.6, 1.25)


def test_a_long_sentence_is_cut() -> None:
    words = tuple(Word(f" w{number}", float(number), number + 1.0) for number in range(25))
    window = Segment("", 0.0, 25.0, (), 0.0, 0.0, words)
    assert [len(segment.words) for segment in Transcript(25.0, (window,)).sentences] == [11, 11, 3]


def test_subtitles() -> None:
    assert srt(HEARD) == ("1\n00:00:00,000 --> 00:00:00,600\nHello.\n\n2\n00:00:00,600 --> 00:00:01,250\nWhat now?\n\n")
    assert vtt(HEARD) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.600\nHello.\n\n00:00:00.600 --> 00:00:01.250\nWhat now?\n\n"
    )


def test_hours_are_counted() -> None:
    late = Transcript(0.0, (Segment("x", 0, 0, (), 0, 0, (Word(" x.", 3661.5, 3662.0),)),))
    assert "01:01:01,500 --> 01:01:02,000" in srt(late)


def test_the_verbose_answer_has_what_is_asked_for() -> None:
    words = verbose(HEARD, ["word"], "transcribe")
    assert [word["word"] for word in words["words"]] == ["Hello", "What", "now"], "marks are no words"
    assert "segments" not in words
    segments = verbose(HEARD, [], "translate")
    assert (segments["task"], segments["duration"]) == ("translate", 3661.5)
    assert [segment["id"] for segment in segments["segments"]] == [0, 1]
    assert "words" not in segments
    json.dumps(verbose(HEARD, ["word", "segment"], "transcribe"))


def test_usage_is_in_seconds_for_whisper_and_in_tokens_for_others() -> None:
    assert plain(HEARD, "whisper-1")["usage"] == {"type": "duration", "seconds": 3662}
    usage = plain(HEARD, "gpt-4o-transcribe")["usage"]
    assert (usage["type"], usage["output_tokens"]) == ("tokens", 5)
    assert usage["total_tokens"] == usage["input_tokens"] + 5
    assert plain(HEARD, "gpt-transcribe")["languages"] == [{"code": "en"}]


def test_log_probabilities_are_told_token_by_token() -> None:
    entries = plain(HEARD, "gpt-4o-transcribe", logprobs=True)["logprobs"]
    assert "".join(entry["token"] for entry in entries) == " Hello. What now?"
    assert entries[0] == {"token": " Hello", "bytes": list(b" Hello"), "logprob": -0.1}


@pytest.mark.parametrize("window", [WINDOW, Segment("Hello. What now?", 0, 3, (), 0, 0, ())])
def test_deltas_spell_the_text(window: Segment) -> None:
    events = [
        *delta_events(window, is_first=True, logprobs=False),
        *delta_events(window, is_first=False, logprobs=False),
    ]
    text = "".join(event["delta"] for event in events)
    assert text == "Hello. What now? Hello. What now?"
    assert text == done_event(Transcript(6.0, (window, window)), "gpt-transcribe", logprobs=False)["text"]


def form(**fields: str | list[str]) -> Form:
    listed = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    return Form(b"sound", "a.wav", "", {"model": ["whisper-1"], **listed})


def test_a_form_is_understood() -> None:
    asked = check_form(form(prompt="Ada", temperature="0.4", response_format="srt"), "transcribe")
    assert asked.hearing == Hearing(prompt="Ada", temperature=0.4, words=True)
    assert (asked.model, asked.response_format, asked.stream) == ("whisper-1", "srt", False)
    streamed = check_form(form(model="gpt-transcribe", stream="true", keywords=["Ada", "Bo"]), "transcribe")
    assert (streamed.stream, streamed.hearing.keywords) == (True, ("Ada", "Bo"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "srt", "model": "gpt-4o-transcribe"}, "response_format"),
        ({"response_format": "text", "model": "gpt-4o-mini-transcribe"}, "response_format"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"temperature": "1.5"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"language": "de"}, "language"),
        ({"languages": ["en", "fr"]}, "languages"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"timestamp_granularities": ["phrase"], "response_format": "verbose_json"}, "timestamp_granularities"),
        ({"include": ["logprobs"]}, "include"),
        ({"include": ["words"], "model": "gpt-4o-transcribe"}, "include"),
        ({"known_speaker_names": ["Ada"]}, "known_speaker_names"),
        ({"model": "gpt-4o-transcribe-diarize"}, "model"),
    ],
)
def test_what_is_not_served_is_refused_by_name(fields: dict[str, str | list[str]], param: str) -> None:
    with pytest.raises(VendorError) as caught:
        check_form(form(**fields), "transcribe")
    assert caught.value.body["error"]["param"] == param


def test_translations_are_whispers_alone() -> None:
    assert check_form(form(), "translate").task == "translate"
    with pytest.raises(VendorError):
        check_form(form(model="gpt-4o-transcribe"), "translate")


@pytest.mark.parametrize(
    ("name", "content_type", "is_told"),
    [
        ("a.wav", "", True),
        ("a.MP3", "", True),
        ("upload", "audio/webm", True),
        ("a.txt", "audio/x-wav", True),
        ("upload", "application/octet-stream", False),
        ("wav", "text/plain", True),
        ("a.pcm", "", False),
    ],
)
def test_name_or_type_must_tell_the_format(name: str, content_type: str, is_told: bool) -> None:
    given = Form(b"sound", name, content_type, {"model": ["whisper-1"]})
    if is_told:
        assert check_form(given, "transcribe").upload == b"sound"
    else:
        with pytest.raises(VendorError, match="400"):
            check_form(given, "transcribe")
