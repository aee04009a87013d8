"""Frames on their way to the client, in the encoding that it asked for.

It stands behind pacing and idle frames: a frame that these hold or shed is never encoded, so none that follows depends
on it. Behind this stage no frame may be left out of a turn that goes on.
"""

import asyncio
from dataclasses import replace
from fractions import Fraction
from functools import partial

from avatar_service.avatars.workers import Workers
from avatar_service.channel import Sender
from avatar_service.errors import EngineUnavailable
from avatar_service.events import Event, Media
from avatar_service.media.frame_codec import (
    FrameEncoding,
    FrameFormat,
    MalformedPicture,
    PictureEncoder,
    picture_encoder,
)
from avatar_service.media.types import Frame

STAGE = "encode"


def encoded(out: Sender[Event], wanted: FrameFormat, fps: Fraction, workers: Workers) -> Sender[Event]:
    """Where a stream sends its events so that frames reach `out` in this format: `out` itself if they are so already.

    Blocking work goes to `workers`.
    """
    encoder = picture_encoder(wanted, fps)
    if encoder is None:
        return out
    return FrameEncoder(out, encoder, wanted, fps, workers)


class FrameEncoder:
    """Sends a stream's events on, frames encoded, in the order in which they come. One sender at a time has frames.

    Key frames are the first of each turn and of each idle phase, one each `keyframe_interval_s`, and the one after a
    frame that was not sent on: it could not be encoded, or its sender was cancelled.
    """

    def __init__(
        self, out: Sender[Event], encoder: PictureEncoder, wanted: FrameFormat, fps: Fraction, workers: Workers
    ) -> None:
        self._out = out
        self._encoder = encoder
        self._name = wanted.encoding.name.lower()
        self._alone = wanted.encoding is not FrameEncoding.H264
        self._interval = max(1, int(wanted.keyframe_interval_s * fps))
        self._workers = workers
        self._one_at_a_time = asyncio.Lock()  # a frame whose sender was cancelled may still be in the works
        self._turn_id = -1
        self._keyframe_index = 0
        self._lost = False

    @property
    def waiting_s(self) -> float:
        """For how long the event that goes to the client next has waited; 0 while nothing waits."""
        return self._out.waiting_s

    async def send(self, event: Event) -> None:
        """Send one event on. Raises EngineError for a frame that cannot be encoded."""
        if not (isinstance(event, Media) and isinstance(event.packet, Frame)):
            await self._out.send(event)
            return
        async with self._one_at_a_time:
            keyframe = self._is_keyframe(event.turn_id, event.packet)
            self._lost = True
            data = await self._encode(event.packet.image, keyframe)
            packet = replace(event.packet, image=data, keyframe=keyframe or self._alone)
            await self._out.send(Media(event.turn_id, packet))
            self._lost, self._turn_id = False, event.turn_id
            if keyframe:
                self._keyframe_index = packet.index

    def _is_keyframe(self, turn_id: int, frame: Frame) -> bool:
        begins = turn_id != self._turn_id or not frame.index
        return self._lost or begins or frame.index - self._keyframe_index >= self._interval

    async def _encode(self, image: bytes, keyframe: bool) -> bytes:
        try:
            return await self._workers.run(partial(self._encoder.encode, image, keyframe=keyframe))
        except MalformedPicture as error:
            raise EngineUnavailable(STAGE, self._name, str(error)) from error
