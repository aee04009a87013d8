"""One turn of a conversation, top to bottom."""

from avatar_service.channel import Sender
from avatar_service.engines.base import Engines
from avatar_service.events import Event
from avatar_service.stages.speak import speak
from avatar_service.stages.split import split
from avatar_service.stages.think import recite, think
from avatar_service.stages.transcribe import transcribe
from avatar_service.turn.capacities import text_channels
from avatar_service.turn.degrading import degrading
from avatar_service.turn.delivery import Delivery
from avatar_service.turn.history import History
from avatar_service.turn.pacing import until_played
from avatar_service.turn.running import run_stages
from avatar_service.turn.turn import Turn, TurnSettings


async def converse(turn: Turn, settings: TurnSettings, history: History, engines: Engines, out: Sender[Event]) -> None:
    """Answer what the user said with text, voice and lip-synced video, in step; return when it has been played."""
    said = turn.user_input.text or await _understand(turn, settings, engines, out)
    if not said:
        turn.skipped = True
        return

    deltas, sentences = text_channels()
    delivery = Delivery(turn, engines.speech.rate_hz, engines.lip_sync, out)

    if turn.user_input.recited:
        writing = recite(said, deltas, turn.reply, turn.turn_id, out)
    else:
        history.add_user(said)
        prompt = history.prompt(settings.system_prompt)
        writing = think(prompt, settings.chat, engines.chat, deltas, turn.reply, turn.turn_id, turn.timings, out)

    await run_stages(
        writing,
        split(deltas, sentences),
        speak(sentences, engines.speech, settings.voice, delivery.outputs, turn.spoken, turn.timings),
        delivery.deliver(),
    )
    await until_played(turn)


async def _understand(turn: Turn, settings: TurnSettings, engines: Engines, out: Sender[Event]) -> str:
    failed = degrading(turn, out, "TRANSCRIPTION_FAILED", "The user was not understood; the turn is skipped.")
    return await transcribe(
        turn.user_input.utterances, engines.transcriber, settings.transcription, turn.texts, failed, turn.timings, out
    )
