"""The bundled hibari voice with the duration of every phoneme exposed."""

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
import onnxruntime
import soxr
from hibari import Hibari  # type: ignore[import-untyped]  # the package carries no type information
from numpy.typing import NDArray

from inference.config import SAMPLE_RATE_HZ
from inference.training.timbre import Timbre, VoiceFrames, retune

VOICE_RATE_HZ = 24_000
# hibari-tts 0.2.1: int64 [ids], one duration an id including both pads, in units of two 12.5 ms frames. The name is
# internal to the graph, so the synthesis below checks that the durations cover the audio.
DURATION_TENSOR = "/Cast_32_output_0"
DURATION_UNIT_SAMPLES = 600
SILENCE = "_"
PAUSES = frozenset(';:,.!?—…"()“”')
LEADING = frozenset("ˈˌ")  # stress marks have time of their own: it is the following vowel's
TRAILING = frozenset("ː̃ʰʲ")  # noqa: RUF001 - IPA; these belong to the sound before
SPACE = " "  # has time, but is no pause: half belongs to either neighbour
# The sounds come earlier than the durations say. Measured over 80 sentences: the high-frequency energy of sibilants,
# the low-frequency energy of vowels and the gaps of stops all fit best with the phonemes moved by 50 to 60 ms.
ADVANCE_S = 0.055


