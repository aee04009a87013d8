"""Every fault on the speech WebSockets."""

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any, Final

import pytest
import websockets

from avatar_service.sandbox.app import Sandbox
from tests.service.sandbox.faulty import KEY, PATIENCE_S, QUIET_S, REPLAY, VOICE_ID, faulty_sandbox

TEXT: Final = "It is quite far. "
SPEECH_BYTES: Final = 2 * 1500 * len(TEXT)
"""A sixteenth of a second a character, at 24 kHz, two bytes a sample."""
SINGLE: Final = ({"text": " "}, {"text": TEXT, "flush": True}, {"text": ""})
MULTI: Final = (
    {"text": " ", "context_id": "a"},
    {"text": TEXT, "context_id": "a", "flush": True},
    {"context_id": "a", "close_context": True},
    {"close_socket": True},
)
both = pytest.mark.parametrize(("path", "messages"), [("stream-input", SINGLE), ("multi-stream-input", MULTI)])
STOP_S = 5.0
"""A stop that waited for what is silent would take minutes; on a quiet machine it is over within a second."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back: messages, those that are no JSON as text. ``code`` is the close's, 1006 for a reset, or None."""

    messages: list[Any]
    code: int | None
    reason: str | None

    @property
    def chunks(self) -> list[bytes]:
        """The sound, message by message."""
        return [
            base64.b64decode(message["audio"])
            for message in self.messages
            if isinstance(message, dict) and message.get("audio")
        ]

    @property
    def is_final(self) -> bool:
        return any(isinstance(message, dict) and message.get("isFinal") for message in self.messages)


def connect(url: str, path: str) -> Any:
    address = f"{url.replace('http', 'ws')}/elevenlabs/v1/text-to-speech/{VOICE_ID}/{path}?output_format=pcm_24000"
    return websockets.connect(
        address, additional_headers={"xi-api-key": KEY}, close_timeout=QUIET_S, open_timeout=PATIENCE_S
    )


async def speak(url: str, path: str, messages: Any, *, most: int | None = None) -> Heard:
    """Say everything, then listen until the connection ends; with ``most`` hang up once it is quiet after so many."""
    heard: list[Any] = []
    async with connect(url, path) as socket:
        try:
            for message in messages:
                await socket.send(json.dumps(message))
        except websockets.ConnectionClosed:
            pass
        try:
            while True:
                enough = most is not None and len(heard) >= most
                async with asyncio.timeout(QUIET_S if enough else PATIENCE_S):
                    heard.append(_parsed(await socket.recv()))
        except TimeoutError:
            return Heard(heard, None, None)
        except websockets.ConnectionClosed as closed:
            frame = closed.rcvd
            return Heard(heard, frame.code if frame else 1006, frame.reason if frame else None)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def faulty(path: str, messages: Any, *, most: int | None = None, **fault: Any) -> Heard:
    """What a connection with a fault brings; the next one must be healthy."""
    async with faulty_sandbox({"on": "speech_socket", "nth": [1], **fault}) as (sandbox, url):
        heard = await speak(url, path, messages, most=most)
        healthy = await speak(url, path, messages)
        async with asyncio.timeout(PATIENCE_S):
            while any(record["outcome"] == "running" for record in sandbox.requests()):
                await asyncio.sleep(0.001)
        first, second = sandbox.requests()
    assert (first["fault"], second["fault"]) == (fault["fault"], None)
    failed = fault["fault"] in ("cut", "close")
    assert first["outcome"] == ("failed" if failed else "cancelled" if heard.code is None else "completed")
    assert (sum(map(len, healthy.chunks)), healthy.is_final, healthy.code) == (SPEECH_BYTES, True, 1000)
    return heard


@both
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"fault": "status", "status": 401}, 401),
        ({"fault": "status", "status": 429, "retry_after_s": 2}, 429),
        ({"fault": "content_type"}, 200),
    ],
)
async def test_a_handshake_is_refused(path: str, messages: Any, fault: dict[str, Any], status: int) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with faulty_sandbox({"on": "speech_socket", **fault}) as (_, url):
            await speak(url, path, messages)

    assert caught.value.response.status_code == status
    assert caught.value.response.headers.get("Retry-After") == ("2" if status == 429 else None)


@both
async def test_a_handshake_is_cut(path: str, messages: Any) -> None:
    async with faulty_sandbox({"on": "speech_socket", "fault": "cut"}) as (_, url):
        with pytest.raises(websockets.InvalidMessage):
            await speak(url, path, messages)


