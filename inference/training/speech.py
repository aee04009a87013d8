"""Training speech: segments of one to three sentences, augmented, with mouth truth and the served audio features.

Features are made by the very code that serves (``inference.audio_features``), on the spans that a turn asks for: 1.0 s
of left context, 8 frames (4 for the first request), 240 ms of look-ahead, zeros outside the segment, the running
log-mel maximum handed from span to span.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inference.audio_features import AudioFeatures
from inference.config import (
    FEATURE_SAMPLES,
    FPS,
    FRAME_SAMPLES,
    MAX_FRAMES,
    NANO,
    SAMPLE_RATE_HZ,
    SPAN_LEFT_SAMPLES,
    START_MEL_MAX,
    WINDOW_FEATURES,
    WINDOW_LEFT_FEATURES,
    span_samples,
)
from inference.training.acoustics import at_level, beside_the_voice, hum, noise, through_surroundings
from inference.training.mouth import mouth_track
from inference.training.timbre import random_timbre
from inference.training.voice import SILENCE, Phoneme, Speech, Voice, change_pitch, excerpt, join, trim_end, trim_start
from inference.weights import load_tensors

FIRST_REQUEST_FRAMES = 4
OTHER_SPEAKERS = 0.75  # of augmented replies; the others are hibari's own voice
SHORT_ENDS = 0.6  # of augmented sentences: hibari fades for a quarter of a second, other voices stop at once
INTERRUPTED_SOUNDS = (4, 16)  # phonemes of an interrupted segment
GATED = 0.3  # of augmented replies
GATE_S = 0.03  # after a sound and before one, the gate is open
PACES = (0.72, 1.35)  # of a reply; hibari's own is 1
USUAL_RMS = 0.05  # of a whole reply, full scale 1, before the gain
SILENT_SHARE = 0.15  # of all frames, beside the pauses of speech: nothing or noise, mouth shut
FRAME_FEATURES = FRAME_SAMPLES // FEATURE_SAMPLES  # 2
KEPT_FEATURES = (MAX_FRAMES - 1) * FRAME_FEATURES + WINDOW_FEATURES  # the windows of 8 frames: 24 features


@dataclass(frozen=True, slots=True)
class Segment:
    """One turn's audio, 16 kHz int16, with the mouth truth of its frames [frames, 6]."""

    samples: NDArray[np.int16]
    truth: NDArray[np.float32]
    phonemes: tuple[Phoneme, ...]


@dataclass(frozen=True, slots=True)
class SpeechSet:
    """Features of many spans and the frames that look into them."""

    features: NDArray[np.float16]  # [spans, 24, 5, C], raw states
    span: NDArray[np.int32]  # [frames] the span of a frame
    first: NDArray[np.int32]  # [frames] the first of its ten features within the span's 24
    truth: NDArray[np.float32]  # [frames, 6]

    def windows(self, frames: NDArray[np.int64]) -> NDArray[np.float16]:
        """[B, 50, C] raw tokens of these frames, token = 5 * feature + state."""
        index = self.first[frames][:, None] + np.arange(WINDOW_FEATURES)  # [B, 10]
        picked = self.features[self.span[frames][:, None], index]  # [B, 10, 5, C]
        tokens: NDArray[np.float16] = picked.reshape(len(frames), -1, self.features.shape[-1])
        return tokens

    def save(self, path: Path) -> None:
        """Write an npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, features=self.features, span=self.span, first=self.first, truth=self.truth)

    @staticmethod
    def load(path: Path) -> "SpeechSet":
        """Read what ``save`` wrote."""
        with np.load(path) as data:
            return SpeechSet(data["features"], data["span"], data["first"], data["truth"])


def load_audio_features(whisper: Path) -> AudioFeatures:
    """The serving front end with this encoder and no normalisation yet."""
    audio = AudioFeatures(NANO.whisper)
    load_tensors(audio.encoder, whisper)
    return audio.requires_grad_(False).eval()


def make_segment(voice: Voice, sentences: list[str], rng: np.random.Generator, augment: bool) -> Segment:
    """Speak the sentences as one reply; augmented, it is another speaker's most of the time."""
    timbre = random_timbre(rng) if augment and rng.random() < OTHER_SPEAKERS else None
    pace_of_reply = float(np.exp(rng.uniform(*np.log(PACES)))) if augment else 1.0
    parts = []
    for number, sentence in enumerate(sentences):
        pace = pace_of_reply * float(rng.uniform(0.92, 1.08)) if augment else 1.0
        speech = voice.speak(sentence, pace, int(rng.integers(1 << 30)), timbre)
        speech = trim_start(speech, float(rng.uniform(0.04, 0.3)) if number == 0 else float(rng.uniform(0.1, 0.3)))
        if augment and rng.random() < SHORT_ENDS:
            speech = trim_end(speech, float(rng.uniform(0.0, 0.15)))
        parts.append(speech)
    speech = join(parts)
    if augment:
        speech = at_usual_level(change_pitch(speech, float(np.exp(rng.uniform(np.log(0.9), np.log(1.12))))))
    return finish_segment(speech, rng, augment)


