"""Conversations with the whole system: real SDKs, real models, real Triton, real streams."""

import asyncio
import math
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from avatar_client import AvatarClient
from avatar_client.events import ConverseEvent, Frame
from avatar_client.talk import TalkResult, talk
from avatar_service.stages.spans import SpanPolicy
from tests.integration.system.conftest import RunningSystem

QUESTION = Path(__file__).parents[3] / "avatar_service/local/assets/demo_question.wav"
RATE_HZ = 16_000
TRIES = 5
"""Turns of which a busy machine may disturb all but one."""
SETTLED_S = 10.0
"""How long Triton may take to count what it has answered."""
SENTENCES = "There are seven days in a week. The week begins on Monday."


def ask(
    system: RunningSystem,
    *,
    wav: Path | None = None,
    text: str = "",
    out: Path | None = None,
    on_event: Callable[[ConverseEvent], None] | None = None,
) -> TalkResult:
    return asyncio.run(talk(system.service, wav=wav, text=text, out=out, on_event=on_event))


def write_wav(path: Path, pcm: bytes, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
    return path


def silence(seconds: float, rate_hz: int = RATE_HZ) -> bytes:
    return bytes(2 * int(seconds * rate_hz))


def noise(seconds: float) -> bytes:
    generator = np.random.default_rng(7)
    return (generator.standard_normal(int(seconds * RATE_HZ)) * 400).astype("<i2").tobytes()


def words(text: str) -> set[str]:
    return set("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


def test_a_question_by_text_is_answered_with_voice_and_a_frame_for_each_of_its_moments(
    system: RunningSystem, tmp_path: Path
) -> None:
    result = ask(system, text="What is the capital of France?", out=tmp_path / "answer.mp4")

    turn = result.turns[0]
    assert (turn.outcome, turn.status) == ("COMPLETED", "OK")
    assert "paris" in turn.reply.lower()
    assert turn.heard == turn.reply
    frames = turn.metrics["sent_frame_count"] + turn.metrics["held_frame_count"]
    assert frames == round(turn.audio_s * 25)
    with av.open(str(tmp_path / "answer.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert video.streams.audio[0].codec_context.name == "aac"


def test_triton_s_own_counts_account_for_every_request_of_a_turn(system: RunningSystem) -> None:
    """Unpaced, since a machine too busy to render in time leaves requests of a paced turn out. A probe of an idle
    Triton may fall into one count, not into every one."""
    policy, counted = SpanPolicy(), []
    for _ in range(TRIES):
        before = system.render_requests()
        with AvatarClient(system.service) as client, client.speak(SENTENCES, unpaced=True) as speech:
            frames = sum(isinstance(event, Frame) for event in speech)
        expected = 1 + math.ceil((frames - policy.first_frames) / policy.frames)
        after = _settled(system, before[0] + expected)
        # One session has one request in flight, so nothing was batched: each was an execution of its own.
        counted.append(tuple(now - then for now, then in zip(after, before, strict=True)))
        if counted[-1] == (expected, expected):
            return
    raise AssertionError(f"{counted} requests and executions, not {expected} of each")


def _settled(system: RunningSystem, requests: int) -> tuple[int, int]:
    """Triton's counts once they hold so many requests: it counts a batch after it has answered it."""
    deadline_s = time.monotonic() + SETTLED_S
    while (counts := system.render_requests())[0] < requests and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return counts


def test_a_spoken_question_is_understood(system: RunningSystem) -> None:
    turn = ask(system, wav=QUESTION).turns[0]
    assert words(turn.transcript) == words(QUESTION.with_suffix(".txt").read_text())
    assert turn.outcome == "COMPLETED"
    assert turn.metrics["total_latency_ms"] == max(
        turn.metrics["time_to_first_audio_ms"], turn.metrics["time_to_first_frame_ms"]
    )


@pytest.mark.parametrize(("output_format", "rate_hz", "channels"), [("pcm_8000", 8_000, 1), ("pcm_44100", 44_100, 2)])
def test_a_recording_at_another_rate_is_understood_too(
    system: RunningSystem, tmp_path: Path, output_format: str, rate_hz: int, channels: int
) -> None:
    mono = silence(0.4, rate_hz) + system.speech("How many days are in a week?", output_format) + silence(0.2, rate_hz)
    samples = np.repeat(np.frombuffer(mono, "<i2"), channels)
    wav = write_wav(tmp_path / "week.wav", samples.tobytes(), rate_hz, channels)
    turn = ask(system, wav=wav).turns[0]
    assert {"many", "days", "week"} <= words(turn.transcript)
    assert turn.outcome == "COMPLETED"


def test_two_questions_in_one_recording_give_two_turns_and_noise_at_the_end_hangs_nothing(
    system: RunningSystem, tmp_path: Path
) -> None:
    first, second = system.speech("What is the capital of France?"), system.speech("How many days are in a week?")
    pcm = silence(0.3) + first + silence(1.2) + second + silence(0.8) + noise(5.0)
    started_s = time.monotonic()
    result = ask(system, wav=write_wav(tmp_path / "two.wav", pcm))

    assert [turn.outcome for turn in result.turns] == ["COMPLETED", "COMPLETED"]
    assert "france" in words(result.turns[0].transcript)
    assert "week" in words(result.turns[1].transcript)
    spoken_s = len(pcm) / 2 / RATE_HZ + sum(turn.audio_s for turn in result.turns)
    assert time.monotonic() - started_s < spoken_s + 15.0


def test_the_first_frame_is_there_before_the_last_speech_byte_has_left_the_vendor(system: RunningSystem) -> None:
    frames_s: list[float] = []

    def note(event: ConverseEvent) -> None:
        if isinstance(event, Frame):
            frames_s.append(time.monotonic())

    for _ in range(TRIES):
        frames_s.clear()
        assert ask(system, text="Tell me about the sea in three sentences.", on_event=note).answered
        last_byte_s = system.vendor_requests("text-to-speech")[-1]["last_byte_s"]
        if frames_s and frames_s[0] < last_byte_s:
            return
    raise AssertionError(f"in {TRIES} turns no frame came before the last byte of speech")
