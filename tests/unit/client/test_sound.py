"""Microphone and loudspeaker, on miniaudio's null device, which keeps time and is silent."""

import asyncio
import time

import miniaudio
import pytest

from avatar.v1 import ConverseConfig
from avatar_client import Audio, Interrupted, Limits, MediaFormat, Resumed, SessionStarted
from avatar_client.play_out import PlayOutClock
from avatar_client.playing import TICK_S, Playing
from avatar_client.sound import DEVICE_S, Loudspeaker, Microphone

NULL = [miniaudio.Backend.NULL]
RATE_HZ = 16_000
PIECE = bytes(2 * RATE_HZ // 25)  # 40 ms


def test_a_microphone_gives_pieces_of_40_ms_in_real_time() -> None:
    async def scenario() -> tuple[list[bytes], float]:
        async with Microphone(RATE_HZ, NULL) as microphone:
            await anext(microphone)
            started_s = time.monotonic()
            return [await anext(microphone) for _ in range(5)], time.monotonic() - started_s

    pieces, took_s = asyncio.run(scenario())
    assert pieces == [PIECE] * 5
    assert took_s > 0.1, "not faster than they can be spoken"


def test_what_nobody_listens_to_is_dropped_from_the_beginning() -> None:
    async def scenario() -> bytes:
        microphone = Microphone(RATE_HZ)
        for number in range(60):
            microphone._put(bytes([number]))
        return await anext(microphone)

    assert asyncio.run(scenario()) == bytes([10]), "the first of the last 50 pieces"


def played(loudspeaker: Loudspeaker, *counts: int) -> list[bytes]:
    """What the device gets that asks for so many samples at a time."""
    device = loudspeaker._played()
    next(device)
    return [device.send(count) for count in counts]


def test_a_loudspeaker_plays_what_it_is_given_and_then_silence() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    loudspeaker.play(b"\x01\x02\x03\x04")
    loudspeaker.play(b"\x05\x06")
    assert played(loudspeaker, 2, 2) == [b"\x01\x02\x03\x04", b"\x05\x06\x00\x00"]


def test_a_flushed_loudspeaker_is_silent() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    loudspeaker.play(b"\x01\x02")
    loudspeaker.flush()
    assert played(loudspeaker, 1) == [b"\0\0"]


def test_a_loudspeaker_keeps_at_most_2_seconds() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    loudspeaker.play(b"\x01\x02" + bytes(2 * 2 * RATE_HZ))
    assert loudspeaker.buffered_s == 2.0
    assert played(loudspeaker, 1) == [b"\0\0"], "the oldest is left out"


def test_a_device_plays_its_buffer_empty() -> None:
    with Loudspeaker(RATE_HZ, NULL) as loudspeaker:
        loudspeaker.play(PIECE * 2)
        deadline_s = time.monotonic() + 5.0
        while loudspeaker.buffered_s > 0 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert loudspeaker.buffered_s == 0


def voice(index: int) -> Audio:
    pcm = bytes([index + 1]) * len(PIECE)
    return Audio(turn_id=1, index=index, offset_s=index * 0.04, data=pcm, pcm=pcm, sample_count=len(PIECE) // 2)


class Tape(Loudspeaker):
    """A loudspeaker that keeps what it is given, and when."""

    def __init__(self) -> None:
        super().__init__(RATE_HZ)
        self.pieces: list[tuple[float, bytes]] = []
        self.flushes = 0

    def play(self, pcm: bytes) -> None:
        if pcm:
            self.pieces.append((time.monotonic(), pcm))

    def flush(self) -> None:
        self.flushes += 1


def test_a_stream_is_played_as_it_becomes_due_and_to_its_end() -> None:
    async def scenario() -> Tape:
        tape, clock = Tape(), PlayOutClock(RATE_HZ)
        async with Playing(clock, tape) as playing:
            for index in range(14):
                clock.add_audio(voice(index), time.monotonic())
                await playing.add(voice(index))
        return tape

    tape = asyncio.run(scenario())
    assert b"".join(pcm for _, pcm in tape.pieces) == b"".join(voice(index).pcm for index in range(14))
    assert tape.pieces[-1][0] - tape.pieces[0][0] > 0.1, "0.52 s of voice lie between them, 0.3 s are played ahead"


def test_the_clock_is_told_what_has_left_the_loudspeaker() -> None:
    async def scenario() -> tuple[float, float]:
        clock = PlayOutClock(RATE_HZ)
        with Loudspeaker(RATE_HZ, NULL) as loudspeaker:
            async with Playing(clock, loudspeaker) as playing:
                await asyncio.sleep(2 * DEVICE_S)  # the device plays silence
                began_s = time.monotonic()
                for index in range(12):
                    clock.add_audio(voice(index), began_s)
                    await playing.add(voice(index))
                clock.finish(1, began_s)
                while clock.is_playing(time.monotonic()):
                    await asyncio.sleep(0.005)
                return time.monotonic() - began_s, loudspeaker.buffered_s

    took_s, buffered_s = asyncio.run(scenario())
    assert took_s > 12 * 0.04 + DEVICE_S - 0.04, "a turn ends when its last sample was heard, not when it was taken"
    assert buffered_s == 0.0


def test_what_was_flushed_does_not_count_as_heard() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    assert loudspeaker.heard_samples(time.monotonic()) is None, "no device plays"
    loudspeaker._device = object()
    loudspeaker.play(bytes(2 * 100))
    played(loudspeaker, 40)
    taken_s = time.monotonic()
    loudspeaker.flush()
    loudspeaker.play(bytes(2 * 30))
    assert loudspeaker.given_samples == 70
    assert loudspeaker.heard_samples(taken_s) == 0, "it is still in the device"
    assert loudspeaker.heard_samples(taken_s + DEVICE_S) == 40
    assert loudspeaker.heard_samples(taken_s + 9.0) == 40, "what was not taken was not heard"


def test_a_paused_loudspeaker_is_silent_and_keeps_what_waits() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    loudspeaker.play(b"\x01\x02")
    loudspeaker.pause(True)
    assert played(loudspeaker, 1) == [b"\0\0"]
    loudspeaker.pause(False)
    assert played(loudspeaker, 1) == [b"\x01\x02"]


def test_nothing_is_played_while_the_clock_is_frozen() -> None:
    async def scenario() -> Tape:
        tape, clock = Tape(), PlayOutClock(RATE_HZ)
        async with Playing(clock, tape) as playing:
            clock.freeze(time.monotonic())
            clock.add_audio(voice(0), time.monotonic())
            await playing.add(voice(0))
            await asyncio.sleep(3 * TICK_S)
            clock.cut(1, time.monotonic())
            await playing.add(Resumed(SessionStarted("s-1", MediaFormat(), ConverseConfig(), Limits()), "gone", 1, 0.0))
        return tape

    tape = asyncio.run(scenario())
    assert (tape.pieces, tape.flushes > 0) == ([], True)


def test_an_interruption_is_heard_at_once() -> None:
    async def scenario() -> Tape:
        tape, clock = Tape(), PlayOutClock(RATE_HZ)
        async with Playing(clock, tape) as playing:
            for index in range(8):
                clock.add_audio(voice(index), time.monotonic())
                await playing.add(voice(index))
            clock.interrupt(1, time.monotonic())
            await playing.add(Interrupted(1))
            assert tape.flushes == 1
        return tape

    assert asyncio.run(scenario()).pieces == [], "nothing had been due before the interruption"


def test_what_is_raised_while_playing_is_kept_and_silences_the_loudspeaker() -> None:
    async def scenario(tape: Tape) -> None:
        clock = PlayOutClock(RATE_HZ)
        async with Playing(clock, tape) as playing:
            clock.add_audio(voice(0), time.monotonic())
            await playing.add(voice(0))
            raise LookupError("mine")

    tape = Tape()
    with pytest.raises(LookupError, match="mine"):
        asyncio.run(scenario(tape))
    assert tape.flushes == 1