def interrupted_segment(voice: Voice, sentence: str, rng: np.random.Generator) -> Segment:
    """Some sounds out of a sentence, then silence at once: the mouth must shut whatever was said last."""
    timbre = random_timbre(rng) if rng.random() < OTHER_SPEAKERS else None
    speech = voice.speak(sentence, float(np.exp(rng.uniform(*np.log(PACES)))), int(rng.integers(1 << 30)), timbre)
    count = min(int(rng.integers(*INTERRUPTED_SOUNDS)), len(speech.phonemes) - 2)
    first = int(rng.integers(1, len(speech.phonemes) - count))
    return finish_segment(at_usual_level(excerpt(speech, first, first + count)), rng, augment=True, least_tail_s=0.4)


def at_usual_level(speech: Speech) -> Speech:
    """The same speech at the bundled voice's loudness: a lower pitch alone makes it louder."""
    return Speech(at_level(speech.samples, USUAL_RMS), speech.phonemes)


def finish_segment(speech: Speech, rng: np.random.Generator, augment: bool, least_tail_s: float = 0.0) -> Segment:
    """Surroundings, a closing silence, other sounds, whole frames, truth."""
    samples = speech.samples
    if augment:
        samples = gate(speech) if rng.random() < GATED else samples
        samples = through_surroundings(samples, rng)
    tail = int(rng.uniform(least_tail_s, 0.7) * SAMPLE_RATE_HZ)
    count = -(-(len(samples) + tail) // FRAME_SAMPLES)
    padded = np.zeros(count * FRAME_SAMPLES, dtype=np.float32)
    padded[: len(samples)] = samples
    if augment:
        padded += beside_the_voice(padded, float(np.sqrt(np.mean(samples**2))), rng)
    phonemes = silent_to_the_end(speech.phonemes, count / FPS)
    return Segment(_to_int16(padded), mouth_track(phonemes, count), phonemes)


def silent_to_the_end(phonemes: tuple[Phoneme, ...], end: float) -> tuple[Phoneme, ...]:
    """The last silence lasts to the end of the segment."""
    last = phonemes[-1]
    return (*phonemes[:-1], Phoneme(SILENCE, last.start, end)) if last.symbol == SILENCE else phonemes


def gate(speech: Speech) -> NDArray[np.float32]:
    """The samples with digital silence in every pause, as synthesis and noise gates leave it."""
    samples = speech.samples.copy()
    for phoneme in speech.phonemes:
        if phoneme.symbol == SILENCE:
            first = int((phoneme.start + (GATE_S if phoneme.start > 0 else 0.0)) * SAMPLE_RATE_HZ)
            samples[first : int((phoneme.end - GATE_S) * SAMPLE_RATE_HZ)] = 0.0
    return samples


def silent_segment(rng: np.random.Generator) -> Segment:
    """Two to five seconds of nothing, of noise or of hum; the mouth stays shut."""
    count = int(rng.integers(50, 125))
    samples = np.zeros(count * FRAME_SAMPLES, dtype=np.float32)
    if rng.random() < 0.6:
        sound = noise(len(samples), rng) if rng.random() < 0.75 else hum(len(samples), rng)
        samples = at_level(sound, float(10 ** rng.uniform(-3.3, -1.7)))
    return Segment(_to_int16(samples), np.zeros((count, 6), dtype=np.float32), ())


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.asarray(np.rint(np.clip(samples, -1.0, 1.0) * 32767), dtype=np.int16)


def request_sizes(frames: int, first: int) -> list[int]:
    """How a turn of so many frames is cut into requests: ``first`` frames, then 8 each, the last one shorter."""
    sizes = [min(first, frames)]
    while (done := sum(sizes)) < frames:
        sizes.append(min(MAX_FRAMES, frames - done))
    return sizes


def span_of(samples: NDArray[np.int16], frame: int, frames: int) -> NDArray[np.int16]:
    """The request's span for ``frames`` frames from ``frame`` on: zeros outside the segment."""
    start, length = frame * FRAME_SAMPLES - SPAN_LEFT_SAMPLES, span_samples(frames)
    span = np.zeros(length, dtype=np.int16)
    low, high = max(0, start), min(len(samples), start + length)
    if high > low:
        span[low - start : high - start] = samples[low:high]
    return span


def encode_segment(audio: AudioFeatures, segment: Segment, first_request: int) -> SpeechSet:
    """The features of every request of a segment."""
    mel_max, frame = START_MEL_MAX, 0
    kept, spans, firsts = [], [], []
    start = SPAN_LEFT_SAMPLES // FEATURE_SAMPLES - WINDOW_LEFT_FEATURES
    for number, size in enumerate(request_sizes(len(segment.truth), first_request)):
        span = torch.from_numpy(span_of(segment.samples, frame, size))[None]  # [1, N]
        with torch.inference_mode():
            features, maximum = audio.features(span, torch.tensor([mel_max]))  # [1, T, 5, C]
        mel_max = float(maximum[0])
        part = features[0, start : start + KEPT_FEATURES].numpy().astype(np.float16)  # [<= 24, 5, C]
        kept.append(np.pad(part, ((0, KEPT_FEATURES - len(part)), (0, 0), (0, 0))))
        spans += [number] * size
        firsts += [FRAME_FEATURES * i for i in range(size)]
        frame += size
    return SpeechSet(np.stack(kept), np.array(spans, np.int32), np.array(firsts, np.int32), segment.truth)


def concatenate(parts: list[SpeechSet]) -> SpeechSet:
    """Many sets as one; span numbers are moved."""
    offsets = np.cumsum([0, *(len(part.features) for part in parts[:-1])])
    return SpeechSet(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.span + offset for part, offset in zip(parts, offsets, strict=True)]).astype(np.int32),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )
