"""The calls beside `Converse`: lists and facts, a text spoken, a voice animated; what is sent, what comes back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from pathlib import Path

import grpc
import numpy as np
import pytest

from avatar import v1
from avatar.v1 import Code, SpeakResponse
from avatar_client import (
    AnimateEvent,
    AsyncAvatarClient,
    Audio,
    Frame,
    InvalidRequest,
    Model,
    NotFound,
    ReplyFinished,
    SegmentCompleted,
    SegmentFinished,
    SegmentStarted,
    StreamEnded,
    TurnCompleted,
    Unavailable,
    VoiceSettings,
)
from avatar_client.animation import Pcm
from tests.unit.client.audio_files import click, onset_s, write_audio
from tests.unit.client.scripted_service import (
    CHUNK_SAMPLES,
    Stream,
    echo_segments,
    failure,
    media,
    no_script,
    serving,
    speak_text,
    tone,
)


def test_lists_are_read_to_their_last_page() -> None:
    async def scenario() -> None:
        async with serving(no_script) as address, AsyncAvatarClient(address) as client:
            avatars = [avatar async for avatar in client.list_avatars()]
            assert [avatar.name for avatar in avatars] == ["avatars/ada", "avatars/bob"]
            assert (avatars[0].state, avatars[0].frame_rate, avatars[0].create_time) == ("READY", Fraction(25), None)
            (voice,) = [voice async for voice in client.list_voices()]
            assert (voice.name, voice.language_codes) == ("voices/amy", ("en", "de"))
            assert voice.default_settings == VoiceSettings(stability=0.5, use_speaker_boost=True)

    asyncio.run(scenario())


def test_an_avatar_is_named_by_its_id_or_in_full_and_one_that_is_not_there_is_an_error() -> None:
    async def scenario() -> None:
        async with serving(no_script) as address, AsyncAvatarClient(address) as client:
            assert (await client.get_avatar("ada")) == (await client.get_avatar("avatars/ada"))
            with pytest.raises(NotFound, match="no avatar avatars/eve"):
                await client.get_avatar("eve")

    asyncio.run(scenario())


def test_the_server_tells_what_it_offers() -> None:
    async def scenario() -> None:
        async with serving(no_script) as address, AsyncAvatarClient(address) as client:
            info = await client.get_server_info()
        assert (info.version, info.default_avatar) == ("0.1.0", "avatars/ada")
        assert info.input_audio_encodings == ("LINEAR16", "MULAW")
        assert info.models == (Model("THINK", "gpt-4o-mini", "sandbox", "", demonstration=True),)
        assert info.limits.max_text_characters == 4_000

    asyncio.run(scenario())


def test_a_client_that_is_not_open_says_so() -> None:
    async def scenario() -> None:
        client = AsyncAvatarClient("127.0.0.1:1")
        with pytest.raises(RuntimeError, match="use it with `async with`"):
            await client.get_server_info()

    asyncio.run(scenario())


def test_a_text_is_spoken_to_its_end() -> None:
    requests: list[v1.SpeakRequest] = []

    async def script(stream: Stream) -> None:
        await speak_text(stream)

    async def recording(stream: Stream) -> None:
        requests.append(await stream.start_speech())
        await stream.send(*media(1, 2, response=SpeakResponse))

    async def scenario() -> None:
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.speak("Hello.") as speech,
        ):
            assert (speech.started.session_id, speech.media.width) == ("s-2", 64)
            events = [event async for event in speech]
        assert [type(event) for event in events] == [Audio, Frame] * 5 + [ReplyFinished, TurnCompleted]
        async with (
            serving(recording) as address,
            AsyncAvatarClient(address) as client,
            client.speak("Hello.", avatar="ada", voice="amy", unpaced=True) as speech,
        ):
            assert [type(event) async for event in speech] == [Audio, Frame] * 2

    asyncio.run(scenario())
    (request,) = requests
    assert (request.text, request.avatar, request.voice.voice) == ("Hello.", "avatars/ada", "voices/amy")
    assert request.pacing.unpaced


def test_a_text_that_is_refused_raises_where_the_call_is_entered() -> None:
    async def script(stream: Stream) -> None:
        status = failure(Code.CODE_INVALID_ARGUMENT, "TEXT_TOO_LONG", "text: is 5,000 characters", "text")
        await stream.fail(grpc.StatusCode.INVALID_ARGUMENT, status)

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            with pytest.raises(InvalidRequest, match="5,000 characters"):
                async with client.speak("Hello."):
                    raise AssertionError("nothing is spoken")

    asyncio.run(scenario())


VOICE = b"".join(tone(index) for index in range(5))


async def in_pieces() -> AsyncIterator[bytes]:
    for first in range(0, len(VOICE), 700):
        yield VOICE[first : first + 700]


def in_odd_pieces() -> Iterator[bytes]:
    """Pieces that cut samples in two."""
    yield from (VOICE[first : first + 333] for first in range(0, len(VOICE), 333))


async def animate(audio: Pcm | Path | str) -> list[AnimateEvent]:
    """What a server says to `audio`, whose sound it gives back."""
    async with (
        serving(echo_segments) as address,
        AsyncAvatarClient(address) as client,
        client.animate(audio) as animation,
    ):
        return [event async for event in animation]


def sound(events: list[AnimateEvent]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, Audio))


@pytest.mark.parametrize("voice", ["whole", "async", "odd"])
def test_a_voice_in_any_pieces_is_sent_as_one_segment_and_comes_back_with_frames(voice: str) -> None:
    async def scenario() -> list[AnimateEvent]:
        voices: dict[str, Pcm] = {"whole": VOICE, "async": in_pieces(), "odd": in_odd_pieces()}
        return await animate(voices[voice])

    events = asyncio.run(scenario())
    assert [type(event) for event in events] == [
        SegmentStarted,
        *[Audio, Frame] * 5,
        SegmentFinished,
        SegmentCompleted,
    ]
    assert sound(events) == VOICE


@pytest.mark.parametrize(("own_hz", "sent_hz"), [(44_100, 44_100), (96_000, 48_000), (8_000, 8_000)])
def test_a_file_goes_at_its_own_rate_where_the_service_takes_that(tmp_path: Path, own_hz: int, sent_hz: int) -> None:
    path = write_audio(tmp_path / "voice.wav", click(0.5, 1.0, own_hz), own_hz)
    heard = np.frombuffer(sound(asyncio.run(animate(path))), "<i2")
    assert sound(asyncio.run(animate(str(path)))) == heard.tobytes()
    assert len(heard) == sent_hz
    assert onset_s(heard, sent_hz) == pytest.approx(0.5, abs=1e-3)


def test_an_encoding_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="'MP3' is no encoding of audio: give LINEAR16, MULAW, OPUS"):
        AsyncAvatarClient().speak("Hello.", output_encoding="MP3")  # type: ignore[arg-type]  # the mistake under test


def test_a_token_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="token: holds a line break") as caught:
        AsyncAvatarClient(token="s3cret\n")
    assert "s3cret" not in str(caught.value)


def test_a_voice_that_fails_ends_the_stream_with_its_own_exception() -> None:
    def broken() -> Iterator[bytes]:
        yield VOICE
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(animate(broken()))


def test_segments_can_be_sent_one_by_one() -> None:
    async def scenario() -> None:
        async with (
            serving(echo_segments) as address,
            AsyncAvatarClient(address) as client,
            client.animate(sample_rate_hz=24_000) as animation,
        ):
            ends = []
            await animation.send_pcm(tone(0))
            await animation.end_segment()
            async for event in animation:
                if isinstance(event, SegmentFinished):
                    ends.append((event.segment_id, event.media_duration_s))
                    if len(ends) == 1:
                        await animation.send_audio(tone(0) + tone(1))
                        await animation.end_segment()
                        await animation.end_input()
            assert ends == [(1, 0.04), (2, 0.08)]
            with pytest.raises(StreamEnded):
                await animation.end_segment()

    asyncio.run(scenario())


def test_leaving_while_a_voice_is_being_sent_leaves_nothing_behind() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield bytes(2 * CHUNK_SAMPLES)

    async def scenario() -> None:
        async with serving(echo_segments) as address, AsyncAvatarClient(address) as client:
            async with client.animate(endless()):
                await asyncio.sleep(0.05)
            assert [task for task in asyncio.all_tasks() if task.get_name() in ("voice", "playback reports")] == []

    asyncio.run(scenario())


def test_a_server_that_goes_away_while_a_voice_is_sent_is_what_is_raised() -> None:
    async def script(stream: Stream) -> None:
        await stream.start_animation()
        await stream.until("audio")
        await stream.fail(grpc.StatusCode.UNAVAILABLE, failure(Code.CODE_UNAVAILABLE, "DRAINING", "going down"))

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            with pytest.raises(Unavailable, match="going down"):
                async with client.animate(VOICE * 1_000) as animation:
                    assert [event async for event in animation] == []

    asyncio.run(scenario())
