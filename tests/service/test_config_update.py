"""Settings that change while a conversation goes on, over a real socket."""

from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from tests.service.calls import SPEECH_THEN_SILENCE, serving


def seconds(value: float) -> Duration:
    return Duration(nanos=round(value * 1e9))


async def test_the_next_turn_goes_by_the_new_settings(store: Path) -> None:
    update: dict[str, Any] = {
        "system_prompt": "Be kind.",
        "voice": {"voice": "voices/other"},
        "chat": {"temperature": 0.25, "max_output_tokens": 20},
        "avatar": "avatars/bo",
        "tools": {"tools": [{"name": "hang_up", "description": "Ends the call."}]},
    }
    async with serving(store) as server:
        call = server.converse()
        await call.configure(system_prompt="Be brief.", end_user_id="u-7")
        before = call.only("session_started").config
        await call.text("hello")
        await call.until("turn_completed")
        await call.send(config_update=update)
        told = (await call.until("config_updated")).config
        await call.text("hello again")
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    assert (before.avatar, told.avatar, told.system_prompt) == ("avatars/ada", "avatars/bo", "Be kind.")
    assert (told.voice.voice, told.chat.max_output_tokens, told.end_user_id) == ("voices/other", 20, "u-7")
    assert told.turn_taking == before.turn_taking
    old, new = server.fakes.chat.options
    assert (old.tools, new.temperature, [tool.name for tool in new.tools]) == ((), 0.25, ["hang_up"])
    assert [messages[0].text for messages in server.fakes.chat.requests] == ["Be brief.", "Be kind."]
    assert [voice.voice_id for voice in server.fakes.speech.asked_for] == ["21m00Tcm4TlvDq8ikWAM", "other"]


async def test_a_turn_that_runs_goes_on_as_it_began(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(system_prompt="Be brief.")
        await call.text("hello")
        await call.until("audio")
        await call.send(config_update={"system_prompt": "Be kind."})
        await call.until("config_updated")
        assert (await call.until("turn_completed")).heard_text == "Hello there."
        await call.text("hello again")
        assert await call.finish() is grpc.StatusCode.OK
    assert [messages[0].text for messages in server.fakes.chat.requests] == ["Be brief.", "Be kind."]


async def test_turn_taking_changes_at_once(store: Path) -> None:
    """With a closing silence of 5 s the utterance would not end."""
    async with serving(store) as server:
        call = server.converse()
        await call.configure(turn_taking={"silence": Duration(seconds=5)})
        await call.send(config_update={"turn_taking": {"silence": seconds(0.5)}})
        told = (await call.until("config_updated")).config
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("speech_stopped")
        assert await call.finish() is grpc.StatusCode.OK
    assert told.turn_taking.silence == seconds(0.5)


async def test_an_empty_update_is_answered_with_what_holds(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.send(config_update={})
        assert (await call.until("config_updated")).config == call.only("session_started").config
        assert await call.finish() is grpc.StatusCode.OK
