"""The configuration of a conversation: what is asked for, what holds, and what is refused."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import (
    ConverseConfig,
    Disclosure,
    EchoHandling,
    ToolConfig,
    TranscriptionConfig,
    TurnTakingConfig,
    TurnTakingMode,
)
from avatar_service.errors import ClientError, InvalidArgument, Unimplemented
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.session.config import TurnTakingSettings
from tests.unit.rpc.configuring import configured

WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters_json": '{"type": "object", "properties": {}}',
}
EVERYTHING: dict[str, Any] = {
    "avatar": "avatars/bo",
    "input_audio": {"encoding": 1, "sample_rate_hertz": 8_000},
    "pacing": {"lead": seconds(0.5)},
    "turn_taking": {
        "mode": "TURN_TAKING_MODE_MANUAL",
        "threshold": 0.25,
        "prefix": seconds(0.125),
        "minimum_speech": seconds(0.5),
        "silence": seconds(1),
        "barge_in": False,
        "false_barge_in_wait": seconds(3),
        "longest_silence": seconds(2),
    },
    "transcription": {"model": "m", "language": "pt-BR", "prompt": "p", "interim": True, "early": True},
    "chat": {"model": "c", "temperature": 0.5, "max_output_tokens": 20, "preemptive": True},
    "voice": {"voice": "voices/v", "model": "v1", "settings": {"stability": 0.25}, "language": "en"},
    "system_prompt": "Be brief.",
    "first_message": "Hello.",
    "tools": {"tools": [WEATHER], "timeout": seconds(30)},
    "idle_frames": True,
    "idle_timeout": seconds(60),
    "end_user_id": "u-7",
    "metadata": {"a": "b"},
    "disclosure": {"spoken_text": "I am a machine."},
    "echo_handling": "ECHO_HANDLING_SUPPRESS",
}
"""Every field of a new conversation that is not one of the formats, none of them at its default."""


def test_what_is_left_out_has_the_defaults_of_the_contract() -> None:
    configuration = configured()
    told, session = configuration.told, configuration.conversation.session
    assert told.turn_taking == TurnTakingConfig(
        mode=TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC,
        threshold=0.5,
        prefix=seconds(0.3),
        minimum_speech=seconds(0.25),
        silence=seconds(0.5),
        barge_in=True,
        false_barge_in_wait=seconds(2),
        longest_silence=Duration(),
    )
    assert told.transcription == TranscriptionConfig(model="whisper-1", interim=False, early=True)
    assert told.chat.preemptive is False
    assert told.HasField("idle_frames")
    assert told.idle_frames is False
    assert told.idle_timeout == seconds(300)
    assert told.tools == ToolConfig(timeout=seconds(15))
    assert told.echo_handling == EchoHandling.ECHO_HANDLING_CLIENT_CANCELS
    assert not told.HasField("disclosure")
    assert session.turn_taking == TurnTakingSettings()
    assert (session.idle_frames, session.idle_timeout_s, session.tool_timeout_s) == (False, 300.0, 15.0)
    assert (session.turn.chat.tools, session.turn.chat.end_user_id) == ((), "")


def test_everything_that_is_asked_for_reaches_the_session() -> None:
    session = configured(**EVERYTHING).conversation.session
    assert session.avatar.avatar_id == "bo"
    assert session.turn_taking == TurnTakingSettings(
        manual=True,
        barge_in=False,
        false_barge_in_wait_s=3.0,
        suppress_echo=True,
        early=True,
        interim=True,
        preemptive=True,
        longest_silence_s=2.0,
    )
    assert [tool.name for tool in session.turn.chat.tools] == ["get_weather"]
    assert session.turn.chat.end_user_id == "u-7"
    assert session.turn.transcription.language == "pt-BR"
    assert session.first_message == "I am a machine. Hello."
    assert (session.idle_frames, session.idle_timeout_s, session.tool_timeout_s) == (True, 60.0, 30.0)


@pytest.mark.parametrize("fields", [{}, EVERYTHING], ids=["nothing", "everything"])
def test_what_is_told_is_whole_and_asked_for_again_means_the_same(fields: dict[str, Any]) -> None:
    configuration = configured(**fields)
    told = configuration.told
    for field, value in ConverseConfig(**fields).ListFields():
        if field.message_type is None:
            assert getattr(told, field.name) == value, field.name
    assert configured(**{field.name: value for field, value in told.ListFields()}).told == told


@pytest.mark.parametrize("echoed", ["history", "resume"])
def test_history_and_token_are_not_told(echoed: str) -> None:
    told = configured(history=[{"role": 1, "text": "hello"}]).told
    assert echoed not in {field.name for field, _ in told.ListFields()}


def test_there_are_no_idle_frames_where_there_are_no_frames() -> None:
    configuration = configured(idle_frames=True, audio_only=True)
    assert configuration.conversation.session.idle_frames is False
    assert configuration.told.idle_frames is False


@pytest.mark.parametrize(
    ("config", "spoken"),
    [
        ({"disclosure": {"spoken_text": " I am a machine. "}}, "I am a machine."),
        ({"first_message": " Hello. "}, "Hello."),
        ({"disclosure": {"spoken_text": "I am a machine."}, "first_message": "Hello."}, "I am a machine. Hello."),
    ],
)
def test_what_is_disclosed_is_spoken_before_the_first_message(config: dict[str, Any], spoken: str) -> None:
    assert configured(**config).conversation.session.first_message == spoken


def test_what_is_disclosed_is_echoed_apart() -> None:
    told = configured(disclosure={"spoken_text": "I am a machine."}, first_message="Hello.").told
    assert (told.disclosure, told.first_message) == (Disclosure(spoken_text="I am a machine."), "Hello.")


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"turn_taking": {"false_barge_in_wait": seconds(11)}}, "turn_taking.false_barge_in_wait", ["11 s", "10 s"]),
        ({"turn_taking": {"longest_silence": seconds(6)}}, "turn_taking.longest_silence", ["6 s", "0 to 5 s"]),
        (
            {"turn_taking": {"longest_silence": seconds(1)}, "transcription": {"early": False}},
            "turn_taking.longest_silence",
            ["transcription.early"],
        ),
        ({"transcription": {"early": False, "interim": True}}, "transcription.interim", ["transcription.early"]),
        (
            {"chat": {"preemptive": True}, "transcription": {"early": False}},
            "chat.preemptive",
            ["config.transcription.early", "true"],
        ),
        ({"transcription": {"language": "English"}}, "transcription.language", ["BCP-47", "pt-BR"]),
        ({"transcription": {"model": "m" * 129}}, "transcription.model", ["129", "128"]),
        ({"chat": {"model": "m" * 129}}, "chat.model", ["129", "128"]),
        ({"voice": {"language": "en_US"}}, "voice.language", ["BCP-47"]),
        ({"idle_timeout": seconds(9)}, "idle_timeout", ["9 s", "10 to 3600 s"]),
        ({"idle_timeout": seconds(3_601)}, "idle_timeout", ["3601 s"]),
        ({"tools": {"tools": [WEATHER, WEATHER]}}, "tools.tools[1].name", ["another"]),
        ({"tools": {"timeout": seconds(0.5)}}, "tools.timeout", ["1 to 120 s"]),
        ({"disclosure": {"spoken_text": "x" * 501}}, "disclosure.spoken_text", ["501", "500"]),
        ({"disclosure": {"spoken_text": "x" * 500}, "first_message": "y" * 3_500}, "first_message", ["4,001", "4,000"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_field_is_named_with_its_limit(config: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        configured(**config)
    assert refused.value.field == f"config.{field}"
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("config", "field", "served"),
    [
        ({"turn_taking": {"mode": 9}}, "turn_taking.mode", "AUTOMATIC and MANUAL"),
        ({"echo_handling": 9}, "echo_handling", "CLIENT_CANCELS and SUPPRESS"),
        ({"disclosure": {"visible_text": "AI"}}, "disclosure.visible_text", "spoken_text"),
        ({"content_policy": {}}, "content_policy", "vendors"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_not_served_is_named_with_what_is(config: dict[str, Any], field: str, served: str) -> None:
    with pytest.raises(Unimplemented, match=f"^config.{field}: .*serves.*{served}"):
        configured(**config)


@pytest.mark.parametrize("code", ["", "en", "pt-BR", "zh-Hant-TW", "yue", "es-419", "sl-rozaj-1994"])
def test_a_language_is_a_bcp_47_code(code: str) -> None:
    assert configured(transcription={"language": code}).conversation.session.turn.transcription.language == code


@pytest.mark.parametrize("code", ["e", "english", "en_US", "en-", "en-US-", "ü", "en\n"])
def test_and_nothing_else(code: str) -> None:
    with pytest.raises(ClientError, match="BCP-47"):
        configured(transcription={"language": code})
