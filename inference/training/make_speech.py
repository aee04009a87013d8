"""Stage ``speech``: speak, augment and encode until there are enough frames. Written in shards, so that it resumes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inference.config import MAX_FRAMES
from inference.training.sentences import is_held_out, sentences
from inference.training.speech import (
    FIRST_REQUEST_FRAMES,
    SILENT_SHARE,
    Segment,
    SpeechSet,
    concatenate,
    encode_segment,
    load_audio_features,
    make_segment,
    silent_segment,
)
from inference.training.voice import Voice

SHARD_SEGMENTS = 40


def segments(voice: Voice, seed: int, held_out: bool) -> Iterator[Segment]:
    """Endless segments of one side of the split; silence among them. Held-out speech is augmented too."""
    rng = np.random.default_rng([seed, int(held_out)])
    texts = (text for text in sentences(seed) if is_held_out(text) == held_out)
    spoken = silent = 0
    while True:
        if silent < SILENT_SHARE * (spoken + silent):
            segment = silent_segment(rng)
            silent += len(segment.truth)
        else:
            segment = make_segment(
                voice, [next(texts) for _ in range(int(rng.integers(1, 4)))], rng, augment=rng.random() < 0.75
            )
            spoken += len(segment.truth)
        yield segment


def make_shard(voice: Voice, whisper: Path, seed: int, held_out: bool) -> SpeechSet:
    """Some segments of one seed, encoded."""
    audio = load_audio_features(whisper)
    rng = np.random.default_rng([seed, 7])
    source = segments(voice, seed, held_out)
    parts = []
    for _ in range(SHARD_SEGMENTS):
        first = FIRST_REQUEST_FRAMES if rng.random() < 0.7 else MAX_FRAMES
        parts.append(encode_segment(audio, next(source), first))
    return concatenate(parts)


def make_speech(folder: Path, whisper: Path, shards: int) -> None:
    """Fill ``folder`` with ``train-NNN.npz`` shards and one ``held-000.npz``; what exists stays."""
    voice = Voice()
    for number in range(shards):
        path = folder / f"train-{number:03d}.npz"
        if not path.exists():
            make_shard(voice, whisper, 1000 + number, held_out=False).save(path)
            print(f"speech shard {number + 1} of {shards}", flush=True)  # noqa: T201 - progress of a command
    held = folder / "held-000.npz"
    if not held.exists():
        make_shard(voice, whisper, 9000, held_out=True).save(held)


def load_speech(folder: Path, kind: str) -> SpeechSet:
    """All shards of ``train`` or ``held``; raises FileNotFoundError naming the stage to run."""
    paths = sorted(folder.glob(f"{kind}-*.npz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no {kind} speech; run the stage speech first")
    return concatenate([SpeechSet.load(path) for path in paths])
