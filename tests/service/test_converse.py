"""A conversation over a real socket, as a client with a generated stub sees it."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import (
    Code,
    ConversationState,
    FrameEncoding,
    HistoryMessage,
    NoticeReason,
    Role,
    Stage,
    TurnOutcome,
    TurnSource,
    TurnTakingMode,
)
from avatar_service.engines.base import Message
from avatar_service.errors import EngineUnavailable
from avatar_service.stages.endpointing import PAUSE_S
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.service.calls import SPEECH_THEN_SILENCE, Fakes, serving


async def test_a_turn_by_text(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.text("How far is the moon?", request_id="q1")
        assert await call.finish() is grpc.StatusCode.OK
    started, completed = call.only("turn_started"), call.only("turn_completed")
    assert (started.turn_id, started.source, started.request_id) == (1, TurnSource.TURN_SOURCE_TEXT, "q1")
    assert completed.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
    assert completed.status.code == Code.CODE_OK
    assert completed.generated_text == completed.heard_text == "Hello there."
    assert "".join(piece.text for piece in call.all("reply_text")) == "Hello there."
    voice = b"".join(audio.data for audio in call.all("audio"))
    expected = server.fakes.speech.voice_of("Hello there.")
    assert voice[: len(expected)] == expected
    assert call.only("reply_finished").media_duration.ToMilliseconds() == call.media_ms
    assert call.kinds[0] == "session_started"
    states = [event.state for event in call.all("state_changed")]
    assert states == [
        ConversationState.CONVERSATION_STATE_THINKING,
        ConversationState.CONVERSATION_STATE_SPEAKING,
        ConversationState.CONVERSATION_STATE_IDLE,
    ]


async def test_media_carry_their_positions(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.finish()
    samples = 0
    for index, audio in enumerate(call.all("audio")):
        assert (audio.turn_id, audio.index, audio.sample_count, len(audio.data)) == (1, index, 960, 1_920)
        assert audio.offset.ToNanoseconds() == samples * 1_000_000_000 // 24_000
        samples += audio.sample_count
    for frame in call.all("frame"):
        assert frame.offset.ToNanoseconds() == frame.index * 40_000_000
        assert frame.keyframe
        assert frame.data.startswith(f"{frame.loop_index}@".encode())
    kinds = [(kind, r.audio.index, r.frame.index) for kind, r in zip(call.kinds, call.responses, strict=True)]
    for frame in call.all("frame"):
        audio_at = kinds.index(("audio", frame.index, 0))
        frame_at = kinds.index(("frame", 0, frame.index))
        assert audio_at < frame_at


async def test_a_turn_by_voice(store: Path) -> None:
    fakes = Fakes(transcriber=FakeTranscriber(Heard("How far is the moon?", 0.01)))
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure()
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    started, stopped, transcript = (call.only(kind) for kind in ("speech_started", "speech_stopped", "transcript"))
    assert started.utterance_id == stopped.utterance_id == transcript.utterance_id == 1
    assert started.offset.ToMilliseconds() == pytest.approx(400, abs=40)
    assert stopped.offset.ToMilliseconds() == pytest.approx(1_200, abs=40)
    assert transcript.start_offset == started.offset
    assert transcript.end_offset == stopped.offset
    assert (transcript.text, transcript.final) == ("How far is the moon?", True)
    assert list(call.only("turn_started").utterance_ids) == [1]
    assert call.all("audio_received")[-1].offset.ToMilliseconds() == pytest.approx(1_900, abs=40)
    order = ["session_started", "speech_started", "speech_stopped", "turn_started", "transcript", "audio", "frame"]
    assert [call.kinds.index(kind) for kind in order] == sorted(call.kinds.index(kind) for kind in order)
    (utterance,) = fakes.transcriber.utterances
    assert len(utterance.pcm) / 32_000 == pytest.approx(0.3 + 0.8 + PAUSE_S, abs=0.07)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
async def test_the_users_audio_may_have_another_rate(store: Path, rate_hz: int) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(input_audio={"sample_rate_hertz": rate_hz})
        await call.speak(*SPEECH_THEN_SILENCE, rate_hz=rate_hz)
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    assert call.only("speech_started").offset.ToMilliseconds() == pytest.approx(400, abs=40)


async def test_two_turns_and_what_the_model_is_told(store: Path) -> None:
    fakes = Fakes(
        transcriber=FakeTranscriber(Heard("How far?", 0.01), Heard("And the sun?", 0.01)),
        chat=FakeChat(Reply("Near.", 0.01, 0.01), Reply("Far.", 0.01, 0.01)),
    )
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(
            system_prompt="Be kind.", history=[HistoryMessage(role=Role.ROLE_USER, text="My name is Ada.")]
        )
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    assert [turn.turn_id for turn in call.all("turn_started")] == [1, 2]
    assert [list(turn.utterance_ids) for turn in call.all("turn_started")] == [[1], [2]]
    assert fakes.chat.requests[1] == [
        Message("system", "Be kind."),
        Message("user", "My name is Ada. How far?"),
        Message("assistant", "Near."),
        Message("user", "And the sun?"),
    ]


async def test_nothing_understood_skips_the_turn(store: Path) -> None:
    async with serving(store, Fakes(transcriber=FakeTranscriber(Heard("", 0.01)))) as server:
        call = server.converse()
        await call.configure()
        await call.speak(*SPEECH_THEN_SILENCE)
        assert await call.finish() is grpc.StatusCode.OK
    assert call.only("transcript").text == ""
    assert call.only("turn_completed").outcome == TurnOutcome.TURN_OUTCOME_SKIPPED
    assert call.all("audio") == []


async def test_the_metrics_of_a_turn_agree_with_each_other(store: Path) -> None:
    async with serving(store, Fakes(chat=FakeChat(Reply("Hello there.", 0.05, 0.05)))) as server:
        call = server.converse()
        await call.configure()
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        await call.finish()
    completed = call.only("turn_completed")
    metrics = completed.metrics
    for name in (
        "transcription_time_ms",
        "llm_response_time_ms",
        "tts_generation_time_ms",
        "total_latency_ms",
        "time_to_first_token_ms",
        "time_to_first_audio_ms",
        "time_to_first_frame_ms",
        "endpointing_time_ms",
        "time_to_first_speech_byte_ms",
        "first_render_time_ms",
    ):
        assert metrics.HasField(name), name
        assert getattr(metrics, name) >= 0, name
    assert not metrics.HasField("interruption_time_ms")
    assert metrics.total_latency_ms == max(metrics.time_to_first_audio_ms, metrics.time_to_first_frame_ms)
    assert metrics.transcription_time_ms >= 100
    assert metrics.time_to_first_token_ms >= 50
    assert metrics.llm_response_time_ms >= metrics.time_to_first_token_ms + 50
    assert metrics.time_to_first_audio_ms >= (
        metrics.endpointing_time_ms + metrics.transcription_time_ms + metrics.time_to_first_token_ms
    )
    assert metrics.sent_frame_count == len(call.all("frame"))
    assert metrics.sent_frame_count + metrics.held_frame_count == len(call.all("audio"))
    usage = completed.usage
    assert usage.sent_audio.ToMilliseconds() == call.media_ms
    assert usage.speech_character_count == len("Hello there.")
    assert usage.completion_token_count == 2
    assert usage.transcribed_audio.ToMilliseconds() > 800


async def test_text_is_answered_without_the_metrics_of_listening(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.finish()
    metrics = call.only("turn_completed").metrics
    assert not metrics.HasField("transcription_time_ms")
    assert metrics.total_latency_ms == max(metrics.time_to_first_audio_ms, metrics.time_to_first_frame_ms)


async def test_say_speaks_without_the_model_and_waits_its_turn(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.say("Welcome.", request_id="s1")
        await call.say("Sit down.", request_id="s2")
        assert await call.finish() is grpc.StatusCode.OK
    assert server.fakes.chat.requests == []
    assert [turn.generated_text for turn in call.all("turn_completed")] == ["Welcome.", "Sit down."]
    assert [turn.request_id for turn in call.all("turn_started")] == ["s1", "s2"]
    assert {turn.source for turn in call.all("turn_started")} == {TurnSource.TURN_SOURCE_SAY}


async def test_a_first_message_is_spoken_at_once(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(first_message="Welcome.")
        assert await call.finish() is grpc.StatusCode.OK
    assert call.only("turn_started").source == TurnSource.TURN_SOURCE_FIRST_MESSAGE
    assert call.only("turn_completed").heard_text == "Welcome."


async def test_more_says_than_may_wait_are_refused_with_a_notice(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        for number in range(30):
            await call.say(f"{number}.")
        assert await call.finish() is grpc.StatusCode.OK
    refused = [n for n in call.all("notice") if n.reason == NoticeReason.NOTICE_REASON_SAY_QUEUE_FULL]
    assert len(call.all("turn_completed")) + len(refused) == 30
    assert len(refused) >= 1


async def test_a_half_close_lets_queued_turns_finish(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.text("one")
        for number in range(3):
            await call.say(f"Number {number}.")
        assert await call.finish() is grpc.StatusCode.OK
    assert len(call.all("turn_completed")) == 4
    assert {turn.outcome for turn in call.all("turn_completed")} == {TurnOutcome.TURN_OUTCOME_COMPLETED}


async def test_a_half_close_in_the_middle_of_speech_answers_what_was_said(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.speak((0.0, 0.3), (1.0, 0.7))
        assert await call.finish() is grpc.StatusCode.OK
    assert call.only("turn_completed").outcome == TurnOutcome.TURN_OUTCOME_COMPLETED


async def test_a_model_that_fails_is_apologised_for_and_leaves_the_session_alive(store: Path) -> None:
    error = EngineUnavailable("think", "fake", "the vendor's own words")
    fakes = Fakes(chat=FakeChat(Reply(error=error, ttft_s=0.01), Reply("Fine.", 0.01, 0.01)))
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure()
        await call.text("one")
        failed = await call.until("turn_completed")
        await call.text("two")
        assert (await call.until("turn_completed")).outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
        assert await call.finish() is grpc.StatusCode.OK
    assert failed.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
    assert list(failed.degraded_reasons) == [NoticeReason.NOTICE_REASON_CHAT_FAILED]
    assert failed.generated_text == failed.heard_text == "I'm sorry, I'm having trouble right now. Please try again."
    notice = call.all("notice")[0]
    assert (notice.reason, notice.stage) == (NoticeReason.NOTICE_REASON_CHAT_FAILED, Stage.STAGE_THINK)
    assert notice.status.code == Code.CODE_UNAVAILABLE
    assert notice.status.error_info.reason == "CHAT_FAILED"
    assert dict(notice.status.error_info.metadata) == {"stage": "think", "engine": "fake", "fault": "connection"}
    assert "vendor's own words" not in str(call.responses)


async def test_the_session_tells_every_default_that_is_in_force(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.finish()
    started = call.only("session_started")
    config = started.config
    assert started.session_id
    assert (started.frame_width, started.frame_height) == (512, 512)
    assert config.avatar == "avatars/ada"
    assert config.input_audio.sample_rate_hertz == 16_000
    assert config.output_audio.sample_rate_hertz == 24_000
    assert config.frame_format.encoding == FrameEncoding.FRAME_ENCODING_JPEG
    assert config.frame_format.jpeg_quality == 80
    assert (config.frame_format.frame_rate.numerator, config.frame_format.frame_rate.denominator) == (25, 1)
    assert config.pacing.lead == Duration(seconds=1)
    taking = config.turn_taking
    assert taking.mode == TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC
    assert taking.threshold == pytest.approx(0.5)
    assert taking.prefix.ToMilliseconds() == 300
    assert taking.minimum_speech.ToMilliseconds() == 250
    assert taking.silence.ToMilliseconds() == 500
    assert taking.barge_in
    assert config.voice.voice == "voices/21m00Tcm4TlvDq8ikWAM"
    assert config.chat.model == "gpt-4o-mini"
    assert config.chat.max_output_tokens == 150
    assert config.system_prompt
    assert started.limits.max_message_bytes == 65_536
    assert started.limits.max_text_characters == 4_000
    assert started.limits.max_utterance == Duration(seconds=60)
    assert started.limits.max_buffered_audio == Duration(seconds=30)
    assert started.limits.max_queued_says == 8


async def test_what_was_asked_for_is_echoed(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(
            avatar="avatars/bo",
            system_prompt="Be brief.",
            pacing={"lead": Duration(nanos=500_000_000)},
            turn_taking={"threshold": 0.7, "silence": Duration(nanos=300_000_000)},
            voice={"voice": "voices/abc123", "settings": {"stability": 0.1, "speed": 1.1}},
            chat={"temperature": 0.0, "max_output_tokens": 30},
            end_user_id="user-1",
            metadata={"tenant": "t1"},
        )
        await call.text("hello")
        await call.finish()
    config = call.only("session_started").config
    assert config.avatar == "avatars/bo"
    assert config.system_prompt == "Be brief."
    assert config.pacing.lead.ToMilliseconds() == 500
    assert config.turn_taking.threshold == pytest.approx(0.7)
    assert config.turn_taking.silence.ToMilliseconds() == 300
    assert (config.voice.voice, config.end_user_id, dict(config.metadata)) == (
        "voices/abc123",
        "user-1",
        {"tenant": "t1"},
    )
    (voice,) = server.fakes.speech.asked_for
    assert voice.voice_id == "abc123"
    assert (voice.stability, voice.speed) == pytest.approx((0.1, 1.1))
    (options,) = server.fakes.chat.options
    assert (options.temperature, options.max_tokens) == (0.0, 30)
