"""Speech to text by OpenAI's transcription API, or any server that speaks it."""

import asyncio
import io
import json
import re
import unicodedata
import wave
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import Any

import openai

from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import TranscriptionOptions
from avatar_service.engines.openai_answers import (
    TranscriptEvent,
    Transcription,
    attend,
    is_event_stream,
    malformed,
    mended,
    pieces_of,
)
from avatar_service.engines.openai_refusals import RefusedParameters
from avatar_service.engines.vendor import OPENAI, Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.errors import EngineTimeout
from avatar_service.media.types import Utterance
from avatar_service.settings import LimitSettings

STAGE = "transcribe"
STREAMING = re.compile(r"gpt-.*transcribe")
"""Models that stream what they understand. whisper-1 ignores the wish; what other servers do with it is not settled."""
CHARACTERS = 16_000
"""Longest transcript: somebody who speaks fast says 1,500 in the longest utterance."""


class OpenAITranscriber:
    """Sends each utterance as one WAV file. What a model streams is put together here: a turn needs all of it."""

    def __init__(self, client: openai.AsyncOpenAI, limits: LimitSettings, vendor: Vendor = OPENAI) -> None:
        self._client = client
        self._limits = limits
        self._vendor = vendor
        self._refused = RefusedParameters("stream", codes=())

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        """What was said, in one line; empty if nothing was."""
        wav = _wav(utterance)

        async def ask(attempt: Attempt) -> str:
            attempt.asks(options.model, str(self._client.base_url))
            with vendor_errors(STAGE, self._vendor):
                text = _cleaned(await self._last_in_time(self._transcripts(wav, options, attempt)))
            attempt.received(len(text.encode()))
            return text

        return await policy.call(STAGE, self._vendor.engine, ask, self._limits, self._limits.call_s)

    async def _last_in_time(self, transcripts: AsyncGenerator[str, None]) -> str:
        """The last of them. Raises EngineTimeout where one is late, EngineUnavailable where one is too long."""
        text, limit_s = "", self._limits.first_output_s
        async with aclosing(transcripts):
            while True:
                try:
                    async with asyncio.timeout(limit_s):
                        text = await anext(transcripts)
                except StopAsyncIteration:
                    return text
                except TimeoutError as error:
                    message = f"no output within {limit_s:g} s"
                    raise EngineTimeout(STAGE, self._vendor.engine, message) from error
                if len(text) > CHARACTERS:
                    raise malformed(STAGE, self._vendor, "the transcript does not end")
                limit_s = self._limits.between_outputs_s

    async def _transcripts(
        self, wav: bytes, options: TranscriptionOptions, attempt: Attempt
    ) -> AsyncGenerator[str, None]:
        """What is understood so far, as often as there is more; the last is all."""
        async with AsyncExitStack() as stack:
            response = await self._open(stack, wav, options)
            attend(response.http_response, attempt, malformed(STAGE, self._vendor, "the answer is too large"))
            if self._streams(options.model) and is_event_stream(response.http_response):
                events = pieces_of(await response.parse(to=openai.AsyncStream[object]), TranscriptEvent)
                async with aclosing(events), aclosing(self._streamed(events)) as transcripts:
                    async for text in transcripts:
                        yield text
            else:
                yield Transcription.model_validate(json.loads(await response.read())).text

    async def _streamed(self, events: AsyncGenerator[TranscriptEvent, None]) -> AsyncGenerator[str, None]:
        text = ""
        async for event in events:
            if event.type == "transcript.text.delta":
                text += event.delta or ""
                yield text
            elif event.type == "transcript.text.done" and event.text is not None:
                yield event.text
                return
        raise malformed(STAGE, self._vendor, "the transcript was cut")

    async def _open(
        self, stack: AsyncExitStack, wav: bytes, options: TranscriptionOptions
    ) -> openai.AsyncAPIResponse[Any]:
        """Send the request, again at once as one that is not streamed if the server refuses that."""
        while True:
            try:
                return await stack.enter_async_context(self._request(wav, options))
            except openai.APIStatusError as error:
                if not self._refused.learn(options.model, error):
                    raise

    def _request(
        self, wav: bytes, options: TranscriptionOptions
    ) -> AbstractAsyncContextManager[openai.AsyncAPIResponse[Any]]:
        return self._client.audio.transcriptions.with_streaming_response.create(
            file=("utterance.wav", wav, "audio/wav"),
            model=options.model,
            # The vendor takes ISO 639-1, the first part of a BCP-47 code.
            language=options.language.partition("-")[0].lower() or openai.omit,
            prompt=options.prompt or openai.omit,
            stream=True if self._streams(options.model) else openai.omit,
        )

    def _streams(self, model: str) -> bool:
        return STREAMING.match(model) is not None and not self._refused.of(model)


def _cleaned(text: str) -> str:
    """A transcript as one line, without what cannot be written."""
    written = (one for one in mended(text) if one.isspace() or unicodedata.category(one) != "Cc")
    return " ".join("".join(written).split())


def _wav(utterance: Utterance) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(utterance.rate_hz)
        wav.writeframes(utterance.pcm)
    return file.getvalue()
