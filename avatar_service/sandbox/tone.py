"""A voice without a model: a tone for every character, silence for white space. It is the same every time."""

import re
from typing import Final

import numpy as np

from avatar_service.sandbox.alignment import align
from avatar_service.sandbox.hibari import RATE_HZ, Manner, Speech
from avatar_service.sandbox.reading import Sentence, Unit

CHARACTER_S: Final = 0.0625
"""How long a character lasts at speed 1: 16 in a second, about as fast as people speak."""
PITCH_HZ: Final = 160.0
"""Ten periods a character, so that tones begin and end at zero."""
LEVEL: Final = 0.3

_SENTENCES: Final = re.compile(r"\S.*?(?:[.!?]+(?=\s|$)|$)\s*", re.DOTALL)


class ToneVoice:
    """Stands in for the voice model where only the times of speech matter."""

    def read(self, text: str) -> list[Sentence]:
        """Return the sentences of a text, each character of which is read as it is written."""
        begin = len(text) - len(text.lstrip())
        sentences = [_sentence(found.group()) for found in _SENTENCES.finditer(text)]
        if not sentences:
            return [_sentence(text)]
        return [sentences[0].after(text[:begin]), *sentences[1:]] if begin else sentences

    def speak(self, sentence: Sentence, manner: Manner) -> Speech:
        """Return the tones of one sentence, characters of equal length."""
        samples = max(1, round(CHARACTER_S * RATE_HZ / manner.speed))  # of one character
        steps = np.arange(samples, dtype=np.float32)
        tone = LEVEL * np.sin(2.0 * np.pi * PITCH_HZ * manner.intonation / RATE_HZ * steps)
        sounds = np.array([not character.isspace() for character in sentence.read], np.float32)
        bounds_s = (np.arange(len(sentence.read) + 1) * samples / RATE_HZ).tolist()
        places = [(at, at + 1.0) for at in range(len(sentence.read))]
        return Speech(
            (sounds[:, None] * tone).reshape(-1).astype(np.float32),
            align(sentence.written, sentence.places, bounds_s),
            align(sentence.read, places, bounds_s),
        )


def _sentence(text: str) -> Sentence:
    places = tuple((float(at), at + 1.0) for at in range(len(text)))
    return Sentence(text, places, (Unit(text, text),))
