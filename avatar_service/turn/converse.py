"""One turn of a conversation, top to bottom."""

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Engines
from avatar_service.events import Event
from avatar_service.stages.speak import speak
from avatar_service.stages.split import Delta, split
from avatar_service.stages.think import recite, think
from avatar_service.stages.transcribe import transcribe
from avatar_service.turn.capacities import text_channels
from avatar_service.turn.degrading import apology, degrading
from avatar_service.turn.delivery import Delivery
from avatar_service.turn.history import History
from avatar_service.turn.pacing import until_played
from avatar_service.turn.prompting import prompt
from avatar_service.turn.running import run_stages
from avatar_service.turn.turn import Turn, TurnSettings
from avatar_service.turn.voicing import Voicing


async def converse(turn: Turn, settings: TurnSettings, history: History, engines: Engines, out: Sender[Event]) -> None:
    """Answer what the user said with text, voice and lip-synced video, in step; return when it has been played."""
    await _understand(turn, settings, engines, out)
    if turn.answers_nothing:
        turn.skipped = True
        return

    deltas, sentences = text_channels()
    delivery = Delivery(turn, engines.speech.rate_hz, engines.lip_sync, out)

    await run_stages(
        _write(turn, settings, history, engines, deltas, out),
        split(deltas, sentences),
        speak(
            sentences,
            engines.speech,
            settings.voice,
            delivery.outputs,
            turn.spoken,
            turn.timings,
            Voicing(turn, out),
            engines.attempts,
        ),
        delivery.deliver(),
    )
    await until_played(turn)
    turn.require_voice()


async def _understand(turn: Turn, settings: TurnSettings, engines: Engines, out: Sender[Event]) -> None:
    utterances = turn.user_input.utterances[len(turn.texts) :]
    if not utterances:
        return
    failed = degrading(turn, out, "TRANSCRIPTION_FAILED", "The user was not understood; the turn is skipped.")
    options, early = settings.transcription, turn.user_input.early
    await transcribe(utterances, engines.transcriber, options, turn.texts, failed, turn.timings, out, early)
    await turn.keep()


async def _write(
    turn: Turn, settings: TurnSettings, history: History, engines: Engines, deltas: Channel[Delta], out: Sender[Event]
) -> None:
    """Say what is given, answer what was asked, or both: the rest of a reply, and what was not written of it."""
    given, reply = turn.user_input, turn.reply
    if given.recited and given.text:
        await recite(given.text, deltas, reply, turn.turn_id, out, unfinished=given.unfinished)
    if given.unfinished or not given.recited:
        asked = prompt(turn, settings, history)
        completion = given.take_early(asked, settings.chat, turn.timings) or engines.chat.complete(asked, settings.chat)
        sorry = apology(turn, settings.apology, out)
        await think(completion, deltas, reply, turn.turn_id, turn.timings, out, turn.tool_call_ids, sorry)
