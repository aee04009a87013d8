"""The real service with every engine replayed in its own process: what is left is the service's own work.

The voice comes in pieces of 200 ms at four times real time, as vendors stream it; the frames of a request come 20 ms
after it was asked for; nobody ever speaks. With `--real-vad` Silero listens, with `--triton` frames are asked for over
a socket. Prints the address; ends with SIGTERM.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import numpy as np
import uvloop
from numpy.typing import NDArray

from avatar_service import garbage
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.engines.base import (
    ChatDelta,
    ChatOptions,
    Engines,
    LipSync,
    Message,
    RenderedSpan,
    RenderRequest,
    SpeechContext,
    SpeechPiece,
    TranscriptionOptions,
    Voice,
    VoiceActivityEngine,
    VoiceInfo,
)
from avatar_service.engines.silero_vad import SileroVad
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.log import set_up
from avatar_service.media.types import SpokenCharacter, Utterance
from avatar_service.rpc.server import running_server
from avatar_service.settings import Settings

RATE_HZ = 24_000
PIECE_S = 0.2
RATE = 4.0
SECONDS_PER_CHARACTER = 1 / 15
FIRST_BYTE_S = 0.15
RENDER_S = 0.02
MAX_SESSIONS = 1_000


class ReplayedSpeech:
    """A tone, at the pace at which people speak."""

    rate_hz = RATE_HZ

    def __init__(self) -> None:
        second = np.arange(RATE_HZ) / RATE_HZ
        self._second = (8_000 * np.sin(2 * np.pi * 200 * second)).astype(np.int16).tobytes()
        self._piece = self._second[: 2 * round(PIECE_S * RATE_HZ)]

    @asynccontextmanager
    async def speaking(self, voice: Voice) -> AsyncIterator[SpeechContext]:
        """A turn's voice."""
        del voice
        yield self

    async def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of a text."""
        del previous_text
        await asyncio.sleep(FIRST_BYTE_S)
        characters = [
            SpokenCharacter(one, index * SECONDS_PER_CHARACTER, (index + 1) * SECONDS_PER_CHARACTER)
            for index, one in enumerate(text)
        ]
        per_piece = round(PIECE_S / SECONDS_PER_CHARACTER)
        for begin in range(0, len(characters), per_piece):
            yield SpeechPiece(self._piece, tuple(characters[begin : begin + per_piece]))
            await asyncio.sleep(PIECE_S / RATE)

    async def voices(self) -> Sequence[VoiceInfo]:
        """None are asked for."""
        return ()


class ReplayedLipSync:
    """The same picture again and again."""

    def __init__(self, frame_bytes: int) -> None:
        self._image = bytes(frame_bytes)

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """The frames of one request."""
        await asyncio.sleep(RENDER_S)
        return RenderedSpan((self._image,) * len(request.frame_indices), request.mel_max)


class ReplayedVoiceActivity:
    """Nobody speaks."""

    def detector(self) -> "ReplayedVoiceActivity":
        """The same for all."""
        return self

    async def probability(self, window: NDArray[np.int16], /) -> float:
        """Always 0."""
        del window
        return 0.0

    def reset(self) -> None:
        """There is nothing to forget."""


class Silent:
    """Stands where nobody is asked: nobody speaks, and the replies are given."""

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        """Nothing is said."""
        del utterance, options
        return ""

    async def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Nothing is answered."""
        del messages, options
        yield ChatDelta(finish_reason="stop")


async def serve(frame_bytes: int, *, real_vad: bool, triton: str) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    set_up("WARNING", "console")
    settings = Settings.load(env_file=None)
    server = settings.server.model_copy(update={"listen": "127.0.0.1:0", "max_sessions": MAX_SESSIONS})
    settings = replace(settings, server=server)
    voice_activity: VoiceActivityEngine = SileroVad() if real_vad else ReplayedVoiceActivity()
    async with AsyncExitStack() as stack:
        lip_sync: LipSync = ReplayedLipSync(frame_bytes)
        if triton:
            where = settings.triton.model_copy(update={"address": triton})
            lip_sync = await stack.enter_async_context(TritonLipSync(where))
        engines = Engines(voice_activity, Silent(), Silent(), ReplayedSpeech(), lip_sync)
        catalogue = Catalogue.of(settings.server, settings.preparation)
        address = await stack.enter_async_context(running_server(settings, engines, catalogue))
        garbage.settle()
        print(f"serving on {address}", flush=True)  # noqa: T201  # its parent reads it
        await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame-bytes", type=int, default=40_000)
    parser.add_argument("--real-vad", action="store_true")
    parser.add_argument("--triton", default="", metavar="HOST:PORT")
    given = parser.parse_args()
    uvloop.run(serve(given.frame_bytes, real_vad=given.real_vad, triton=given.triton))