@dataclass(frozen=True, slots=True)
class Phoneme:
    """A sound of hibari's alphabet (misaki's), or ``_`` for silence, in seconds of its speech."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Speech:
    """16 kHz mono in -1..1 with its phonemes; they are contiguous and cover the samples."""

    samples: NDArray[np.float32]
    phonemes: tuple[Phoneme, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SAMPLE_RATE_HZ


class Voice:
    """Text to speech with phoneme times; one thread, deterministic for a seed."""

    def __init__(self) -> None:
        self._hibari: Any = Hibari(threads=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        with open(self._hibari.model_path, "rb") as file:
            model = file.read() + _output_declaration(DURATION_TENSOR)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def speak(self, text: str, pace: float = 1.0, seed: int = 0, timbre: Timbre | None = None) -> Speech:
        """One sentence, of another speaker with a ``timbre``. ``pace`` above 1 is faster.

        Raises ValueError when the durations do not cover the audio.
        """
        from hibari import dsp

        characters = [c for c in self._hibari.phonemize(text)[0] if c in self._hibari.vocab]
        ids = np.array([self._hibari.ids("".join(characters))], dtype=np.int64)
        names = [output.name for output in self._hibari.sess.get_outputs()] + [DURATION_TENSOR]
        outputs = self._session.run(names, {"ids": ids, "speed": np.array([pace], dtype=np.float32)})
        frames = VoiceFrames(*(output[0] for output in outputs[:6]))
        frames = frames if timbre is None else retune(frames, timbre)
        audio = dsp.synth(*frames.parts(), np.random.default_rng(seed))
        samples = np.asarray(outputs[6]).reshape(-1) * DURATION_UNIT_SAMPLES
        if len(samples) != len(characters) + 2 or abs(int(samples.sum()) - len(audio)) > DURATION_UNIT_SAMPLES:
            raise ValueError(
                f"hibari's durations cover {int(samples.sum())} of {len(audio)} samples: {DURATION_TENSOR} has another "
                "meaning in this version, pin hibari-tts==0.2.1"
            )
        durations = samples / VOICE_RATE_HZ
        durations[0] -= ADVANCE_S
        durations[-1] += ADVANCE_S
        spans = merge_marks([SILENCE, *characters, SILENCE], durations.tolist())
        resampled = soxr.resample(audio.astype(np.float32), VOICE_RATE_HZ, SAMPLE_RATE_HZ)
        return Speech(np.asarray(resampled, dtype=np.float32), spans)


def merge_marks(characters: list[str], durations: list[float]) -> tuple[Phoneme, ...]:
    """Contiguous phonemes from one duration a character: marks join their sound, punctuation is silence."""
    merged: list[tuple[str, float]] = []
    pending = 0.0
    for character, duration in zip(characters, durations, strict=True):
        symbol = SILENCE if character in PAUSES else character
        if character in LEADING:
            pending += duration
        elif character == SPACE and merged:
            merged[-1] = (merged[-1][0], merged[-1][1] + duration / 2)
            pending += duration / 2
        elif merged and (character in TRAILING or symbol == merged[-1][0] == SILENCE):
            merged[-1] = (merged[-1][0], merged[-1][1] + duration + pending)
            pending = 0.0
        else:
            merged.append((symbol, duration + pending))
            pending = 0.0
    ends = np.cumsum([duration for _, duration in merged])
    starts = [0.0, *ends[:-1].tolist()]
    return tuple(
        Phoneme(symbol, start, float(end)) for (symbol, _), start, end in zip(merged, starts, ends, strict=True)
    )


def change_pitch(speech: Speech, factor: float) -> Speech:
    """Play faster and higher (above 1) or slower and lower; phoneme times scale with it."""
    rate = round(SAMPLE_RATE_HZ / factor)
    shared = gcd(rate, SAMPLE_RATE_HZ)
    samples = soxr.resample(speech.samples, SAMPLE_RATE_HZ // shared, rate // shared)
    scale = rate / SAMPLE_RATE_HZ
    phonemes = tuple(Phoneme(p.symbol, p.start * scale, p.end * scale) for p in speech.phonemes)
    return Speech(np.asarray(samples, dtype=np.float32), phonemes)


def trim_start(speech: Speech, silence: float) -> Speech:
    """Leave at most ``silence`` seconds of silence before the first sound."""
    cut = max(0.0, speech.phonemes[0].end - silence) if speech.phonemes[0].symbol == SILENCE else 0.0
    cut = int(cut * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    phonemes = tuple(Phoneme(p.symbol, max(0.0, p.start - cut), p.end - cut) for p in speech.phonemes)
    return Speech(speech.samples[int(cut * SAMPLE_RATE_HZ) :], phonemes)


def trim_end(speech: Speech, silence: float) -> Speech:
    """Leave at most ``silence`` seconds of silence after the last sound, as voices do that end at once."""
    last = speech.phonemes[-1]
    if last.symbol != SILENCE or last.end - last.start <= silence:
        return speech
    count = int((last.start + silence) * SAMPLE_RATE_HZ)
    end = count / SAMPLE_RATE_HZ
    return Speech(speech.samples[:count], (*speech.phonemes[:-1], Phoneme(SILENCE, last.start, end)))


def excerpt(speech: Speech, first: int, last: int) -> Speech:
    """The phonemes ``first`` to ``last`` (exclusive) alone, cut off at their edges, with silence of no length after."""
    chosen = speech.phonemes[first:last]
    start, end = int(chosen[0].start * SAMPLE_RATE_HZ), int(chosen[-1].end * SAMPLE_RATE_HZ)
    at = start / SAMPLE_RATE_HZ
    moved = tuple(Phoneme(p.symbol, max(0.0, p.start - at), p.end - at) for p in chosen)
    return Speech(speech.samples[start:end], (*moved, Phoneme(SILENCE, moved[-1].end, moved[-1].end)))


def join(parts: list[Speech]) -> Speech:
    """Speeches one after another, as sentences of one reply."""
    phonemes: list[Phoneme] = []
    at = 0.0
    for part in parts:
        phonemes += [Phoneme(p.symbol, p.start + at, p.end + at) for p in part.phonemes]
        at += part.duration
    return Speech(np.concatenate([part.samples for part in parts]), tuple(phonemes))


def _output_declaration(name: str) -> bytes:
    """The bytes of ModelProto{graph{output{name}}}: appended to a model, protobuf merges them into its outputs."""
    encoded = name.encode()
    value = bytes([0x0A, len(encoded)]) + encoded  # ValueInfoProto.name = 1
    graph = bytes([0x62, len(value)]) + value  # GraphProto.output = 12
    return bytes([0x3A, len(graph)]) + graph  # ModelProto.graph = 7
