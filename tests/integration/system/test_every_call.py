"""The calls beside `Converse`, on the whole system: one voice, exact frames, two faces, and what the server offers."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from avatar_client import AsyncAvatarClient, AvatarClient, NotFound, SegmentCompleted
from avatar_client.events import Audio, Event, Frame, Interrupted, SegmentFinished
from tests.integration.system.conftest import RunningSystem

TEXT = "The moon is near. It is quite near tonight."
RATE_HZ = 24_000
FPS = 25
TRIES = 3
"""Interruptions of which a busy machine may hold up all but one."""


@dataclass(slots=True)
class Media:
    """What a call sent: the voice joined, the pictures by their index, and the rest."""

    voice: bytes = b""
    frames: dict[int, bytes] = field(default_factory=dict)
    others: list[Event] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event:
            case Audio(data=data):
                self.voice += data
            case Frame(index=index, data=data):
                self.frames[index] = data
            case _:
                self.others.append(event)

    def last(self, kind: type[Event]) -> Event:
        return [event for event in self.others if isinstance(event, kind)][-1]


@pytest.fixture(scope="module")
def client(system: RunningSystem) -> Iterator[AvatarClient]:
    with AvatarClient(system.service) as client:
        yield client


@pytest.fixture(scope="module")
def voice(system: RunningSystem) -> bytes:
    """Some 5 s of speech, 16-bit mono at 24 kHz."""
    return system.speech("Every morning the old captain walks down to the harbour and counts the boats.", "pcm_24000")


def animated(client: AvatarClient, voice: bytes, message_bytes: int, avatar: str = "ada") -> Media:
    """The voice sent in messages of one size, as one segment."""
    media = Media()
    with client.animate(sample_rate_hz=RATE_HZ, avatar=avatar, unpaced=True) as animation:
        for begin in range(0, len(voice), message_bytes):
            animation.send_audio(voice[begin : begin + message_bytes])
        animation.end_input()
        for event in animation:
            media.take(event)
    return media


def spoken(client: AvatarClient, **options: object) -> Media:
    media = Media()
    with client.speak(TEXT, unpaced=True, **options) as speech:  # type: ignore[arg-type]  # the call's own options
        for event in speech:
            media.take(event)
    return media


def test_a_voice_in_messages_of_33_ms_gives_the_very_frames_that_large_ones_give(
    client: AvatarClient, voice: bytes
) -> None:
    small, large = animated(client, voice, 2 * 33 * RATE_HZ // 1000), animated(client, voice, 64_000)
    frames = math.ceil(len(voice) / 2 * FPS / RATE_HZ)
    assert sorted(small.frames) == list(range(frames))
    assert small.frames == large.frames
    assert small.voice == large.voice == voice + bytes(2 * frames * RATE_HZ // FPS - len(voice))


def test_another_avatar_says_the_same_with_another_face(client: AvatarClient, voice: bytes) -> None:
    first = voice[: 2 * RATE_HZ]
    ada, marcus = animated(client, first, 64_000, "ada"), animated(client, first, 64_000, "marcus")
    assert ada.voice == marcus.voice
    assert ada.frames.keys() == marcus.frames.keys()
    assert all(ada.frames[index] != marcus.frames[index] for index in ada.frames)


def test_a_text_is_spoken_in_the_very_voice_in_which_a_conversation_says_it(client: AvatarClient) -> None:
    said = Media()
    with client.converse() as conversation:
        conversation.say(TEXT)
        conversation.end_input()
        for event in conversation:
            said.take(event)
    alone = spoken(client)
    assert alone.voice == said.voice
    assert sorted(alone.frames) == list(range(len(alone.voice) // 2 * FPS // RATE_HZ))


def test_speech_without_video_runs_no_lip_sync(system: RunningSystem, client: AvatarClient) -> None:
    before, _ = system.render_requests()
    media = spoken(client, audio_only=True)
    assert media.voice
    assert not media.frames
    after, _ = system.render_requests()
    assert after - before <= 1  # a probe, one every 10 s; the text with its frames takes several requests


@pytest.mark.parametrize("encoding", ["MULAW", "OPUS"])
def test_the_lips_do_not_depend_on_the_client_s_encoding(client: AvatarClient, encoding: str) -> None:
    plain, encoded = spoken(client), spoken(client, output_encoding=encoding)
    frames = sorted(plain.frames)
    # An encoding that delays the voice may be followed by one more silent frame.
    assert sorted(encoded.frames)[: len(frames)] == frames
    assert len(encoded.frames) <= len(frames) + 1
    assert all(encoded.frames[index] == plain.frames[index] for index in frames)


def test_an_interrupted_segment_stops_within_100_ms_and_nothing_of_it_follows(
    system: RunningSystem, voice: bytes
) -> None:
    async def interrupt_after_a_second() -> tuple[float, Media]:
        loop, media, stopped_s = asyncio.get_running_loop(), Media(), 0.0
        async with (
            AsyncAvatarClient(system.service) as client,
            client.animate(sample_rate_hz=RATE_HZ) as animation,
        ):
            await animation.send_pcm(voice)
            await animation.end_segment()
            async for event in animation:
                media.take(event)
                if isinstance(event, Audio) and event.index == FPS and not stopped_s:
                    stopped_s = loop.time()
                    await animation.interrupt()
                if isinstance(event, Interrupted):
                    stopped_s = loop.time() - stopped_s
                    media.frames.clear()
                    media.voice = b""
                if isinstance(event, SegmentCompleted):
                    await animation.end_input()
        return stopped_s, media

    took: list[tuple[int, float]] = []
    for _ in range(TRIES):
        seconds, media = asyncio.run(interrupt_after_a_second())
        completed = media.last(SegmentCompleted)
        assert isinstance(completed, SegmentCompleted)
        assert completed.status.code == "CANCELLED"
        assert (media.voice, media.frames) == (b"", {})
        assert not [event for event in media.others if isinstance(event, SegmentFinished)]
        assert completed.metrics.interruption_time_ms is not None
        took.append((completed.metrics.interruption_time_ms, seconds))
        if took[-1][0] <= 100 and seconds < 1.0:  # the way there and back on a busy machine included
            return
    raise AssertionError(f"interruptions took (in ms, and in s to the client's ear) {took}")


def test_what_the_server_offers(client: AvatarClient) -> None:
    info = client.get_server_info()
    assert {avatar.name for avatar in client.list_avatars()} == {"avatars/ada", "avatars/marcus"}
    assert client.get_avatar("marcus").demonstration
    assert info.default_avatar == "avatars/ada"
    assert info.default_voice in {voice.name for voice in client.list_voices()}
    assert {model.vendor for model in info.models} >= {"sandbox", "triton"}


def test_an_avatar_that_is_not_there_is_named_with_those_that_are(client: AvatarClient) -> None:
    with pytest.raises(NotFound, match="ada, marcus") as refused:
        client.get_avatar("nobody")
    assert "avatars/nobody" in str(refused.value)
