"""What the service refuses: always with one status that names the field, the limit and the way out."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2

from avatar.v1 import (
    AudioEncoding,
    ConverseConfig,
    ConverseRequest,
    PlaybackReport,
    Resume,
    UserAudio,
    UserText,
)
from avatar_service.rpc import reader
from tests.service.calls import Call, serving
from tests.service.responses import DEADLINE_S

BACKWARDS = Duration(seconds=-1)
OPUS, MULAW = AudioEncoding.AUDIO_ENCODING_OPUS, AudioEncoding.AUDIO_ENCODING_MULAW


async def refused(store: Path, *requests: ConverseRequest) -> tuple[grpc.StatusCode, Call]:
    """The status of a stream that sends these requests."""
    async with serving(store) as server:
        call = server.converse()
        for request in requests:
            await call.write(request)
        code = await call.end()
        assert server.fakes.idle
        return code, call


async def check(store: Path, code: grpc.StatusCode, reason: str, words: list[str], *requests: ConverseRequest) -> Call:
    """The stream ends with this status, and its message and its details say these things."""
    found, call = await refused(store, *requests)
    status = await call.status()
    assert found is code, await call.call.details()
    assert status.code == code.value[0]
    assert status.error_info.reason == reason
    assert status.error_info.domain == "avatar.v1"
    assert status.message == await call.call.details()
    for word in words:
        assert word in status.message
    return call


@pytest.mark.parametrize(
    "request_",
    [
        ConverseRequest(text=UserText(text="hello")),
        ConverseRequest(audio=UserAudio(data=b"\0\0")),
        ConverseRequest(),
    ],
    ids=["text", "audio", "nothing"],
)
async def test_the_configuration_must_come_first(store: Path, request_: ConverseRequest) -> None:
    code = grpc.StatusCode.INVALID_ARGUMENT
    call = await check(store, code, "CONFIG_EXPECTED", ["config", "first"], request_)
    assert (await call.status()).field == "config"
    assert call.responses == []


async def test_a_stream_without_any_message_is_told_to_send_the_configuration(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        assert await call.finish() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await call.status()).error_info.reason == "CONFIG_EXPECTED"


@pytest.mark.parametrize("method", ["converse", "animate"])
async def test_a_stream_that_says_nothing_loses_its_place(
    store: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(reader, "CONFIG_WITHIN_S", 0.2)
    async with serving(store, max_sessions=1) as server:
        call = getattr(server, method)()
        await call.call.wait_for_connection()
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
        status = await call.status()
        assert (status.error_info.reason, status.field) == ("CONFIG_EXPECTED", "config")
        assert "within 0.2 s" in status.message
        monkeypatch.undo()
        next_call = server.converse()
        await next_call.configure()
        assert await next_call.finish() is grpc.StatusCode.OK


async def test_the_configuration_comes_only_once(store: Path) -> None:
    config = ConverseRequest(config=ConverseConfig())
    await check(store, grpc.StatusCode.INVALID_ARGUMENT, "CONFIG_REPEATED", ["config", "once"], config, config)


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"input_audio": {"sample_rate_hertz": 4_000}}, "input_audio.sample_rate_hertz", ["4000", "8000", "48000"]),
        ({"pacing": {"lead": Duration(seconds=9)}}, "pacing.lead", ["9 s", "0.2", "5 s"]),
        ({"pacing": {"lead": BACKWARDS}}, "pacing.lead", ["-1 s"]),
        ({"pacing": {"unpaced": True}}, "pacing.unpaced", ["real time", "Speak or Animate"]),
        ({"input_audio": {"encoding": OPUS, "sample_rate_hertz": 24_000}}, "input_audio.sample_rate_hertz", ["48000"]),
        ({"input_audio": {"encoding": OPUS, "bits_per_second": 9}}, "input_audio.bits_per_second", ["output"]),
        (
            {"output_audio": {"encoding": MULAW, "sample_rate_hertz": 16_000}},
            "output_audio.sample_rate_hertz",
            ["8000"],
        ),
        ({"output_audio": {"sample_rate_hertz": 96_000}}, "output_audio.sample_rate_hertz", ["96000", "48000"]),
        (
            {"output_audio": {"encoding": OPUS, "bits_per_second": 9}},
            "output_audio.bits_per_second",
            ["6000", "128000"],
        ),
        ({"output_audio": {"bits_per_second": 32_000}}, "output_audio.bits_per_second", ["OPUS"]),
        ({"turn_taking": {"threshold": 1.5}}, "turn_taking.threshold", ["1.5", "0.05", "0.95"]),
        ({"turn_taking": {"threshold": float("nan")}}, "turn_taking.threshold", ["nan"]),
        ({"turn_taking": {"silence": Duration(seconds=9)}}, "turn_taking.silence", ["0.1", "5 s"]),
        ({"turn_taking": {"prefix": BACKWARDS}}, "turn_taking.prefix", ["0 to 2 s"]),
        (
            {"turn_taking": {"false_barge_in_wait": Duration(seconds=11)}},
            "turn_taking.false_barge_in_wait",
            ["0 to 10 s"],
        ),
        ({"turn_taking": {"longest_silence": Duration(seconds=6)}}, "turn_taking.longest_silence", ["0 to 5 s"]),
        ({"transcription": {"early": False, "interim": True}}, "transcription.interim", ["early"]),
        ({"transcription": {"language": "English"}}, "transcription.language", ["BCP-47"]),
        ({"idle_timeout": Duration(seconds=5)}, "idle_timeout", ["5 s", "10 to 3600 s"]),
        ({"tools": {"tools": [{"name": "f"}]}}, "tools.tools[0].description", ["empty"]),
        ({"tools": {"timeout": Duration(seconds=121)}}, "tools.timeout", ["1 to 120 s"]),
        ({"disclosure": {"spoken_text": "x" * 501}}, "disclosure.spoken_text", ["501", "500"]),
        ({"turn_taking": {"minimum_speech": Duration(seconds=3)}}, "turn_taking.minimum_speech", ["3 s", "2 s"]),
        ({"chat": {"temperature": 3.0}}, "chat.temperature", ["3", "0 to 2"]),
        ({"chat": {"max_output_tokens": -5}}, "chat.max_output_tokens", ["-5", "4096"]),
        ({"voice": {"settings": {"stability": -0.1}}}, "voice.settings.stability", ["0 to 1"]),
        ({"voice": {"settings": {"speed": 2.0}}}, "voice.settings.speed", ["0.7 to 1.2"]),
        ({"voice": {"voice": "voices/../admin?x"}}, "voice.voice", []),
        ({"system_prompt": "x" * 16_001}, "system_prompt", ["16,001", "16,000"]),
        ({"first_message": "x" * 4_001}, "first_message", ["4,001", "4,000"]),
        ({"transcription": {"prompt": "x" * 1_001}}, "transcription.prompt", ["1,001", "1,000"]),
        ({"end_user_id": "x" * 129}, "end_user_id", ["129", "128"]),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata", ["17", "16"]),
        ({"history": [{"text": "hello"}]}, "history[0].role", ["ROLE_USER", "ROLE_ASSISTANT"]),
        ({"history": [{"role": 1, "text": ""}]}, "history[0].text", ["empty"]),
        ({"history": [{"role": 1, "text": "x" * 4_001}]}, "history[0].text", ["4,000"]),
        ({"history": [{"role": 1, "text": "x"}] * 201}, "history", ["201", "200"]),
        ({"history": [{"role": 1, "text": "x" * 4_000}] * 9}, "history", ["32,000"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_wrong_field_is_named_with_its_limit(
    store: Path, config: dict[str, Any], field: str, words: list[str]
) -> None:
    request = ConverseRequest(config=ConverseConfig(**config))
    code, call = await refused(store, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    status = await call.status()
    assert status.field == f"config.{field}"
    assert status.message.startswith(f"config.{field}: ")
    assert status.error_info.reason in ("FIELD_INVALID", "TEXT_TOO_LONG")
    for word in words:
        assert word in status.message


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"input_audio": {"encoding": 9}}, "config.input_audio.encoding"),
        ({"output_audio": {"encoding": 9}}, "config.output_audio.encoding"),
        ({"frame_format": {"encoding": 9}}, "config.frame_format.encoding"),
        ({"frame_format": {"jpeg_quality": 20}}, "config.frame_format.jpeg_quality"),
        ({"frame_format": {"frame_rate": {"numerator": 30}}}, "config.frame_format.frame_rate"),
        ({"frame_format": {"width": 64, "height": 64}}, "config.frame_format.width"),
        ({"turn_taking": {"mode": 9}}, "config.turn_taking.mode"),
        ({"echo_handling": 9}, "config.echo_handling"),
        ({"disclosure": {"visible_text": "AI"}}, "config.disclosure.visible_text"),
        ({"content_policy": {"name": "contentPolicies/strict"}}, "config.content_policy"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_is_not_served_is_refused_by_name(store: Path, config: dict[str, Any], field: str) -> None:
    code, call = await refused(store, ConverseRequest(config=ConverseConfig(**config)))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    status = await call.status()
    assert status.message.startswith(f"{field}: ")
    assert "serves" in status.message
    assert status.error_info.reason in ("FEATURE_UNSUPPORTED", "FORMAT_UNSUPPORTED")


@pytest.mark.parametrize("mark", ["utterance_started", "utterance_ended"])
async def test_only_a_client_that_decides_about_turns_may_mark_utterances(store: Path, mark: str) -> None:
    payload: dict[str, Any] = {mark: {}}
    code, call = await refused(store, ConverseRequest(config=ConverseConfig()), ConverseRequest(**payload))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    status = await call.status()
    assert status.field == mark
    assert "TURN_TAKING_MODE_MANUAL" in status.message


@pytest.mark.parametrize("name", ["avatars/nobody", "nobody", "avatars/../ada", "AVATARS/ADA", "x" * 3_000])
async def test_an_avatar_that_is_not_there_is_not_found(store: Path, name: str) -> None:
    request = ConverseRequest(config=ConverseConfig(avatar=name))
    call = await check(store, grpc.StatusCode.NOT_FOUND, "AVATAR_NOT_FOUND", ["avatar", "ada, bo"], request)
    assert len((await call.status()).message) < 1_000


async def test_a_session_cannot_be_resumed_with_any_token(store: Path) -> None:
    request = ConverseRequest(config=ConverseConfig(resume=Resume(resume_token="abc")))
    call = await check(store, grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", ["resume"], request)
    assert "abc" not in (await call.status()).message


@pytest.mark.parametrize(
    ("payload", "field", "words"),
    [
        ({"audio": UserAudio(data=b"\0\0\0")}, "audio.data", ["3 bytes"]),
        ({"audio": UserAudio()}, "audio.data", ["0 bytes"]),
        ({"text": UserText()}, "text.text", ["empty"]),
        ({"text": UserText(text=" \n ")}, "text.text", ["empty"]),
        ({"text": UserText(text="x" * 4_001)}, "text.text", ["4,001", "4,000"]),
        ({"text": UserText(text="x", request_id="y" * 65)}, "text.request_id", ["65", "64"]),
        ({"say": {"text": ""}}, "say.text", ["empty"]),
        ({"say": {"text": "x" * 4_001}}, "say.text", ["4,000"]),
        ({"playback_report": {"turn_id": 1, "position": BACKWARDS}}, "playback_report.position", ["-1 s", "from 0"]),
        ({"tool_results": {}}, "tool_results.results", ["0 results", "64"]),
        ({"tool_results": {"results": [{}]}}, "tool_results.results[0].tool_call_id", ["empty"]),
        (
            {"tool_results": {"results": [{"tool_call_id": "a", "output": "x" * 32_001}]}},
            "tool_results.results[0].output",
            ["32,001", "32,000"],
        ),
        ({"config_update": {"system_prompt": "x" * 16_001}}, "config_update.system_prompt", ["16,001", "16,000"]),
        ({"config_update": {"turn_taking": {"threshold": 2.0}}}, "config_update.turn_taking.threshold", ["0.95"]),
        ({"config_update": {"tools": {"tools": [{"name": "?"}]}}}, "config_update.tools.tools[0].name", ["letters"]),
        (
            {"config_update": {"chat": {"preemptive": True}, "transcription": {"early": False}}},
            "config_update.chat.preemptive",
            ["early"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_wrong_input_ends_the_stream_and_names_the_field(
    store: Path, payload: dict[str, Any], field: str, words: list[str]
) -> None:
    requests = ConverseRequest(config=ConverseConfig()), ConverseRequest(**payload)
    code, call = await refused(store, *requests)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    status = await call.status()
    assert (status.field, call.kinds) == (field, ["session_started"])
    for word in words:
        assert word in status.message


@pytest.mark.parametrize("seconds", [5, 10**9, 315_576_000_000])
async def test_a_report_beyond_all_reason_harms_nobody(store: Path, seconds: int) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio")
        await call.send(playback_report=PlaybackReport(turn_id=1, position=Duration(seconds=seconds)))
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_message_that_is_too_large_is_refused(store: Path) -> None:
    requests = (
        ConverseRequest(config=ConverseConfig()),
        ConverseRequest(audio=UserAudio(data=bytes(70_000))),
    )
    code, call = await refused(store, *requests)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "65536" in (await call.call.details() or "")


async def test_bytes_that_are_no_message_are_the_callers_error(store: Path) -> None:
    async with serving(store) as server:
        call: Any = server.channel.stream_stream("/avatar.v1.AvatarService/Converse")()
        await call.write(b"\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_one_session_too_many_is_told_when_to_come_back_and_health_stays(store: Path) -> None:
    async with serving(store, max_sessions=2) as server:
        calls = [server.converse() for _ in range(2)]
        for call in calls:
            await call.configure()
        refused_call = server.converse()
        await refused_call.send(config=ConverseConfig())
        assert await refused_call.end() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = await refused_call.status()
        assert status.error_info.reason == "SESSIONS_EXHAUSTED"
        assert status.retry_delay.ToMilliseconds() > 0
        assert {detail.type_url for detail in status.details} == {
            "type.googleapis.com/google.rpc.ErrorInfo",
            "type.googleapis.com/google.rpc.RetryInfo",
        }
        checked = await server.health.Check(health_pb2.HealthCheckRequest(service="avatar.v1.AvatarService"))
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        assert await calls[0].finish() is grpc.StatusCode.OK
        await _until_admitted(server.converse)
        assert await calls[1].finish() is grpc.StatusCode.OK


async def _until_admitted(converse: Any) -> None:
    """A place that became free is given to the next caller."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            call = converse()
            await call.send(config=ConverseConfig())
            if await call.finish() is grpc.StatusCode.OK:
                return
