"""One turn's voice to the client, with the frames that are rendered from it: what every kind of turn ends in."""

import asyncio
from contextlib import aclosing

from avatar_service.channel import Sender
from avatar_service.engines.base import LipSync
from avatar_service.events import Event
from avatar_service.media.timeline import Timeline
from avatar_service.stages.animate import Animator
from avatar_service.stages.interleave import Interleaver
from avatar_service.stages.spans import SpanBuilder
from avatar_service.stages.voice_fork import SpeechOutput
from avatar_service.turn.capacities import frame_channel, speech_channel
from avatar_service.turn.pacing import pace
from avatar_service.turn.turn import Turn
from avatar_service.turn.video import VideoNotices


class Delivery:
    """Send a voice into `outputs`, chunk k of each being the same frame's time, and run `deliver` beside it."""

    def __init__(self, turn: Turn, voice_rate_hz: int, lip_sync: LipSync, out: Sender[Event]) -> None:
        """`voice_rate_hz` is the rate at which the voice is made: lips move by that, whatever rate the client hears."""
        heard, made, policy = turn.timeline, Timeline(voice_rate_hz, turn.media.fps), turn.media.spans
        self.audio = SpeechOutput(speech_channel("audio", heard, policy), heard, turn.media.codec_delay_s)
        self.to_animate = SpeechOutput(speech_channel("to_animate", made, policy), made)
        self._turn = turn
        self._lip_sync = lip_sync
        self._out = out

    @property
    def outputs(self) -> tuple[SpeechOutput, ...]:
        """Where the voice goes; whoever sends it closes them."""
        return (self.audio,) if self._turn.media.audio_only else (self.audio, self.to_animate)

    async def deliver(self) -> None:
        """Send the media in play-out order and in time; return when the last are sent."""
        turn, out = self._turn, self._out
        if turn.media.audio_only:
            await pace(self.audio.channel, turn, out)
            return
        frames = frame_channel(turn.timeline, turn.media.spans)
        video = VideoNotices(turn, out)
        made = self.to_animate.timeline
        spans = SpanBuilder(made.fps, turn.begin, turn.media.spans)
        animator = Animator(self._lip_sync, made, spans, turn.play_out, frames, turn.timings, video)
        interleaver = Interleaver(turn.timeline, turn.play_out, frames)
        turn.rendering, turn.interleaving = animator.rendering, interleaver.interleaving
        async with asyncio.TaskGroup() as stages:
            animating = stages.create_task(animator.animate(self.to_animate.channel))
            async with aclosing(interleaver.packets(self.audio.channel)) as packets:
                await pace(packets, turn, out)
            animating.cancel()  # whatever it still renders is too late to be shown
