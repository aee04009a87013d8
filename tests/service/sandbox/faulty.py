"""What the tests of this folder share: a sandbox that loads no model, and callers that see its bytes as they come."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.fault_kinds import Target
from avatar_service.sandbox.replay import Replay
from tests.integration.sandbox.sdk import silent_wav

KEY: Final = "sandbox"
VOICE_ID: Final = "21m00Tcm4TlvDq8ikWAM"
QUESTION: Final = silent_wav(0.2)
TRANSCRIPT: Final = "How far is it to the moon?"
TOKENS: Final = ("It", " is", " far", ".", " Quite", " far", ".")
TEXT: Final = "It is far."
REPLAY: Final = Replay(TRANSCRIPT, TOKENS, 0.0, 0.0, speech="tone")

PATIENCE_S: Final = 20.0
QUIET_S: Final = 0.05
"""So long nothing comes from a sandbox that is silent."""


@asynccontextmanager
async def faulty_sandbox(*rules: Mapping[str, Any]) -> AsyncIterator[tuple[Sandbox, str]]:
    """A sandbox with rules, and its URL."""
    sandbox = Sandbox(replay=REPLAY, faults=rules)
    url = await sandbox.start("127.0.0.1", 0)
    try:
        yield sandbox, url
    finally:
        assert await sandbox.aclose() == []


async def recorded(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The records, once no request is in progress any more."""
    async with asyncio.timeout(PATIENCE_S):
        while any(record["outcome"] == "running" for record in sandbox.requests()):
            await asyncio.sleep(0.001)
    return sandbox.requests()


@dataclass(frozen=True, slots=True)
class Call:
    """One way to ask for something. ``outputs`` counts what of a healthy answer's body is one output each."""

    name: str
    target: Target
    path: str
    kind: Literal["whole", "events", "lines", "sound"]
    body: bytes = b""
    content_type: str = "application/json"

    def outputs(self, body: bytes) -> int:
        """How many whole outputs a body holds."""
        match self.kind:
            case "events":
                return body.count(b"\n\n")
            case "lines":
                return body.count(b"\n")
            case "sound":
                return len(body) // 960  # 20 ms of pcm_24000
        return 1 if body else 0

    def request(self, host: str, headers: Mapping[str, str]) -> bytes:
        """The request as bytes."""
        sent = {
            "Host": host,
            "Authorization": f"Bearer {KEY}",
            "xi-api-key": KEY,
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Connection": "close",
            **headers,
        }
        lines = [f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def _upload(model: str, *, stream: bool) -> bytes:
    fields = {"model": model, **({"stream": "true"} if stream else {})}
    parts = [
        f'--part\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    file = b'--part\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + QUESTION
    return b"".join(parts) + file + b"\r\n--part--\r\n"


def _chat(*, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "Hi."}]
    return json.dumps({"model": "gpt-4o", "messages": messages, "stream": stream}).encode()


_SPEECH: Final = f"/elevenlabs/v1/text-to-speech/{VOICE_ID}"
_PCM: Final = "?output_format=pcm_24000"
_TEXT: Final = json.dumps({"text": TEXT}).encode()
_FORM: Final = "multipart/form-data; boundary=part"
_HEARING: Final = "/openai/v1/audio/transcriptions"

CALLS: Final = (
    Call("transcribe", "transcription", _HEARING, "whole", _upload("whisper-1", stream=False), _FORM),
    Call("transcribe_streamed", "transcription", _HEARING, "events", _upload("gpt-transcribe", stream=True), _FORM),
    Call("chat", "chat", "/openai/v1/chat/completions", "whole", _chat(stream=False)),
    Call("chat_streamed", "chat", "/openai/v1/chat/completions", "events", _chat(stream=True)),
    Call("convert", "speech", f"{_SPEECH}{_PCM}", "whole", _TEXT),
    Call("convert_timed", "speech", f"{_SPEECH}/with-timestamps{_PCM}", "whole", _TEXT),
    Call("speak", "speech", f"{_SPEECH}/stream{_PCM}", "sound", _TEXT),
    Call("speak_timed", "speech", f"{_SPEECH}/stream/with-timestamps{_PCM}", "lines", _TEXT),
    Call("voices", "voices", "/elevenlabs/v1/voices", "whole"),
    Call("voices_searched", "voices", "/elevenlabs/v2/voices", "whole"),
    Call("voice", "voices", f"/elevenlabs/v1/voices/{VOICE_ID}", "whole"),
    Call("models", "models", "/openai/v1/models", "whole"),
    Call("speech_models", "models", "/elevenlabs/v1/models", "whole"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller saw. ``end``: closed by the sandbox, reset by it, or silent though the connection is open."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    end: Literal["closed", "reset", "silent"]

    @property
    def is_whole(self) -> bool:
        """Whether HTTP says that the body is complete."""
        length = self.headers.get("content-length")
        return self.end == "closed" and length in (None, str(len(self.body)))


async def ask(url: str, call: Call, *, outputs: int | None = None, headers: Mapping[str, str] | None = None) -> Seen:
    """Send one request on a connection of its own and see what comes.

    With ``outputs`` the caller hangs up after the headers and so many (-1: after its request), once nothing more has
    come for ``QUIET_S``; else it reads on until the connection ends.
    """
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    end: Literal["closed", "reset", "silent"] = "closed"
    data = b""
    try:
        writer.write(call.request(at.netloc, headers or {}))
        while True:
            status, _, body = _split(data)
            enough = outputs is not None and (call.outputs(body) if status else -1) >= outputs
            async with asyncio.timeout(QUIET_S if enough else PATIENCE_S):
                more = await reader.read(65_536)
            if not more:
                break
            data += more
    except ConnectionResetError:
        end = "reset"
    except TimeoutError:
        end = "silent"
    finally:
        writer.transport.abort()
    return Seen(*_split(data), end)


def _split(data: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """Return status (0 if none came), headers and body of what came."""
    if b"\r\n\r\n" not in data:
        return 0, {}, b""
    head, body = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    chunked = headers.get("transfer-encoding") == "chunked"
    return int(first.split(" ")[1]), headers, _unchunked(body) if chunked else body


def _unchunked(data: bytes) -> bytes:
    body = b""
    while b"\r\n" in data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        if len(data) < length:
            break
        body += data[:length]
        data = data[length + 2 :]
    return body
