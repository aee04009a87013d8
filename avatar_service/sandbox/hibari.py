"""The voice: hibari-tts (Apache-2.0), its one bundled voice, 24 kHz, one thread.

One call of the model speaks one whole sentence, in about a hundredth of the sentence's duration.
"""

import importlib
from typing import Any, Final

import numpy as np

from avatar_service.sandbox.audio import Samples, trim_leading_silence
from avatar_service.sandbox.errors import SandboxError

RATE_HZ: Final = 24_000

_LEADING_SILENCE_S: Final = 0.05
"""Of the third of a second that the model puts before every sentence."""
_UNSPEAKABLE_S: Final = 0.2
"""Silence that stands for a text without anything to pronounce."""


class HibariVoice:
    """The loaded model. One sentence at a time, from one thread."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def load(cls) -> "HibariVoice":
        """Load the weights and the pronunciation rules, and speak once."""
        try:
            hibari = importlib.import_module("hibari")
        except ImportError as error:
            raise SandboxError("hibari-tts is not installed: pip install 'avatar-service[sandbox]'") from error
        voice = cls(hibari.Hibari(threads=1))
        voice.synthesize(voice.phonemize("Hello there.")[0])
        return voice

    def phonemize(self, text: str) -> list[str]:
        """Return the phonemes of each sentence; empty when there is nothing to pronounce."""
        phonemes: list[str] = self._model.phonemize(text)
        return [sentence for sentence in phonemes if any(character.isalpha() for character in sentence)]

    def synthesize(self, phonemes: str, speed: float = 1.0, seed: int = 0) -> Samples:
        """Return 24 kHz speech [samples] of one sentence; the same arguments give the same samples."""
        speech: Samples = self._model.from_phonemes(phonemes, speed=speed, seed=seed)
        return trim_leading_silence(speech, RATE_HZ, _LEADING_SILENCE_S)


def unspeakable() -> Samples:
    """Return the silence [samples] that is sent for a text without anything to pronounce."""
    return np.zeros(round(_UNSPEAKABLE_S * RATE_HZ), np.float32)