@both
async def test_a_handshake_hangs(path: str, messages: Any) -> None:
    async with faulty_sandbox({"on": "speech_socket", "fault": "hang"}) as (_, url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await speak(url, path, messages)


@both
@pytest.mark.parametrize("after", [0, 2])
async def test_a_connection_stalls_after_some_messages(path: str, messages: Any, after: int) -> None:
    heard = await faulty(path, messages, fault="stall", after=after, most=after)

    assert (len(heard.messages), len(heard.chunks), heard.code) == (after, after, None)


@both
@pytest.mark.parametrize("after", [1, 3])
async def test_a_connection_is_reset_after_some_messages(path: str, messages: Any, after: int) -> None:
    heard = await faulty(path, messages, fault="cut", after=after)

    assert (len(heard.messages), len(heard.chunks), heard.code) == (after, after, 1006)


@both
async def test_a_reset_after_more_messages_than_there_are_takes_the_place_of_the_close(
    path: str, messages: Any
) -> None:
    heard = await faulty(path, messages, fault="cut", after=1000)

    assert (sum(map(len, heard.chunks)), heard.is_final, heard.code) == (SPEECH_BYTES, True, 1006)


@both
@pytest.mark.parametrize(
    ("code", "error"), [({}, "internal_server_error"), ({"code": "quota_exceeded"}, "quota_exceeded")]
)
async def test_an_error_message_comes_without_a_close(
    path: str, messages: Any, code: dict[str, str], error: str
) -> None:
    heard = await faulty(path, messages, fault="error_frame", after=1, most=2, **code)

    assert (len(heard.chunks), heard.messages[1]["error"], heard.code) == (1, error, None)
    assert heard.messages[1]["message"]


@both
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "internal_server_error"),
        ({"code": 1008, "after": 2}, "quota_exceeded"),
        ({"code": 1008, "error": "input_timeout_exceeded"}, "input_timeout_exceeded"),
        ({"code": 1013, "after": 1}, "system_busy"),
        ({"code": 1001}, "going_away"),
        ({"code": 4001}, "error"),
        ({"code": 1000, "after": 1}, None),
    ],
)
async def test_a_close_says_what_is_wrong_before(
    path: str, messages: Any, fields: dict[str, Any], error: str | None
) -> None:
    heard = await faulty(path, messages, fault="close", **fields)

    code, after = fields.get("code", 1011), fields.get("after", 0)
    assert (len(heard.chunks), heard.code) == (after, code)
    assert [message["error"] for message in heard.messages[after:]] == ([] if error is None else [error])
    assert all(message["code"] == code for message in heard.messages[after:])


@both
async def test_garbage_takes_the_place_of_all_messages_from_one_on(path: str, messages: Any) -> None:
    heard = await faulty(path, messages, fault="garbage", after=1)

    assert len(heard.chunks) == 1
    assert len(heard.messages) > 2
    assert all(isinstance(message, str) for message in heard.messages[1:])


@both
async def test_empty_speech_is_final_and_silent(path: str, messages: Any) -> None:
    heard = await faulty(path, messages, fault="empty")

    assert (heard.chunks, heard.is_final, heard.code) == ([], True, 1000)


@both
async def test_speech_of_odd_length_straddles_messages(path: str, messages: Any) -> None:
    heard = await faulty(path, messages, fault="odd_length")

    assert len(heard.chunks[0]) % 2 == 1
    assert sum(map(len, heard.chunks)) == SPEECH_BYTES - 1


@both
async def test_endless_speech_goes_on_until_the_caller_hangs_up(path: str, messages: Any) -> None:
    async with (
        faulty_sandbox({"on": "speech_socket", "fault": "endless"}) as (sandbox, url),
        asyncio.timeout(PATIENCE_S),
    ):
        async with connect(url, path) as socket:
            for message in messages:
                await socket.send(json.dumps(message))
            sound = 0
            while sound < 3 * SPEECH_BYTES:
                sound += len(base64.b64decode(json.loads(await socket.recv())["audio"]))
        while (record := sandbox.requests()[0])["outcome"] == "running":
            await asyncio.sleep(0.001)

    assert record["outcome"] == "cancelled"


@both
async def test_speech_drips_slower_than_real_time(path: str, messages: Any) -> None:
    async with faulty_sandbox({"on": "speech_socket", "fault": "drip", "rate": 0.5}) as (_, url):
        heard = await speak(url, path, messages, most=1)

    assert len(heard.chunks) == 1


async def test_one_connection_fails_in_its_second_turn() -> None:
    """``after`` counts the messages of all contexts."""
    turn = [{"text": TEXT, "context_id": "a", "flush": True}]
    async with faulty_sandbox() as (sandbox, url):
        whole = await speak(url, "multi-stream-input", MULTI)
        sandbox.faults.replace([{"on": "speech_socket", "fault": "close", "after": len(whole.chunks)}])
        first = await speak(url, "multi-stream-input", turn, most=len(whole.chunks))
        second = await speak(url, "multi-stream-input", [*turn, {"text": TEXT, "context_id": "b", "flush": True}])

    assert (sum(map(len, first.chunks)), first.code) == (SPEECH_BYTES, None)
    assert (sum(map(len, second.chunks)), second.code) == (SPEECH_BYTES, 1011)


@pytest.mark.parametrize("name", ["stall", "error_frame", "endless", "cut", "close"])
async def test_the_sandbox_stops_in_time_though_connections_have_faults(name: str) -> None:
    sandbox = Sandbox(replay=REPLAY, faults=[{"on": "speech_socket", "fault": name}])
    if name in ("cut", "close"):
        sandbox.faults.replace([{"on": "speech_socket", "fault": name, "after": 100}])
    url = await sandbox.start("127.0.0.1", 0)
    async with connect(url, "stream-input") as socket:
        await socket.send(json.dumps(SINGLE[0]))
        await socket.send(json.dumps(SINGLE[1]))
        if name != "stall":
            await socket.recv()
        started_s = asyncio.get_running_loop().time()
        assert await sandbox.aclose() == []
        assert asyncio.get_running_loop().time() - started_s < STOP_S
        async for _ in socket:
            pass
    assert socket.close_code == 1001
