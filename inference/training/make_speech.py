"""Stage ``speech``: speak, augment and encode until there are enough frames. Written in shards, so that it resumes."""

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import numpy as np

from inference.config import MAX_FRAMES
from inference.cpu import tune
from inference.training.sentences import is_held_out, sentences
from inference.training.speech import (
    FIRST_REQUEST_FRAMES,
    SILENT_SHARE,
    Segment,
    SpeechSet,
    concatenate,
    encode_segment,
    interrupted_segment,
    load_audio_features,
    make_segment,
    silent_segment,
)
from inference.training.voice import Voice

SHARD_SEGMENTS = 40
KEY_SEGMENTS = 8
INTERRUPTED_SHARE = 0.4  # of spoken segments; they are short
AUGMENTED_SHARE = 0.75  # of spoken segments


def segments(voice: Voice, seed: int, held_out: bool) -> Iterator[Segment]:
    """Endless segments of one side of the split; silence among them. Held-out speech is augmented too."""
    rng = np.random.default_rng([seed, int(held_out)])
    texts = (text for text in sentences(seed) if is_held_out(text) == held_out)
    spoken = silent = 0
    while True:
        if silent < SILENT_SHARE * (spoken + silent):
            segment = silent_segment(rng)
            silent += len(segment.truth)
        elif rng.random() < INTERRUPTED_SHARE:
            segment = interrupted_segment(voice, next(texts), rng)
            spoken += len(segment.truth)
        else:
            segment = make_segment(
                voice,
                [next(texts) for _ in range(int(rng.integers(1, 4)))],
                rng,
                augment=rng.random() < AUGMENTED_SHARE,
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


def speech_key(voice: Voice) -> str:
    """A name for what is spoken: it changes with the voice, its augmentation and the mouth truth."""
    digest = hashlib.sha256()
    for segment in islice(segments(voice, 1, held_out=False), KEY_SEGMENTS):
        digest.update(segment.samples.tobytes())
        digest.update(segment.truth.tobytes())
    return digest.hexdigest()[:12]


def make_speech(folder: Path, whisper: Path, shards: int, processes: int = 1) -> None:
    """Fill ``folder`` with ``train-NNN.npz`` shards and one ``held-000.npz``; what exists stays."""
    jobs = [(folder / "held-000.npz", whisper, 9000, True)]
    jobs += [(folder / f"train-{number:03d}.npz", whisper, 1000 + number, False) for number in range(shards)]
    missing = [job for job in jobs if not job[0].exists()]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as workers:
        for done, future in enumerate(as_completed([workers.submit(_write_shard, *job) for job in missing]), 1):
            future.result()
            print(f"speech: {len(jobs) - len(missing) + done} of {len(jobs)} shards", flush=True)  # noqa: T201 - progress


def _write_shard(path: Path, whisper: Path, seed: int, held_out: bool) -> None:
    """Make one shard and write it, all or nothing."""
    tune(1)
    temporary = path.with_suffix(".new.npz")
    make_shard(Voice(), whisper, seed, held_out).save(temporary)
    temporary.replace(path)


def load_speech(folder: Path, kind: str) -> SpeechSet:
    """All shards of ``train`` or ``held``; raises FileNotFoundError naming the stage to run."""
    paths = sorted(folder.glob(f"{kind}-[0-9]*[0-9].npz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no {kind} speech; run the stage speech first")
    return concatenate([SpeechSet.load(path) for path in paths])
