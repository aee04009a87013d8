"""One turn of a conversation, top to bottom."""

import asyncio
from collections.abc import Awaitable, Callable

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Engines
from avatar_service.errors import EngineError
from avatar_service.events import Event, Notice
from avatar_service.log import get_logger
from avatar_service.stages.animate import Animator
from avatar_service.stages.interleave import Interleaver
from avatar_service.stages.speak import speak
from avatar_service.stages.split import split
from avatar_service.stages.think import recite, think
from avatar_service.stages.transcribe import transcribe
from avatar_service.turn.capacities import DELTAS, SENTENCES, frame_channel, packet_channel, speech_channel
from avatar_service.turn.history import History
from avatar_service.turn.pacing import pace
from avatar_service.turn.turn import Turn

log = get_logger(__name__)


async def converse(turn: Turn, history: History, engines: Engines, out: Sender[Event]) -> None:
    """Answer what the user said with text, voice and lip-synced video, in step; return when it has been played."""
    said = turn.user_input.text or await _understand(turn, engines, out)
    if not said:
        turn.skipped = True
        return

    settings, timeline, timings = turn.settings, turn.timeline, turn.timings
    deltas = Channel[str]("deltas", DELTAS)
    sentences = Channel[str]("sentences", SENTENCES)
    audio, to_animate = speech_channel("audio", timeline), speech_channel("to_animate", timeline)
    frames, packets = frame_channel(timeline), packet_channel()
    video_lost = _once(turn, out, "VIDEO_LOST", "The voice goes on, frames are held.")
    animator = Animator(engines.lip_sync, timeline, turn.loop, turn.play_out, frames, timings, video_lost)
    interleaver = Interleaver(timeline, turn.play_out, frames, packets)
    turn.rendering, turn.interleaving = animator.rendering, interleaver.interleaving

    async with asyncio.TaskGroup() as stages:
        if turn.user_input.recited:
            stages.create_task(recite(said, deltas, turn.reply, turn.turn_id, out))
        else:
            history.add_user(said)
            prompt = history.prompt(settings.system_prompt)
            stages.create_task(
                think(prompt, settings.chat, engines.chat, deltas, turn.reply, turn.turn_id, timings, out)
            )
        stages.create_task(split(deltas, sentences))
        stages.create_task(
            speak(sentences, engines.speech, settings.voice, timeline, (audio, to_animate), turn.spoken, timings)
        )
        animating = stages.create_task(animator.animate(to_animate))
        stages.create_task(pace(packets, turn, out))
        await interleaver.interleave(audio)
        animating.cancel()  # whatever it still renders is too late to be shown


async def _understand(turn: Turn, engines: Engines, out: Sender[Event]) -> str:
    failed = _once(turn, out, "TRANSCRIPTION_FAILED", "The user was not understood; the turn is skipped.")
    return await transcribe(
        turn.user_input.utterances,
        engines.transcriber,
        turn.settings.transcription,
        turn.texts,
        failed,
        turn.timings,
        out,
    )


def _once(turn: Turn, out: Sender[Event], reason: str, message: str) -> Callable[[EngineError], Awaitable[None]]:
    """What to do when an engine fails that the turn can go on without: mark the turn, and tell the client once."""

    async def tell(error: EngineError) -> None:
        log.warning("engine_failed", stage=error.stage, engine=error.engine, error=type(error).__name__)
        if reason not in turn.degraded_by:
            turn.degraded_by.append(reason)
            await out.send(Notice(reason, message, turn.turn_id))

    return tell
