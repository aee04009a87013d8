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
from inference.training.mouth import mouth_track
from inference.training.voice import Phoneme, Speech, Voice, change_pitch, join, trim_start
from inference.weights import load_tensors

FIRST_REQUEST_FRAMES = 4
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
    """Speak the sentences as one reply."""
    parts = []
    for number, sentence in enumerate(sentences):
        pace = float(rng.uniform(0.85, 1.2)) if augment else 1.0
        speech = voice.speak(sentence, pace, int(rng.integers(1 << 30)))
        parts.append(trim_start(speech, float(rng.uniform(0.04, 0.3)) if number == 0 else float(rng.uniform(0.1, 0.3))))
    speech = join(parts)
    if augment:
        speech = change_pitch(speech, float(np.exp(rng.uniform(np.log(0.84), np.log(1.2)))))
    return finish_segment(speech, rng, augment)


def finish_segment(speech: Speech, rng: np.random.Generator, augment: bool) -> Segment:
    """Gain, tilt and noise, a closing silence, whole frames, truth."""
    samples = speech.samples
    if augment:
        tilt = float(rng.uniform(-0.35, 0.35))  # a first-order equaliser, both ways
        samples = samples + tilt * np.concatenate([[0.0], samples[:-1]]).astype(np.float32)
        samples = samples * float(10 ** rng.uniform(-0.5, 0.35))
    tail = int(rng.uniform(0.0, 0.7) * SAMPLE_RATE_HZ)
    count = -(-(len(samples) + tail) // FRAME_SAMPLES)
    padded = np.zeros(count * FRAME_SAMPLES, dtype=np.float32)
    padded[: len(samples)] = samples
    if augment and rng.random() < 0.5:
        padded += _noise(len(padded), float(np.sqrt(np.mean(samples**2))), float(rng.uniform(12, 40)), rng)
    return Segment(_to_int16(padded), mouth_track(speech.phonemes, count), speech.phonemes)


def silent_segment(rng: np.random.Generator) -> Segment:
    """Two to five seconds of nothing or of noise; the mouth stays shut."""
    count = int(rng.integers(50, 125))
    samples = np.zeros(count * FRAME_SAMPLES, dtype=np.float32)
    if rng.random() < 0.6:
        samples += _noise(len(samples), float(10 ** rng.uniform(-3.3, -1.7)), 0.0, rng)
    return Segment(_to_int16(samples), np.zeros((count, 6), dtype=np.float32), ())


def _noise(count: int, reference_rms: float, snr_db: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """White to brown noise at ``snr_db`` below the reference."""
    white = rng.normal(0.0, 1.0, count // 2 + 1) + 1j * rng.normal(0.0, 1.0, count // 2 + 1)
    colour = np.maximum(np.arange(count // 2 + 1), 20.0) ** -float(rng.uniform(0.0, 1.0))
    noise = np.fft.irfft(white * colour, count)
    return (noise / max(float(noise.std()), 1e-9) * reference_rms * 10 ** (-snr_db / 20)).astype(np.float32)


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
