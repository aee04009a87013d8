"""One stream: it listens, takes turns, and remembers.

A session owns its tasks: the listener, the turn in progress and the loop that decides. They end with `run`.
"""

import asyncio

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Engines
from avatar_service.events import (
    Cause,
    Event,
    Failure,
    Interrupted,
    Notice,
    Source,
    State,
    StateChanged,
    Transcript,
    TurnStarted,
)
from avatar_service.log import bound_contextvars
from avatar_service.media.types import Utterance
from avatar_service.session.config import SessionConfig
from avatar_service.session.failure import engine_failure
from avatar_service.session.inputs import Input, InputEnded, Interrupt, PlaybackReport, Said, SpeechBegan, TurnEnded
from avatar_service.session.turn_taking import (
    Decision,
    EndSession,
    InterruptTurn,
    RefuseInput,
    StartTurn,
    TurnTaking,
)
from avatar_service.settings import LimitSettings
from avatar_service.stages.listen import Listener
from avatar_service.turn.account import account
from avatar_service.turn.converse import converse
from avatar_service.turn.history import History
from avatar_service.turn.turn import Turn, UserInput

PIECE_S = 0.1
"""Longest piece of user audio that is handed to a session."""
INBOX = 32
"""Inputs other than audio that may wait."""


class Session:
    """Feed `audio` and `inbox`, await `run`. Closing `audio` ends the input."""

    def __init__(self, config: SessionConfig, engines: Engines, limits: LimitSettings, out: Sender[Event]) -> None:
        self.audio = Channel[bytes]("user_audio", int(limits.buffered_audio_s / PIECE_S))
        self.inbox = Channel[Input]("inbox", INBOX)
        self._config = config
        self._engines = engines
        self._out = out
        self._history = History(config.history)
        self._turn_taking = TurnTaking(limits.queued_turns, barge_in=config.turn_taking.barge_in)
        self._turn: Turn | None = None
        self._turn_task: asyncio.Task[None] | None = None
        self.turns = 0
        """Turns that have begun."""
        self._loop_index = 0
        self._user_speaks = False

    async def run(self) -> None:
        """Serve until the input has ended and every turn is over."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            if self._config.first_message:
                await self.inbox.send(Said(UserInput(Source.FIRST_MESSAGE, text=self._config.first_message)))
            async for item in self.inbox:
                for decision in await self._decide(item):
                    await self._act(decision, tasks)

    async def _listen(self) -> None:
        listener = Listener(
            self._config.input_rate_hz,
            self._engines.voice_activity.detector(),
            self._config.endpointing,
            self._out,
            self._speech_began,
            self._utterance_ended,
        )
        await listener.listen(self.audio)
        await self.inbox.send(InputEnded())

    async def _speech_began(self, utterance_id: int) -> None:
        await self.inbox.send(SpeechBegan(utterance_id))

    async def _utterance_ended(self, utterance: Utterance, ended_at_s: float) -> None:
        await self.inbox.send(Said(UserInput(Source.UTTERANCE, utterances=(utterance,), ended_at_s=ended_at_s)))

    async def _decide(self, item: Input) -> list[Decision]:
        match item:
            case SpeechBegan(utterance_id):
                self._user_speaks = True
                if self._turn is None:
                    await self._out.send(StateChanged(State.LISTENING))
                return self._turn_taking.speech_began(utterance_id)
            case Said(user_input, interrupts):
                self._user_speaks = self._user_speaks and not user_input.utterances
                return self._turn_taking.said(user_input, interrupts=interrupts)
            case InputEnded():
                return self._turn_taking.input_ended()
            case Interrupt() | PlaybackReport() | TurnEnded():
                return await self._about_turn(item)
            case _:
                raise NotImplementedError(type(item).__name__)

    async def _about_turn(self, item: Interrupt | PlaybackReport | TurnEnded) -> list[Decision]:
        """Decide on what concerns the current turn; one that was over before the item came is left alone."""
        turn = self._turn
        if turn is None or item.turn_id not in (0, turn.turn_id):
            if isinstance(item, Interrupt):
                await self._out.send(Notice("REQUEST_IGNORED", "interrupt: no such turn is spoken.", item.turn_id))
            return []
        match item:
            case Interrupt():
                return self._turn_taking.interrupt()
            case PlaybackReport(_, position_s):
                turn.play_out.reported(position_s)
                return []
            case TurnEnded(_, failure):
                await self._complete(turn, failure=failure)
                return self._turn_taking.turn_ended()

    async def _act(self, decision: Decision, tasks: asyncio.TaskGroup) -> None:
        match decision:
            case StartTurn(user_input):
                await self._start_turn(user_input, tasks)
            case InterruptTurn():
                await self._interrupt_turn(decision)
            case RefuseInput(user_input):
                await self._out.send(Notice("SAY_QUEUE_FULL", "The input was dropped: too many turns wait already."))
                await self._close_transcripts(user_input.utterances)
            case EndSession():
                self.inbox.close()

    async def _start_turn(self, user_input: UserInput, tasks: asyncio.TaskGroup) -> None:
        self.turns += 1
        turn = Turn(self.turns, user_input, self._config.turn.media, self._loop_index)
        turn.timings.mark("speech_ended", at_s=user_input.ended_at_s)
        turn.timings.mark("turn_started")
        ids = tuple(utterance.utterance_id for utterance in user_input.utterances)
        await self._out.send(TurnStarted(turn.turn_id, user_input.source, ids, user_input.request_id))
        await self._out.send(StateChanged(State.THINKING, turn.turn_id))
        self._turn, self._turn_task = turn, tasks.create_task(self._run_turn(turn))

    async def _run_turn(self, turn: Turn) -> None:
        """Run a turn to its end; an engine that fails ends the turn alone."""
        with bound_contextvars(turn_id=turn.turn_id):
            failure = await engine_failure(converse(turn, self._config.turn, self._history, self._engines, self._out))
        task = asyncio.current_task()
        if not (task and task.cancelling()):  # an engine that fails while the turn is interrupted hides the cancel
            await self.inbox.send(TurnEnded(turn.turn_id, failure))

    async def _interrupt_turn(self, decision: InterruptTurn) -> None:
        """Stop the current turn and wait until nothing of it runs any more; then tell the client, once."""
        turn, task = self._turn, self._turn_task
        if turn is None or task is None:
            return
        turn.timings.mark("interrupt_decided")
        task.cancel()
        await asyncio.wait({task})
        turn.timings.mark("interrupted")
        await self._settle_utterances(turn, decision)
        played_s = turn.play_out.position_s
        await self._out.send(Interrupted(turn.turn_id, played_s, decision.cause, decision.utterance_id))
        await self._complete(turn, interrupted=True)

    async def _settle_utterances(self, turn: Turn, decision: InterruptTurn) -> None:
        """What an interrupted turn had not understood: a user who speaks on is answered for both, else it is over."""
        untranscribed = turn.user_input.utterances[len(turn.texts) :]
        if untranscribed and (understood := " ".join(filter(None, turn.texts))):
            self._history.add_user(understood)
        if decision.cause is Cause.BARGE_IN:
            self._turn_taking.carry_over(untranscribed)
        else:
            await self._close_transcripts(untranscribed)

    async def _close_transcripts(self, utterances: tuple[Utterance, ...]) -> None:
        """Tell the client that these utterances will not be understood."""
        for utterance in utterances:
            await self._out.send(Transcript(utterance.utterance_id, "", utterance.start_s, utterance.end_s))

    async def _complete(self, turn: Turn, *, interrupted: bool = False, failure: Failure | None = None) -> None:
        self._turn, self._turn_task = None, None
        completed = turn.completed(interrupted=interrupted, failure=failure)
        if turn.user_input.remembered:
            self._history.add_heard(completed.heard_text)
        self._loop_index = turn.next_loop_index
        account(turn, completed)
        await self._out.send(completed)
        await self._out.send(StateChanged(State.LISTENING if self._user_speaks else State.IDLE))
