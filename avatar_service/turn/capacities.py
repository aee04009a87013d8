"""How much may wait between the stages of a turn, in milliseconds of media.

Stages run ahead of play-out only as far as these allow, so memory and the work lost to an interruption are bounded.

With `rpc/responses.py` they bound the media of a stream whose client reads nothing. At 25 fps 98 frames wait: 34 of
the turn (`frames_waiting`) and 64 responses, 4 MB in all as JPEGs of 512 x 512, and 42 MiB if every frame had the 1 MiB
that one may have. Beside them lie 10 s of voice at two rates, 1 MB. gRPC holds one message more, and the sockets and
the client's window what they take: nothing to 5 MiB, as the client is set.
"""

from avatar_service.channel import Channel
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.spans import RATE_HZ, SpanPolicy
from avatar_service.stages.split import Delta

SPEECH_MS = 10_000
"""Voice ahead of play-out: a whole sentence, so that the vendor's connection is read to its end without a pause."""
REFILL_MS = 1_000
"""Room for so much voice must there be again before whoever waits with more is woken: once a second, not for each
chunk."""
FRAMES_MS = 1_000
"""Rendered frames ahead of play-out."""
DELTAS = 256
"""Pieces of text, about one a token: the longest reply."""
SENTENCES = 4
"""Sentences waiting for their voice."""


def text_channels() -> tuple[Channel[Delta], Channel[str]]:
    """The channels of a reply's text as it is written, and of its sentences."""
    return Channel("deltas", DELTAS), Channel("sentences", SENTENCES)


def speech_channel(name: str, timeline: Timeline, policy: SpanPolicy) -> Channel[SpeechChunk]:
    """A channel of voice. What it holds while it is not refilled must be enough for a render request beyond its first
    frame, or voice waits for frames that wait for voice."""
    capacity = timeline.chunks_in(SPEECH_MS)
    needed = policy.frames + timeline.chunks_in(policy.look_ahead * 1000 // RATE_HZ)
    refill = timeline.chunks_in(REFILL_MS)
    if capacity - refill < needed:
        room = f"room for {capacity} chunks, refilled by {refill}"
        raise ValueError(f"{name}: {room}, but one render request needs {needed}")
    return Channel(name, capacity, refill=refill)


def frame_channel(timeline: Timeline, policy: SpanPolicy) -> Channel[Frame]:
    """A channel of rendered frames."""
    return Channel("frames", timeline.chunks_in(FRAMES_MS), refill=policy.frames)


def frames_waiting(timeline: Timeline, policy: SpanPolicy) -> int:
    """Most frames of a turn that wait between rendering and its stream's responses, where the limits are
    `rpc/responses.py`'s: those of one render request, which are handed over one by one, the channel, and one in the
    hands of interleaving or pacing."""
    return policy.frames + timeline.chunks_in(FRAMES_MS) + 1
