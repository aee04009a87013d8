"""Text in pieces in, speech out, over ElevenLabs's WebSockets."""

import asyncio
import base64
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import websockets
from elevenlabs import VoiceSettings
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError

from avatar_service.sandbox.settings import SandboxSettings
from tests.integration.sandbox.sdk import PATIENCE_S, SPEECH_TEXT, elevenlabs_client, eventually, speech
from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox

KEY_HEADER = {"xi-api-key": KEY}
HELLO: dict[str, Any] = {"text": " ", "voice_settings": {"stability": 0.5, "similarity_boost": 0.75}}
END: dict[str, Any] = {"text": ""}


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back on a connection."""

    messages: list[dict[str, Any]]
    close_code: int | None

    @property
    def sound(self) -> bytes:
        return b"".join(base64.b64decode(message["audio"]) for message in self.messages if message.get("audio"))

    @property
    def characters(self) -> str:
        return "".join("".join(m["alignment"]["chars"]) for m in self.messages if m.get("alignment"))


def url(sandbox: RunningSandbox, query: str, kind: str = "stream-input", voice: str = VOICE_ID) -> str:
    return f"{sandbox.elevenlabs_url.replace('http', 'ws')}/v1/text-to-speech/{voice}/{kind}?{query}"


async def converse(
    address: str, messages: Sequence[dict[str, Any] | str], headers: dict[str, str] | None = None
) -> Heard:
    """Send everything, then listen until the sandbox closes."""
    async with (
        asyncio.timeout(PATIENCE_S),
        websockets.connect(address, additional_headers=KEY_HEADER if headers is None else headers) as socket,
    ):
        heard: list[dict[str, Any]] = []
        with suppress(websockets.ConnectionClosed):
            for message in messages:
                await socket.send(message if isinstance(message, str) else json.dumps(message))
        with suppress(websockets.ConnectionClosed):
            while True:
                heard.append(json.loads(await socket.recv()))
    return Heard(heard, socket.close_code)


async def test_pieces_of_text_become_the_same_speech_as_the_whole(sandbox: RunningSandbox) -> None:
    first, _, rest = SPEECH_TEXT.partition("known")
    pieces: list[dict[str, Any]] = [HELLO, {"text": first}, {"text": "known "}, {"text": rest.lstrip()}, END]
    heard = await converse(url(sandbox, "output_format=pcm_24000"), pieces)
    async with elevenlabs_client(sandbox) as client:
        assert heard.sound == await speech(client)
    assert heard.characters == SPEECH_TEXT
    assert [message["isFinal"] for message in heard.messages] == [None] * (len(heard.messages) - 1) + [True]
    assert heard.messages[-1]["audio"] is None
    assert heard.close_code == 1000


async def test_times_count_from_the_beginning_of_the_chunk(sandbox: RunningSandbox) -> None:
    heard = await converse(url(sandbox, "output_format=pcm_24000"), [HELLO, {"text": SPEECH_TEXT}, END])
    at_s, starts_s = 0.0, []
    for message in heard.messages[:-1]:
        if message["alignment"]:
            assert max(message["alignment"]["charStartTimesMs"]) <= 400
            starts_s += [at_s + start / 1000 for start in message["alignment"]["charStartTimesMs"]]
        at_s += len(base64.b64decode(message["audio"])) / 48_000
    async with elevenlabs_client(sandbox) as client:
        whole = await client.text_to_speech.convert_with_timestamps(
            VOICE_ID, text=SPEECH_TEXT, output_format="pcm_24000"
        )
    assert whole.alignment is not None
    assert starts_s == pytest.approx(whole.alignment.character_start_times_seconds, abs=0.002)


# The SDK reads attributes that its own version of websockets calls deprecated.
@pytest.mark.filterwarnings("ignore:ConnectionClosed.(code|reason) is deprecated:DeprecationWarning")
async def test_the_sdks_realtime_call(sandbox: RunningSandbox) -> None:
    def text() -> Any:
        yield "The capital of France is Paris. "
        yield "It is known for art, "
        yield "fashion, and culture."

    def call(voice: str) -> bytes:
        client = ElevenLabs(api_key=KEY, base_url=sandbox.elevenlabs_url)
        # The SDK would force TLS upon the address, which no setting of its own can undo.
        client.text_to_speech._ws_base_url = sandbox.elevenlabs_url.replace("http", "ws")
        return b"".join(
            client.text_to_speech.convert_realtime(
                voice,
                text=text(),
                model_id="eleven_flash_v2_5",
                output_format="pcm_24000",
                voice_settings=VoiceSettings(stability=0.5, similarity_boost=0.75),
            )
        )

    spoken = await asyncio.to_thread(call, VOICE_ID)
    assert 3.0 < len(spoken) / 48_000 < 7.0
    with pytest.raises(ApiError) as caught:
        await asyncio.to_thread(call, "nobody")
    assert caught.value.status_code == 1008


async def test_flush_has_everything_spoken_at_once(sandbox: RunningSandbox) -> None:
    async with (
        asyncio.timeout(PATIENCE_S),
        websockets.connect(url(sandbox, "output_format=mp3_44100_128"), additional_headers=KEY_HEADER) as socket,
    ):
        await socket.send(json.dumps(HELLO))
        await socket.send(json.dumps({"text": "Hi there. ", "flush": True}))
        characters = ""
        while characters != "Hi there. ":
            message = json.loads(await socket.recv())
            characters += "".join((message["alignment"] or {"chars": []})["chars"])
        await socket.send(json.dumps(END))
        assert [json.loads(answer)["isFinal"] async for answer in socket][-1] is True


async def test_the_key_may_come_in_the_first_message(sandbox: RunningSandbox) -> None:
    address = url(sandbox, "output_format=pcm_16000")
    heard = await converse(address, [{**HELLO, "xi_api_key": KEY}, {"text": "Hi. "}, END], headers={})
    assert heard.sound


@pytest.mark.parametrize(
    ("query", "messages", "headers", "error"),
    [
        ("", [HELLO], {"xi-api-key": "wrong"}, "invalid_api_key"),
        ("", [{**HELLO, "xi_api_key": "wrong"}], {}, "invalid_api_key"),
        ("", [HELLO], {}, "needs_authorization"),
        ("", ["no JSON"], None, "invalid_input_message"),
        ("", [HELLO, {"flush": True}], None, "invalid_input_message"),
        ("output_format=pcm_1", [], None, "invalid_parameters"),
        ("inactivity_timeout=181", [], None, "invalid_parameters"),
        ("model_id=none", [], None, "model_not_found"),
        ("inactivity_timeout=1", [HELLO], None, "input_timeout_exceeded"),
        ("", [HELLO, {"text": "a", "voice_settings": {"stability": 0.9}}], None, "invalid_voice_settings"),
        ("", [HELLO, {"text": "a " * 2501}], None, "max_character_limit_exceeded"),
    ],
)
async def test_what_is_wrong_is_said_before_the_close(
    sandbox: RunningSandbox, query: str, messages: list[Any], headers: dict[str, str] | None, error: str
) -> None:
    heard = await converse(url(sandbox, query), messages, headers)
    assert heard.messages[-1]["error"] == error
    assert heard.messages[-1]["message"]
    assert (heard.messages[-1]["code"], heard.close_code) == (1008, 1008)
    assert sandbox.last_request("/stream-input")["outcome"] == "failed"


async def test_a_model_that_has_no_socket(sandbox: RunningSandbox) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await converse(url(sandbox, "model_id=eleven_v3"), [HELLO])
    assert caught.value.response.status_code == 403


async def test_an_unknown_voice(sandbox: RunningSandbox) -> None:
    heard = await converse(url(sandbox, "", voice="nobody"), [HELLO])
    assert heard.messages[-1]["error"] == "voice_not_found"


async def test_a_message_over_64_kib_ends_the_connection(sandbox: RunningSandbox) -> None:
    heard = await converse(url(sandbox, ""), [HELLO, {"text": "x" * 65_536}])
    assert heard.close_code == 1009


async def test_contexts_are_spoken_and_ended_each_for_itself(sandbox: RunningSandbox) -> None:
    messages: list[dict[str, Any]] = [
        {**HELLO, "context_id": "one"},
        {"text": "Hello there. ", "context_id": "one", "flush": True},
        {**HELLO, "context_id": "two"},
        {"text": "Good bye. ", "context_id": "two"},
        {"text": "", "context_id": "one"},
        {"context_id": "one", "close_context": True},
        {"close_socket": True},
    ]
    heard = await converse(url(sandbox, "output_format=pcm_24000", "multi-stream-input"), messages)
    for name, text in (("one", "Hello there. "), ("two", "Good bye. ")):
        own = Heard([message for message in heard.messages if message["contextId"] == name], None)
        assert own.characters == text
        assert own.sound
        assert [message["isFinal"] for message in own.messages][-1] is True
    assert heard.close_code == 1000


async def test_a_context_without_text_ends_and_the_connection_after_it(sandbox: RunningSandbox) -> None:
    address = url(sandbox, "output_format=pcm_24000&inactivity_timeout=1", "multi-stream-input")
    heard = await converse(address, [{**HELLO, "context_id": "a"}])
    assert heard.messages[0] == {
        "audio": None,
        "isFinal": True,
        "normalizedAlignment": None,
        "alignment": None,
        "contextId": "a",
    }
    assert heard.messages[-1]["error"] == "input_timeout_exceeded"


async def test_a_sixth_context_is_refused(sandbox: RunningSandbox) -> None:
    messages = [{**HELLO, "context_id": str(number)} for number in range(6)]
    heard = await converse(url(sandbox, "", "multi-stream-input"), messages)
    assert heard.messages[-1]["error"] == "max_active_conversations"


async def test_one_connection_too_many_is_refused(sandbox: RunningSandbox) -> None:
    address = url(sandbox, "")
    async with AsyncExitStack() as open_sockets:
        for _ in range(SandboxSettings().max_sockets):
            await open_sockets.enter_async_context(websockets.connect(address, additional_headers=KEY_HEADER))
        with pytest.raises(websockets.InvalidStatus) as caught:
            await converse(address, [HELLO])
    assert caught.value.response.status_code == 429


async def test_a_caller_that_hangs_up_is_recorded(sandbox: RunningSandbox) -> None:
    headers = {**KEY_HEADER, "x-sandbox-speech-rate": "0.5"}
    async with websockets.connect(url(sandbox, "output_format=pcm_24000"), additional_headers=headers) as socket:
        for message in (HELLO, {"text": SPEECH_TEXT + " ", "flush": True}):
            await socket.send(json.dumps(message))
        await socket.recv()
    await eventually(lambda: sandbox.last_request("/stream-input")["outcome"] == "cancelled")
