"""The voice: hibari-tts (Apache-2.0), its one bundled voice, 24 kHz, one thread.

One call of the model speaks one whole sentence, in about a hundredth of the sentence's duration. How long each phoneme
lasts is known inside its graph and made an output here.
"""

import importlib
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from avatar_service.sandbox.alignment import Alignment, align, share
from avatar_service.sandbox.audio import Samples, leading_silence
from avatar_service.sandbox.errors import SandboxError
from avatar_service.sandbox.reading import Reader, Sentence, Unit

RATE_HZ: Final = 24_000

# hibari-tts 0.2.1: int64 [phonemes + 2], a duration for every phoneme and both pads, in two frames of 300 samples.
_DURATIONS: Final = "/Cast_32_output_0"
_DURATION_SAMPLES: Final = 600
_ADVANCE_SAMPLES: Final = 1320
"""The sounds come 55 ms earlier than the durations say; measured over 80 sentences by the energy of sibilants, vowels
and stops."""
_LEADING_SILENCE_S: Final = 0.05
"""Of the third of a second that the model puts before every sentence."""
_UNSPEAKABLE_S: Final = 0.2
"""Silence that stands for a text without anything to pronounce."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a sentence is spoken. ``speed`` above 1 is faster, ``intonation`` above 1 higher; ``seed`` is the noise's."""

    speed: float = 1.0
    intonation: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    """24 kHz samples [n] of a sentence, with the times of its characters as written and as read."""

    samples: Samples
    written: Alignment
    read: Alignment


class SpeakingModel(Protocol):
    """What speaks; used by one thread at a time."""

    def read(self, text: str) -> list[Sentence]:
        """Return the sentences of a text, at least one."""
        ...

    def speak(self, sentence: Sentence, manner: Manner) -> Speech:
        """Return the speech of one sentence; the same arguments give the same samples."""
        ...


class HibariVoice:
    """The loaded model. One sentence at a time, from one thread."""

    def __init__(self, model: Any, reader: Reader, vocoder: Any) -> None:
        self._model = model
        self._reader = reader
        self._vocoder = vocoder

    @classmethod
    def load(cls) -> "HibariVoice":
        """Load the weights and the pronunciation rules, and speak once."""
        try:
            hibari = importlib.import_module("hibari")
        except ImportError as error:
            raise SandboxError("hibari-tts is not installed: pip install 'avatar-service[sandbox]'") from error
        voices = importlib.import_module("hibari.voices")
        graph = Path(voices.voice_path(voices.DEFAULT)).read_bytes() + _output_declaration(_DURATIONS)
        model = hibari.Hibari(model=graph, threads=1)
        reader = Reader(model, importlib.import_module("hibari.g2p.normalize").normalize)
        voice = cls(model, reader, importlib.import_module("hibari.dsp"))
        voice.speak(voice.read("Hello there.")[0], Manner())
        return voice

    def read(self, text: str) -> list[Sentence]:
        """Return the sentences of a text; one without phonemes when there is nothing to pronounce."""
        return self._reader.read(text)

    def speak(self, sentence: Sentence, manner: Manner) -> Speech:
        """Return the speech of one sentence; the same arguments give the same samples."""
        if not sentence.phonemes:
            return _silence(sentence)
        ids = np.asarray([self._model.ids(sentence.phonemes)], np.int64)  # [1, phonemes + 2]
        speed = np.asarray([manner.speed], np.float32)
        *parts, durations = self._model.sess.run(None, {"ids": ids, "speed": speed})
        spectrum, pitch_hz = [part[0] for part in parts[:5]], parts[5][0] * manner.intonation
        samples: Samples = self._vocoder.synth(*spectrum, pitch_hz, np.random.default_rng(manner.seed))
        bounds = _phoneme_bounds(durations.reshape(-1), len(samples))
        silence = max(0, leading_silence(samples) - round(_LEADING_SILENCE_S * RATE_HZ))
        return Speech(samples[silence:], *_align(sentence, bounds - silence, len(samples) - silence))


def _phoneme_bounds(durations: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Return the sample at which each phoneme begins and the last one ends [phonemes + 1]."""
    bounds = np.cumsum(durations) * _DURATION_SAMPLES  # ends of the first pad, each phoneme, the last pad
    if abs(int(bounds[-1]) - samples) > _DURATION_SAMPLES:
        raise SandboxError("the durations of hibari's phonemes do not cover its speech: pip install hibari-tts==0.2.1")
    return np.clip(bounds[:-1] - _ADVANCE_SAMPLES, 0, samples)


def _align(sentence: Sentence, bounds: NDArray[np.int64], samples: int) -> tuple[Alignment, Alignment]:
    """Return the times of the characters as written and as read; white space at the end lasts to the end."""
    bounds_s = [*_character_bounds_s(sentence.units, bounds), samples / RATE_HZ]
    read, spoken = sentence.read, len(sentence.written.rstrip())
    trailing = len(sentence.written) - spoken
    at_end = share(trailing, len(read), len(read) + 1)
    written = align(sentence.written, [*sentence.places[:spoken], *at_end], bounds_s)
    read += " " * bool(trailing)
    return written, align(read, [(at, at + 1.0) for at in range(len(read))], bounds_s)


def _character_bounds_s(units: tuple[Unit, ...], bounds: NDArray[np.int64]) -> list[float]:
    """Return when each character that is read begins and the last one ends; a unit's characters share its time."""
    ends = list(accumulate(len(unit.phonemes) for unit in units))
    times_s = [max(0.0, float(bounds[0]) / RATE_HZ)]
    for unit, end in zip(units, ends, strict=True):
        until_s = max(0.0, float(bounds[end]) / RATE_HZ)
        times_s += np.linspace(times_s[-1], until_s, len(unit.text) + 1)[1:].tolist()
    return times_s


def _silence(sentence: Sentence) -> Speech:
    """Return the silence that is sent for a text without anything to pronounce."""
    characters = len(sentence.written)
    bounds_s = np.linspace(0.0, _UNSPEAKABLE_S, characters + 1).tolist()
    shared = align(sentence.written, [(at, at + 1.0) for at in range(characters)], bounds_s)
    return Speech(np.zeros(round(_UNSPEAKABLE_S * RATE_HZ), np.float32), shared, shared)


def _output_declaration(name: str) -> bytes:
    """Return the bytes of ``ModelProto{graph{output{name}}}``: protobuf merges what is appended to a model."""
    encoded = name.encode()
    value = bytes([0x0A, len(encoded)]) + encoded  # ValueInfoProto.name = 1
    graph = bytes([0x62, len(value)]) + value  # GraphProto.output = 12
    return bytes([0x3A, len(graph)]) + graph  # ModelProto.graph = 7
