"""A transcript in the formats that OpenAI answers in."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from avatar_service.sandbox.transcript import Segment, Transcript, Word


def plain(transcript: Transcript, model: str, *, logprobs: bool = False) -> dict[str, Any]:
    """Return the answer of ``json``."""
    body: dict[str, Any] = {"text": transcript.text, "usage": usage(transcript, model)}
    if logprobs:
        body["logprobs"] = [entry for word in transcript.words for entry in _logprobs(word)]
    if model == "gpt-transcribe":
        body["languages"] = _languages(transcript)
    return body


def verbose(transcript: Transcript, granularities: Sequence[str], task: str) -> dict[str, Any]:
    """Return the answer of ``verbose_json``; words only where they are asked for."""
    body: dict[str, Any] = {
        "task": task,
        "language": "english",
        "duration": transcript.duration_s,
        "text": transcript.text,
        "usage": usage(transcript, "whisper-1"),
    }
    if "word" in granularities:
        words = (word for word in transcript.words if word.bare)
        body["words"] = [{"word": word.bare, "start": word.start_s, "end": word.end_s} for word in words]
    if not granularities or "segment" in granularities:
        body["segments"] = [_segment(number, segment) for number, segment in enumerate(transcript.sentences)]
    return body


def srt(transcript: Transcript) -> str:
    """Return SubRip subtitles."""
    return "".join(
        f"{number}\n{_clock(sentence.start_s, ',')} --> {_clock(sentence.end_s, ',')}\n{sentence.text.strip()}\n\n"
        for number, sentence in enumerate(transcript.sentences, 1)
    )


def vtt(transcript: Transcript) -> str:
    """Return WebVTT subtitles."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(sentence.start_s, '.')} --> {_clock(sentence.end_s, '.')}\n{sentence.text.strip()}\n\n"
        for sentence in transcript.sentences
    )


def delta_events(window: Segment, *, is_first: bool, logprobs: bool) -> Iterator[dict[str, Any]]:
    """Yield the events of what was heard in one window, one a word."""
    texts = [word.text for word in window.words] or [" " + word for word in window.text.split(" ")]
    for number, text in enumerate(texts):
        begins = is_first and number == 0
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": text.lstrip() if begins else text}
        if logprobs:
            event["logprobs"] = _logprobs(window.words[number])
        yield event


def done_event(transcript: Transcript, model: str, *, logprobs: bool) -> dict[str, Any]:
    """Return the event that ends the stream."""
    return {"type": "transcript.text.done", **plain(transcript, model, logprobs=logprobs)}


def usage(transcript: Transcript, model: str) -> dict[str, Any]:
    """Return what the vendor would bill: seconds for whisper-1, tokens for the others."""
    if model == "whisper-1":
        return {"type": "duration", "seconds": math.ceil(transcript.duration_s)}
    heard = math.ceil(transcript.duration_s * 10)
    said = sum(len(window.tokens) for window in transcript.windows)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
        "output_tokens": said,
        "total_tokens": heard + said,
    }


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def _logprobs(word: Word) -> list[dict[str, Any]]:
    return [
        {"token": text, "bytes": list(text.encode()), "logprob": logprob}
        for text, logprob in zip(word.token_texts, word.logprobs, strict=True)
    ]


def _languages(transcript: Transcript) -> list[dict[str, str]]:
    return [{"code": "en"}] if transcript.text else []


def _clock(time_s: float, point: str) -> str:
    """Return ``00:01:02,345``."""
    whole_ms = round(time_s * 1000)
    seconds, ms = divmod(whole_ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"
