"""One text spoken, over a real socket."""

import asyncio
from math import ceil
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import AudioEncoding, Code, NoticeReason, Stage, TurnOutcome
from avatar_service.errors import EngineUnavailable
from avatar_service.turn import pacing
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.service.calls import Fakes, serving
from tests.service.responses import DEADLINE_S, Responses

TEXT = "The moon is near. It goes around the earth once a month, e.g. now. Really!"
LONG = "The moon is near. " * 20


def voice_of(call: Responses[Any]) -> bytes:
    return b"".join(audio.data for audio in call.all("audio"))


async def test_it_says_what_a_conversation_says_of_the_same_text(store: Path) -> None:
    spoken, said = Fakes(lip_sync=FakeLipSync(hashes=True)), Fakes(lip_sync=FakeLipSync(hashes=True))
    async with serving(store, spoken) as server:
        speaking = server.speak(TEXT)
        assert await speaking.end() is grpc.StatusCode.OK
    async with serving(store, said) as server:
        conversing = server.converse()
        await conversing.configure()
        await conversing.say(TEXT)
        assert await conversing.finish() is grpc.StatusCode.OK
    assert spoken.speech.requests == said.speech.requests
    assert spoken.speech.requests[1][1] == "The moon is near."
    assert voice_of(speaking) == voice_of(conversing)
    said_pictures = {frame.index: frame.data for frame in conversing.all("frame")}
    both = [frame for frame in speaking.all("frame") if frame.index in said_pictures]
    assert both
    assert not [frame for frame in both if frame.data != said_pictures[frame.index]]


async def test_its_words_are_told_with_their_times_before_they_are_heard(store: Path) -> None:
    async with serving(store, Fakes(speech=FakeSpeech())) as server:
        call = server.speak("The moon is near. It is round.")
        assert await call.end() is grpc.StatusCode.OK
    words = call.all("spoken_text")
    assert [word.text for word in words] == ["The ", "moon ", "is ", "near. ", "It ", "is ", "round. "]
    assert [word.start_offset.ToMilliseconds() for word in words[:4]] == [0, 200, 450, 600]
    assert words[-1].end_offset.ToMilliseconds() == 1_450
    assert not any(word.estimated for word in words)


async def test_a_voice_that_breaks_off_goes_on_and_the_turn_is_degraded(store: Path) -> None:
    error = EngineUnavailable("speak", "fake", "gone")
    fakes = Fakes(speech=FakeSpeech(error=error, fails_on="round", error_after_s=0.3, fails=1))
    async with serving(store, fakes) as server:
        call = server.speak("The moon is near. It is round.")
        assert await call.end() is grpc.StatusCode.OK
    assert [text for text, _ in fakes.speech.requests] == ["The moon is near.", "It is round.", "round."]
    completed = call.only("turn_completed")
    assert completed.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
    assert completed.degraded
    offsets = [round(audio.offset.ToNanoseconds() / 40_000_000) for audio in call.all("audio")]
    assert offsets == list(range(len(offsets)))
    # The 50 ms of "round." that came are heard where somebody waited for them, and else left out.
    assert len(offsets) in (ceil((0.85 + 0.25 + 0.3) / 0.04), ceil((0.85 + 0.3 + 0.3) / 0.04))
    assert "".join(word.text for word in call.all("spoken_text")) == "The moon is near. It is round. "


async def test_a_call_as_the_contract_tells_it(store: Path) -> None:
    async with serving(store) as server:
        call = server.speak(TEXT, end_user_id="user-1", metadata={"tenant": "t1"})
        assert await call.end() is grpc.StatusCode.OK
    started, completed = call.only("speak_started"), call.only("turn_completed")
    config = started.config
    assert (config.text, config.avatar, config.end_user_id) == ("", "avatars/ada", "user-1")
    assert dict(config.metadata) == {"tenant": "t1"}
    assert config.voice.voice.startswith("voices/")
    assert config.voice.settings.stability == pytest.approx(0.5)
    assert config.voice.settings.use_speaker_boost
    assert (config.output_audio.encoding, config.output_audio.sample_rate_hertz) == (
        AudioEncoding.AUDIO_ENCODING_LINEAR16,
        24_000,
    )
    assert (config.frame_format.width, config.frame_format.frame_rate.numerator) == (512, 25)
    assert (config.pacing.lead.ToMilliseconds(), config.pacing.unpaced, config.audio_only) == (1000, False, False)
    assert started.session_id.startswith("s-")
    assert (started.frame_width, started.frame_height) == (512, 512)
    assert call.kinds[0] == "speak_started"
    assert set(call.kinds) == {
        *("speak_started", "spoken_text", "audio", "frame", "reply_finished", "turn_completed"),
    }
    assert call.kinds[-2:] == ["reply_finished", "turn_completed"]
    assert {audio.turn_id for audio in call.all("audio")} == {1}
    assert (completed.turn_id, completed.outcome) == (1, TurnOutcome.TURN_OUTCOME_COMPLETED)
    assert completed.status.code == Code.CODE_OK
    assert completed.generated_text == TEXT
    assert completed.metrics.sent_frame_count == len(call.all("frame"))
    assert completed.metrics.sent_frame_count + completed.metrics.held_frame_count == len(call.all("audio"))
    assert completed.usage.speech_character_count == sum(len(text) for text, _ in server.fakes.speech.requests)
    assert call.only("reply_finished").media_duration.ToMilliseconds() == len(voice_of(call)) / 48


