"""Recording a conversation as it is played out: what the listener saw and heard, and nothing that was interrupted."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import grpc
import numpy as np

from avatar.v1 import AudioChunk, ConverseResponse, Frame
from avatar_client.conversation import Conversation
from avatar_client.errors import ServiceFault
from avatar_client.frames import FrameDecoder
from avatar_client.play_out import PlayOut
from avatar_client.recorder import Recorder
from avatar_client.turns import TurnLog

TICK_S = 0.04  # how often due media are written


class Recording:
    """Plays a conversation's media out into a `Recorder`. Decoding and encoding run in one thread of its own."""

    def __init__(self, conversation: Conversation, log: TurnLog, path: Path, *, caption: bool) -> None:
        """Open `path`; with `caption` the question of each turn stands in its pictures.

        Raises FileError, and ServiceFault if the session has no frames.
        """
        config = conversation.started.config
        width, height = conversation.started.frame_width, conversation.started.frame_height
        if width < 1 or height < 1:
            message = "the service sends no frames in this session, so there is nothing to record"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message)
        rate = config.frame_format.frame_rate
        frame_rate = Fraction(rate.numerator or 25, rate.denominator or 1)
        sample_rate_hz = config.output_audio.sample_rate_hertz or 24_000
        self.recorder = Recorder(path, frame_rate, width, height, sample_rate_hz)
        self._decoder = FrameDecoder(config.frame_format.encoding, width, height)
        self._play_out = PlayOut(conversation.clock, frame_rate, sample_rate_hz)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording")
        self._log = log
        self._caption = caption
        self._captions: dict[int, str] = {}
        self._turn_id = 0

    def add(self, response: ConverseResponse) -> None:
        """Take in the media of a response; they are written when they are due."""
        match response.WhichOneof("payload"):
            case "audio":
                self._add(response.audio)
            case "frame":
                self._add(response.frame)

    async def run(self) -> None:
        """Write media as they become due, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self._write(self._play_out.take(time.monotonic()))

    async def finish(self) -> None:
        """Write what is left of a conversation that ended well."""
        await self._write(self._play_out.drain())

    async def close(self) -> None:
        """Finish the file with what has been written, and end the thread."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self.recorder.close)
        finally:
            self._thread.shutdown()

    def _add(self, media: AudioChunk | Frame) -> None:
        if self._caption and media.turn_id not in self._captions:
            self._captions[media.turn_id] = self._log.question(media.turn_id)
        self._play_out.add(media)

    async def _write(self, due: list[AudioChunk | Frame]) -> None:
        if due:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write_all, due)

    def _write_all(self, due: list[AudioChunk | Frame]) -> None:
        for media in due:
            if media.turn_id != self._turn_id:
                self._turn_id = media.turn_id
                self.recorder.begin_turn(self._captions.pop(media.turn_id, ""))
            if isinstance(media, AudioChunk):
                self.recorder.add_audio(np.frombuffer(media.data, "<i2").astype(np.int16, copy=False))
            elif (picture := self._decoder.decode(media)) is not None:
                if media.turn_id:
                    self.recorder.add_frame(media.index, picture)
                else:
                    self.recorder.show(picture)
