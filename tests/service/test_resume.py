"""Sessions that outlive their streams."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    ConfigUpdate,
    GetServerInfoRequest,
    GoAwayReason,
    HistoryMessage,
    Role,
    TurnSource,
    VoiceConfig,
)
from avatar_service.engines.base import Message
from avatar_service.rpc import config_from_proto
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.service.calls import Call, Fakes, serving
from tests.service.responses import DEADLINE_S
from tests.service.resuming import begun, resumed

STORY = "The moon is near. It turns with us. One face is all we see. The other is dark to us but not to the sun."


def storyteller() -> Fakes:
    """A reply of two seconds, written at once, and a short one."""
    return Fakes(
        transcriber=FakeTranscriber(Heard("hello", 0.02)),
        chat=FakeChat(Reply(STORY, 0.01, 0.01), Reply("Yes.", 0.01, 0.01)),
        speech=FakeSpeech(ttfb_s=0.02, rate=6.0, seconds_per_character=0.02),
        lip_sync=FakeLipSync(render_s=0.002),
    )


async def played(call: Call, words: int) -> Any:
    """Read on until so many words of the turn have begun; returns the last of them."""
    for _ in range(words):
        word = await call.until("spoken_text")
    return word


async def test_a_session_tells_what_resumes_it_for_how_long_and_how_old_a_stream_may_be(store: Path) -> None:
    async with serving(store) as server, begun(server) as (_, started):
        assert started.resume_token.startswith(f"{started.session_id}.")
        assert started.resume_window.ToSeconds() == 120
        assert started.limits.max_session_age.ToSeconds() == 3600
        assert not started.resumed
        assert started.last_turn_id == started.audio_received_offset.ToNanoseconds() == 0
        info = await server.stub.GetServerInfo(GetServerInfoRequest())
        assert "resume" in info.features
        assert info.limits.max_session_age.ToSeconds() == 3600


async def test_a_session_goes_on_with_its_name_its_history_and_its_settings(store: Path) -> None:
    fakes = Fakes()
    async with serving(store, fakes) as server:
        history = [HistoryMessage(role=Role.ROLE_USER, text="I am Ada.")]
        async with begun(server, history=history, system_prompt="Be brief.", metadata={"room": "7"}) as (call, first):
            await call.text("who am I?")
            await call.until("turn_completed")
            await call.send(config_update=ConfigUpdate(voice=VoiceConfig(voice="voices/george")))
            await call.until("config_updated")
        call, started = await resumed(server, first.resume_token)
        assert started.resumed
        assert started.session_id == first.session_id
        assert started.last_turn_id == 1
        assert started.resume_token not in ("", first.resume_token)
        assert (started.config.system_prompt, dict(started.config.metadata)) == ("Be brief.", {"room": "7"})
        assert started.config.voice.voice == "voices/george"
        assert not started.config.HasField("resume")
        await call.text("and you?")
        assert (await call.until("turn_started")).turn_id == 2
        assert await call.finish() is grpc.StatusCode.OK
        assert fakes.chat.requests[-1] == [
            Message("system", "Be brief."),
            Message("user", "I am Ada. who am I?"),
            Message("assistant", "Hello there."),
            Message("user", "and you?"),
        ]
        assert fakes.speech.asked_for[-1].voice_id == "george"


async def test_a_reply_that_was_cut_is_heard_to_its_end_and_no_word_twice(store: Path) -> None:
    async with serving(store, storyteller()) as server:
        async with begun(server) as (call, first):
            await call.text("tell me")
            word = await played(call, words=6)
            heard = [word.text.strip() for word in call.all("spoken_text")]
        call, started = await resumed(server, first.resume_token, turn_id=1, position=word.end_offset)
        assert started.last_turn_id == 1
        turn = await call.until("turn_started")
        assert (turn.turn_id, turn.source, turn.resumes_turn_id) == (2, TurnSource.TURN_SOURCE_RESUME, 1)
        completed = await call.until("turn_completed")
        assert " ".join([*heard, completed.heard_text]) == STORY
        await call.text("thanks")
        assert await call.finish() is grpc.StatusCode.OK
        assert server.fakes.chat.requests[-1][-3:] == [
            Message("user", "tell me"),
            Message("assistant", STORY),
            Message("user", "thanks"),
        ]


async def test_a_reply_of_which_nothing_was_written_is_asked_for_again(store: Path) -> None:
    fakes = storyteller()
    fakes.chat = FakeChat(Reply(ttft_s=float("inf")), Reply("Yes.", 0.01, 0.01))
    async with serving(store, fakes) as server:
        async with begun(server) as (call, first):
            await call.text("tell me")
            async with asyncio.timeout(DEADLINE_S):
                while not fakes.chat.running:
                    await asyncio.sleep(0.005)
        call, _ = await resumed(server, first.resume_token)
        turn = await call.until("turn_started")
        assert (turn.turn_id, turn.resumes_turn_id) == (2, 1)
        assert (await call.until("turn_completed")).heard_text == "Yes."
        assert fakes.chat.requests[1] == fakes.chat.requests[0]
        assert await call.finish() is grpc.StatusCode.OK


async def test_audio_that_was_not_understood_is_sent_again_and_answered_once(store: Path) -> None:
    fakes = storyteller()
    fakes.transcriber = FakeTranscriber(Heard("lost", delay_s=60.0), Heard("hello", 0.02))
    async with serving(store, fakes) as server:
        async with begun(server) as (call, first):
            await call.speak((0.0, 1.0), (1.0, 0.8), (0.0, 0.7))
            began_s = (await call.until("speech_started")).offset.ToNanoseconds() / 1e9
            await call.until("speech_stopped")
        call, started = await resumed(server, first.resume_token)
        offset_s = started.audio_received_offset.ToNanoseconds() / 1e9
        assert 0 < offset_s <= began_s
        await call.speak((0.0, 1.0 - offset_s), (1.0, 0.8), (0.0, 0.7))
        spoken = await call.until("speech_started")
        assert spoken.utterance_id == 2
        assert spoken.offset.ToNanoseconds() / 1e9 == pytest.approx(began_s, abs=0.1)
        assert (await call.until("transcript", lambda transcript: transcript.final)).text == "hello"
        assert await call.finish() is grpc.StatusCode.OK
        assert [message.text for message in fakes.chat.requests[-1]][-1] == "hello"
        assert len(fakes.chat.requests) == 1


async def test_requests_that_are_sent_again_are_answered_once(store: Path) -> None:
    async with serving(store, storyteller()) as server:
        async with begun(server) as (call, first):
            await call.text("tell me", request_id="r-0")
            await call.say("Goodbye.", request_id="r-1")
            await played(call, words=1)
        call, _ = await resumed(server, first.resume_token)
        await call.text("tell me", request_id="r-0")
        await call.say("Goodbye.", request_id="r-1")
        await call.say("Once more.", request_id="r-2")
        assert await call.finish() is grpc.StatusCode.OK
        assert [(turn.source, turn.request_id) for turn in call.all("turn_started")] == [
            (TurnSource.TURN_SOURCE_RESUME, "r-0"),
            (TurnSource.TURN_SOURCE_SAY, "r-1"),
            (TurnSource.TURN_SOURCE_SAY, "r-2"),
        ]
        assert len(server.fakes.chat.requests) == 1


async def test_a_token_takes_over_from_a_stream_that_is_still_there(store: Path) -> None:
    async with serving(store, storyteller()) as server, begun(server) as (old, first):
        await old.text("tell me")
        word = await played(old, words=3)
        heard = [word.text.strip() for word in old.all("spoken_text")]
        new, started = await resumed(server, first.resume_token, turn_id=1, position=word.end_offset)
        began_s = asyncio.get_running_loop().time()
        assert await old.end() is grpc.StatusCode.ABORTED
        assert asyncio.get_running_loop().time() - began_s < 1.0
        assert (await old.status()).error_info.reason == "SESSION_TAKEN_OVER"
        assert started.session_id == first.session_id
        assert " ".join([*heard, (await new.until("turn_completed")).heard_text]) == STORY
        assert await new.finish() is grpc.StatusCode.OK


async def test_speech_and_lip_sync_of_a_client_that_vanished_stop_within_a_second(store: Path) -> None:
    loop = asyncio.get_running_loop()
    async with serving(store, storyteller()) as server:
        call = server.converse()
        await call.configure()
        await call.text("tell me")
        await call.until("frame")
        call.call.cancel()
        began_s = loop.time()
        async with asyncio.timeout(DEADLINE_S):
            while not server.fakes.idle:
                await asyncio.sleep(0.005)
        assert loop.time() - began_s < 1.0
        requests = len(server.fakes.lip_sync.requests)
        await asyncio.sleep(0.1)  # longer than a request takes: none may follow
        assert len(server.fakes.lip_sync.requests) == requests


async def test_a_stream_that_grows_old_is_told_and_ends_and_its_session_goes_on(store: Path) -> None:
    async with serving(store, sessions={"age_s": 1.0, "go_away_s": 0.8}) as server, begun(server) as (call, first):
        go_away = await call.until("go_away")
        assert go_away.reason == GoAwayReason.GO_AWAY_REASON_SESSION_AGE
        assert 0.5 < go_away.time_left.ToNanoseconds() / 1e9 <= 0.8
        assert go_away.resume_token == first.resume_token
        assert await call.end() is grpc.StatusCode.ABORTED
        assert (await call.status()).error_info.reason == "SESSION_AGE_REACHED"
        again, started = await resumed(server, go_away.resume_token)
        assert started.session_id == first.session_id
        assert await again.finish() is grpc.StatusCode.OK


async def test_a_stream_in_which_nothing_happens_ends_and_its_session_goes_on(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_from_proto, "DEFAULT_IDLE_TIMEOUT_S", 0.3)
    async with serving(store) as server, begun(server) as (call, first):
        assert await call.end() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await call.status()).error_info.reason == "IDLE"
        again, _ = await resumed(server, first.resume_token)
        assert await again.finish() is grpc.StatusCode.OK


async def test_messages_that_say_nothing_keep_a_stream_alive(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_from_proto, "DEFAULT_IDLE_TIMEOUT_S", 0.5)
    async with serving(store) as server, begun(server) as (call, _):
        for _ in range(10):
            await asyncio.sleep(0.1)
            await call.speak((0.0, 0.1))
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_server_that_stops_tells_every_conversation_what_resumes_it(store: Path) -> None:
    async with serving(store, stop_grace_s=0.5) as server, asyncio.TaskGroup() as tasks:
        calls = [server.converse() for _ in range(3)]
        for call in calls:
            await call.configure()
        tasks.create_task(server.stop())
        for call in calls:
            go_away = await call.until("go_away")
            assert go_away.reason == GoAwayReason.GO_AWAY_REASON_DRAINING
            assert go_away.time_left.ToMilliseconds() == 500
            assert go_away.resume_token == call.only("session_started").resume_token
            assert await call.end() is grpc.StatusCode.UNAVAILABLE
            assert (await call.status()).error_info.reason == "DRAINING"