async def test_it_ends_when_the_last_media_are_sent(store: Path) -> None:
    """The best of three counts: another process may hold the first or the last of them up."""
    lead_s = []
    async with serving(store) as server:
        for _ in range(3):
            call = server.speak("The moon is near. " * 6)
            assert await call.end() is grpc.StatusCode.OK
            took_s = call.times_s[-1] - call.times_s[call.kinds.index("audio")]
            lead_s.append(len(voice_of(call)) / 48_000 - took_s)
            if 0.0 < lead_s[-1] < 1.1:
                return
    raise AssertionError(f"sent {lead_s} s ahead of play-out, and not up to 1 s")


async def test_unpaced_it_takes_no_longer_than_its_making(store: Path) -> None:
    fakes = Fakes(speech=FakeSpeech(ttfb_s=0.01, rate=500.0), lip_sync=FakeLipSync(render_s=0.001))
    async with serving(store, fakes) as server:
        call = server.speak(LONG, pacing={"unpaced": True})
        assert await call.end() is grpc.StatusCode.OK
    assert call.only("speak_started").config.pacing.unpaced
    assert len(voice_of(call)) / 48_000 > 15.0
    assert call.times_s[-1] - call.times_s[0] < 12.0
    completed = call.only("turn_completed")
    assert (completed.metrics.held_frame_count, completed.metrics.sent_frame_count) == (0, len(call.all("audio")))


async def test_without_frames_no_lip_sync_runs(store: Path) -> None:
    async with serving(store) as server:
        call = server.speak(TEXT, audio_only=True)
        assert await call.end() is grpc.StatusCode.OK
    assert server.fakes.lip_sync.requests == []
    assert call.all("frame") == []
    started = call.only("speak_started")
    assert (started.frame_width, started.frame_height, started.config.audio_only) == (0, 0, True)
    assert not started.config.HasField("frame_format")
    expected = b"".join(server.fakes.speech.voice_of(text) for text, _ in server.fakes.speech.requests)
    assert voice_of(call)[: len(expected)] == expected
    metrics = call.only("turn_completed").metrics
    assert metrics.total_latency_ms == metrics.time_to_first_audio_ms
    assert metrics.held_frame_count == 0


@pytest.mark.parametrize("media", [{}, {"pacing": {"unpaced": True}}, {"audio_only": True}], ids=str)
async def test_a_voice_that_fails_is_told_at_once_and_what_was_spoken_is_sent_to_its_end(
    store: Path, media: dict[str, Any]
) -> None:
    speech = FakeSpeech(ttfb_s=0.01, rate=50.0, error=EngineUnavailable("speak", "fake", "secret"), fails_on="month")
    async with serving(store, Fakes(speech=speech)) as server:
        call = server.speak(TEXT, **media)
        assert await call.end() is grpc.StatusCode.OK
    completed = call.only("turn_completed")
    (notice,) = (told for told in call.all("notice") if told.reason == NoticeReason.NOTICE_REASON_SPEECH_FAILED)
    assert (notice.stage, notice.turn_id) == (Stage.STAGE_SPEAK, 1)
    assert notice.status == completed.status
    assert completed.outcome == TurnOutcome.TURN_OUTCOME_FAILED
    assert (completed.status.code, completed.status.error_info.reason) == (Code.CODE_UNAVAILABLE, "SPEECH_FAILED")
    assert "secret" not in completed.status.message + notice.message
    assert completed.generated_text == TEXT
    assert list(completed.degraded_reasons) == [NoticeReason.NOTICE_REASON_SPEECH_FAILED]
    assert call.kinds.index("notice") < call.kinds.index("reply_finished")
    said = speech.voice_of("The moon is near.")
    assert voice_of(call)[: len(said)] == said
    assert len(voice_of(call)) - len(said) < 1_920
    if "pacing" in media:
        assert len(call.all("frame")) == len(call.all("audio")), "what is not paced is waited for"


