"""The caller's own voice, from its segments' chunks as they come to the client and to lip-sync.

A voice that comes in real time needs a head start: the frames of a render request are there only when the sound after
them has come and they are rendered. Without it the voice would run ahead of its frames for good, and all of them would
be too late. A voice that comes faster has that head start from the beginning.
"""

from dataclasses import dataclass

from avatar_service.channel import Channel
from avatar_service.media.play_out import PlayOut
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.voice_fork import SpeechOutput

HEAD_START_MS = 1_000
"""Voice that must have come before the first of it is played: 320 ms for the frames of one request, 240 ms that these
need beyond their own time, 200 ms under which voice waits for no frame, and the rest to render."""


@dataclass(frozen=True, slots=True)
class SegmentBegan:
    """The first voice of a segment has come, at a moment of the loop's clock."""

    segment_id: int
    at_s: float


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """The voice of a segment is complete."""


CallerVoice = SegmentBegan | SpeechChunk | SegmentEnded
"""What waits of a caller's voice: of each segment its begin, its chunks, its end."""


async def relay(
    voice: Channel[CallerVoice], audio: SpeechOutput, to_animate: SpeechOutput, play_out: PlayOut, head_start: int
) -> None:
    """Pass a segment's chunks on up to its end; `audio` gets none before `head_start` have come, or all.

    The same again after play-out has come to a stand because the caller paused.
    """
    held: list[SpeechChunk] = []
    running = False
    try:
        async for item in voice:
            if not isinstance(item, SpeechChunk):
                break
            await to_animate.channel.send(item)
            held.append(item)
            if play_out.is_over(audio.timeline.offset_s(item.index)):
                running = False  # the client waits for this very chunk
            if running or len(held) >= head_start:
                running = True
                await _send(held, audio)
        await _send(held, audio)
    finally:
        audio.channel.close()
        to_animate.channel.close()


async def _send(held: list[SpeechChunk], audio: SpeechOutput) -> None:
    for chunk in held:
        await audio.channel.send(chunk)
    held.clear()
