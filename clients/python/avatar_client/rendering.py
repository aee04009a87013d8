"""Taking in a `Speak` call or an `Animate` stream from start to end: recorded, played, counted."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avatar_client.animation import AsyncAnimation
from avatar_client.events import AnimateEvent, Audio, Frame, SegmentCompleted, SpeakEvent, TurnCompleted
from avatar_client.facts import Status
from avatar_client.playing import Playing
from avatar_client.recording import AsyncRecorder
from avatar_client.sound import Loudspeaker
from avatar_client.speech import AsyncSpeech
from avatar_client.turns import measured

NOT_ENDED = Status(message="the stream ended without saying how")


@dataclass(frozen=True, slots=True)
class RenderResult:
    """What came of one text or voice; `path` is None and `recorded_s` 0 if nothing was recorded."""

    session_id: str
    status: Status = NOT_ENDED
    degraded: bool = False
    metrics: dict[str, int] | None = None
    audio_s: float = 0.0
    frame_count: int = 0
    path: Path | None = None
    recorded_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "status": self.status.code,
            "message": self.status.message,
            "degraded": self.degraded,
            "metrics": self.metrics or {},
            "audio_s": round(self.audio_s, 3),
            "frame_count": self.frame_count,
            "out": str(self.path) if self.path else None,
            "recorded_s": round(self.recorded_s, 3),
        }


async def render(
    stream: AsyncSpeech | AsyncAnimation,
    *,
    out: Path | None = None,
    play: bool = False,
    on_event: Callable[[SpeakEvent | AnimateEvent], None] | None = None,
) -> RenderResult:
    """Take in `stream`, which is not yet entered, to its end; record it to `out`, play its voice.

    Raises ServiceError if it fails, FileError or SoundError before anything is sent.
    """
    recorder: AsyncRecorder | None = None
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(stream)
        result = RenderResult(stream.started.session_id)
        sinks: list[AsyncRecorder | Playing] = []
        if out:
            recorder = await stack.enter_async_context(AsyncRecorder(out, stream.media))
            sinks.append(recorder)
        if play:
            loudspeaker = stack.enter_context(Loudspeaker(stream.media.sample_rate_hz))
            sinks.append(await stack.enter_async_context(Playing(stream.clock, loudspeaker)))
        async for event in stream:
            result = _counted(result, event, stream.media.sample_rate_hz)
            for sink in sinks:
                await sink.add(event)
            if on_event:
                on_event(event)
    if recorder and recorder.duration_s:
        result = replace(result, path=out, recorded_s=recorder.duration_s)
    return result


def _counted(result: RenderResult, event: SpeakEvent | AnimateEvent, rate_hz: int) -> RenderResult:
    """`result` with what `event` adds to it."""
    match event:
        case Audio():
            return replace(result, audio_s=result.audio_s + event.sample_count / rate_hz)
        case Frame() if event.turn_id:
            return replace(result, frame_count=result.frame_count + 1)
        case TurnCompleted() | SegmentCompleted():
            metrics = measured(event.metrics)
            return replace(result, status=event.status, degraded=event.degraded, metrics=metrics)
    return result