async def test_without_lip_sync_the_voice_goes_on(store: Path) -> None:
    async with serving(store, Fakes(lip_sync=FakeLipSync(fails=range(1_000)))) as server:
        call = server.speak(TEXT)
        assert await call.end() is grpc.StatusCode.OK
    assert call.only("notice").reason == NoticeReason.NOTICE_REASON_VIDEO_LOST
    completed = call.only("turn_completed")
    assert completed.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
    assert list(completed.degraded_reasons) == [NoticeReason.NOTICE_REASON_VIDEO_LOST]


@pytest.mark.parametrize("unpaced", [True, False])
async def test_a_caller_who_cancels_stops_vendor_and_pacing_within_100_ms(store: Path, unpaced: bool) -> None:
    """The best of three counts: another process may hold one of them up."""
    fakes, took_s, loop = Fakes(speech=FakeSpeech(ttfb_s=0.01, rate=3.0)), [], asyncio.get_running_loop()
    async with serving(store, fakes) as server:
        before = len(asyncio.all_tasks())
        for _ in range(3):
            call = server.speak(LONG, pacing={"unpaced": unpaced})
            await call.until("audio", lambda audio: audio.index >= 3)
            assert fakes.speech.running == 1
            cancelled_s = loop.time()
            call.call.cancel()
            async with asyncio.timeout(DEADLINE_S):
                while fakes.speech.running or len(asyncio.all_tasks()) > before:
                    await asyncio.sleep(0.005)
            took_s.append(loop.time() - cancelled_s)
    assert min(took_s) < 0.1


async def test_a_client_that_never_reads_loses_its_call(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "READER_STALL_S", 0.4)
    fakes = Fakes(lip_sync=FakeLipSync(image_bytes=60_000), speech=FakeSpeech(ttfb_s=0.01, rate=50.0))
    async with serving(store, fakes) as server:
        call = server.speak(LONG, pacing={"unpaced": True})
        async with asyncio.timeout(DEADLINE_S):
            while not fakes.speech.running:
                await asyncio.sleep(0.01)
            while fakes.speech.running:
                await asyncio.sleep(0.01)
        assert await call.end() is grpc.StatusCode.ABORTED
        assert (await call.status()).error_info.reason == "READER_TOO_SLOW"


@pytest.mark.parametrize(
    ("asked", "code", "field", "words"),
    [
        ({"text": ""}, "INVALID_ARGUMENT", "text", ["empty"]),
        ({"text": " \n"}, "INVALID_ARGUMENT", "text", ["empty"]),
        ({"text": "x" * 4_001}, "INVALID_ARGUMENT", "text", ["4,001", "4,000"]),
        ({"text": "x", "voice": {"voice": "voices/../admin"}}, "INVALID_ARGUMENT", "voice.voice", ["ListVoices"]),
        ({"text": "x", "voice": {"settings": {"speed": 2.0}}}, "INVALID_ARGUMENT", "voice.settings.speed", ["1.2"]),
        ({"text": "x", "pacing": {"lead": Duration(seconds=9)}}, "INVALID_ARGUMENT", "pacing.lead", ["0.2 to 5 s"]),
        ({"text": "x", "end_user_id": "x" * 129}, "INVALID_ARGUMENT", "end_user_id", ["128"]),
        ({"text": "x", "metadata": {str(n): "x" for n in range(17)}}, "INVALID_ARGUMENT", "metadata", ["16"]),
        ({"text": "x", "output_audio": {"sample_rate_hertz": 96_000}}, "INVALID_ARGUMENT",
         "output_audio.sample_rate_hertz", ["48000"]),
        ({"text": "x", "avatar": "avatars/nobody"}, "NOT_FOUND", "", ["avatar:", "ada, bo"]),
        ({"text": "x", "frame_format": {"jpeg_quality": 20}}, "UNIMPLEMENTED", "", ["frame_format.jpeg_quality", "80"]),
        ({"text": "x", "output_audio": {"encoding": 9}}, "UNIMPLEMENTED", "", ["LINEAR16, MULAW, OPUS"]),
    ],
)  # fmt: skip
async def test_a_request_that_is_wrong_or_not_served_is_refused_by_name(
    store: Path, asked: dict[str, Any], code: str, field: str, words: list[str]
) -> None:
    async with serving(store) as server:
        call = server.speak(**asked)
        assert (await call.end()).name == code
        status = await call.status()
        assert server.fakes.speech.requests == []
    assert status.field == field
    assert not [word for word in words if word not in status.message]


async def test_bytes_that_are_no_request_are_the_callers_error(store: Path) -> None:
    async with serving(store) as server:
        calling: Any = server.channel.unary_stream("/avatar.v1.AvatarService/Speak")
        call = Responses[Any](calling(b"\xff\xff\xff"))
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
        status = await call.status()
    assert status.error_info.reason == "MESSAGE_UNDECODABLE"
    assert "avatar.v1.SpeakRequest" in status.message
