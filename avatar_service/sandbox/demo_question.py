"""Makes the recording that the demonstration asks its question with.

Example: python -m avatar_service.sandbox.demo_question avatar_service/local/assets

It writes ``demo_question.wav`` (16 kHz mono PCM16 between two stretches of silence) and ``demo_question.txt``.
The speaker is hibari at a lower pitch, so that the question does not sound like the avatar's answer.
"""

import sys
import wave
from pathlib import Path
from typing import Final

import numpy as np
import soxr

from avatar_service.sandbox.audio import TRANSCRIPTION_RATE_HZ, Samples, to_pcm16
from avatar_service.sandbox.hibari import RATE_HZ, HibariVoice, Manner

TEXT: Final = "Hello! What is the capital of France?"
"""The small models understand this one without a mistake and answer it correctly in two sentences."""

_PITCH: Final = 0.8
_SILENCE_S: Final = 0.3
_PEAK: Final = 0.7
_SPEECH_LEVEL: Final = 0.01
_MARGIN_S: Final = 0.02


def make_question(voice: HibariVoice) -> Samples:
    """Return the recording [samples] at 16 kHz.

    Speech that is rendered faster by as much as it is then played slower keeps its tempo and loses pitch.
    """
    sentences = [voice.speak(sentence, Manner(speed=1.0 / _PITCH)).samples for sentence in voice.read(TEXT)]
    speech: Samples = soxr.resample(np.concatenate(sentences), RATE_HZ * _PITCH, TRANSCRIPTION_RATE_HZ)
    loud = np.flatnonzero(np.abs(speech) >= _SPEECH_LEVEL)
    margin = round(_MARGIN_S * TRANSCRIPTION_RATE_HZ)
    speech = speech[max(0, loud[0] - margin) : loud[-1] + margin]
    silence = np.zeros(round(_SILENCE_S * TRANSCRIPTION_RATE_HZ), np.float32)
    return np.concatenate([silence, speech * (_PEAK / np.abs(speech).max()), silence])


def main(folder: Path) -> None:
    """Write recording and text into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / "demo_question.wav"), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(TRANSCRIPTION_RATE_HZ)
        recording.writeframes(to_pcm16(make_question(HibariVoice.load())))
    (folder / "demo_question.txt").write_text(TEXT + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
