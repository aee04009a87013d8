"""One stream: it listens, takes turns, and remembers.

A session owns its tasks: hearing, the turn in progress, the idle frames, its timers and the loop that decides. They end
with `run`. Inputs reach the loop in order; turn taking decides on each, and what it decides is done before the next.
"""

import asyncio

from avatar_service import clock
from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Engines, Message
from avatar_service.events import Cause, ConfigUpdated, Event, Failure, Notice, State, StateChanged, Transcript
from avatar_service.media.types import Utterance
from avatar_service.session.config import SessionConfig
from avatar_service.session.hearing import Hearing
from avatar_service.session.idle import IdleFrames
from avatar_service.session.inputs import (
    ConfigChanged,
    Input,
    InputEnded,
    Interrupt,
    PlaybackReport,
    RestDue,
    Said,
    SpeechBegan,
    ToolResults,
    ToolsTimedOut,
    TurnEnded,
)
from avatar_service.session.keeper import Keeper
from avatar_service.session.repeats import Requests
from avatar_service.session.saved import SavedSession
from avatar_service.session.saving import begins_with, saved_end, saved_input, told_again, unfinished
from avatar_service.session.timer import Timer
from avatar_service.session.tool_rounds import ToolRounds, from_tools
from avatar_service.session.turn_taking import (
    AwaitRest,
    CancelTools,
    Decision,
    EndSession,
    InterruptTurn,
    RefuseInput,
    StartTurn,
    TellFalseBargeIn,
    TurnTaking,
)
from avatar_service.session.turns import Turns
from avatar_service.settings import LimitSettings
from avatar_service.turn.history import History
from avatar_service.turn.rest import UnheardRest, unheard_rest
from avatar_service.turn.turn import Turn

SAVED_AHEAD_S = 1.0
"""How far beyond what was sent the saved times of words must reach: what is sent until the next look may be heard."""
INBOX = 32
"""Inputs other than audio that may wait."""


class Session:
    """Feed `audio` and `inbox`, pass on reports, await `run`. Closing `audio` ends the input."""

    def __init__(
        self,
        config: SessionConfig,
        engines: Engines,
        limits: LimitSettings,
        out: Sender[Event],
        *,
        keeper: Keeper | None = None,
        resumed: SavedSession | None = None,
        played: PlaybackReport | None = None,
    ) -> None:
        """With a `keeper` the session can be resumed; it goes on from `resumed`, of whose turn the client has `played`
        so much."""
        left = resumed or SavedSession(history=config.history)
        self.inbox = Channel[Input]("inbox", INBOX)
        self._config = config
        self._engines = engines
        self._out = out
        self._keeper = keeper
        self._tasks = asyncio.TaskGroup()
        self._history = History(left.history)
        self._begins_with = begins_with(config, resumed, played, self._history)
        self._requests = Requests(left.request_ids, self._begins_with.inputs)
        heard_s, utterances = left.acknowledged_s, left.last_utterance_id
        self._hearing = Hearing(
            config, engines, limits, out, self.inbox, self._prompt, heard_s=heard_s, utterances=utterances
        )
        self.audio = self._hearing.audio
        self._idle = IdleFrames(config.turn.media, engines.lip_sync, out)
        self._turns = Turns(self._history, engines, out, self.inbox, self._begin_media, self._keep, left.last_turn_id)
        self._taking = TurnTaking(limits.queued_turns, barge_in=config.turn_taking.barge_in)
        self._tools = ToolRounds(out, self.inbox, self._tasks)
        self._rest_timer = Timer(self.inbox)
        self._loop_index = 0

    @property
    def turns(self) -> int:
        """Turns that have begun on this stream."""
        return self._turns.count

    @property
    def last_turn_id(self) -> int:
        """The turn that began last, on this stream or on one before; 0 if none."""
        return self._turns.last_id

    @property
    def is_busy(self) -> bool:
        """Whether a turn runs."""
        return self._turns.current is not None

    def reported(self, report: PlaybackReport) -> None:
        """The client tells its play-out position; one of a turn that is over says nothing."""
        turn = self._turns.current
        if turn and turn.turn_id == report.turn_id:
            turn.play_out.reported(report.position_s, report.stopped)

    def hear_by(self, config: SessionConfig) -> None:
        """Listen by new settings, before the session's loop comes to them."""
        self._hearing.configure(config)

    def snapshot(self) -> SavedSession:
        """What the session would go on from if it ended here; the configuration is left to whoever knows it."""
        return SavedSession(
            history=self._history.messages,
            last_turn_id=self.last_turn_id,
            last_utterance_id=self._hearing.utterances,
            acknowledged_s=self._hearing.acknowledged_s,
            waiting=tuple(saved_input(waiting) for waiting in self._taking.waiting_texts),
            turn=unfinished(self._turns, self._taking),
            ended=saved_end(self._turns.ended) if self._turns.ended else self._begins_with.ended,
            request_ids=self._requests.names,
        )

    def is_behind(self, saved: SavedSession | None) -> bool:
        """Whether `saved` lacks words, or their true times, that may be heard within SAVED_AHEAD_S."""
        turn = self._turns.current
        if turn is None:
            return False
        words = saved.turn.words if saved and saved.turn and saved.turn.turn_id == turn.turn_id else ()
        reaches_s = next((word.end_s for word in reversed(words) if not word.estimated), 0.0)
        return reaches_s < turn.play_out.sent_s + SAVED_AHEAD_S and list(words) != turn.spoken.words

    async def run(self) -> None:
        """Serve until the input has ended and every turn is over."""
        self._engines.warm()
        async with self._tasks as tasks:
            tasks.create_task(self._hearing.run())
            self._show_idle()
            if ended := self._begins_with.ended:
                await self._out.send(told_again(ended))
            for user_input in self._begins_with.inputs:
                await self.inbox.send(Said(user_input))
            async for item in self.inbox:
                for decision in await self._decide(item):
                    await self._act(decision)
            self._idle.stop()

    async def _keep(self) -> None:
        """Save what the session has become; only then may a client forget audio that was understood."""
        if self._keeper:
            await self._keeper.save()
        if turn := self._turns.current:
            self._settle(turn.user_input.utterances[: len(turn.texts)])

    def _keep_soon(self) -> None:
        """Save it meanwhile: no turn waits for that."""
        if self._keeper:
            self._tasks.create_task(self._keeper.save())

    async def _decide(self, item: Input) -> list[Decision]:
        match item:
            case SpeechBegan(utterance_id):
                return await self._speech_began(utterance_id)
            case Said(user_input, interrupts):
                if self._requests.is_repeated(user_input):
                    return []
                return self._taking.said(user_input, interrupts=interrupts)
            case Interrupt(turn_id):
                return await self._interrupt_asked(turn_id)
            case ToolResults() | ToolsTimedOut():
                return self._tools_returned(await self._tools.take(item, self._turns.current))
            case RestDue(turn_id):
                return self._taking.rest_due(turn_id)
            case TurnEnded(turn_id, failure):
                return await self._turn_ended(turn_id, failure)
            case InputEnded():
                return [*self._taking.input_ended(), *await self._give_up_tools()]
            case ConfigChanged():
                await self._configure(item)
        return []

    async def _act(self, decision: Decision) -> None:
        match decision:
            case StartTurn(user_input):
                self._rest_timer.stop()
                await self._turns.start(user_input, self._config.turn, self._tasks)
                self._keep_soon()
            case InterruptTurn():
                await self._interrupt_turn(decision)
            case CancelTools():
                await self._cancel_tools(decision)
            case AwaitRest(rest):
                due_s = rest.interrupted_at_s + self._config.turn_taking.false_barge_in_wait_s
                self._rest_timer.set(max(0.0, due_s - clock.now()), RestDue(rest.turn_id), self._tasks)
            case TellFalseBargeIn(rest):
                message = "Nothing was understood: the avatar goes on with what was not heard."
                await self._out.send(Notice("FALSE_BARGE_IN", message, rest.turn_id, rest.utterance_id))
            case RefuseInput(user_input):
                await self._out.send(Notice("SAY_QUEUE_FULL", "The input was dropped: too many turns wait already."))
                user_input.discard_early()
                await self._close_transcripts(user_input.utterances[len(user_input.texts) :])
            case EndSession():
                self._rest_timer.stop()
                self.inbox.close()

    async def _speech_began(self, utterance_id: int) -> list[Decision]:
        self._engines.warm()
        if not self.is_busy:
            await self._out.send(StateChanged(State.LISTENING))
        return self._taking.speech_began(utterance_id)

    async def _interrupt_asked(self, turn_id: int) -> list[Decision]:
        """The client asks for silence: of the turn that runs, or of what would follow one that is over."""
        turn, rest = self._turns.current, self._taking.rest
        concerned = turn.turn_id if turn else self._tools.turn_id or (rest.turn_id if rest else 0)
        if concerned and turn_id in (0, concerned):
            return self._taking.interrupt()
        await self._out.send(Notice("REQUEST_IGNORED", "interrupt: no such turn is spoken.", turn_id))
        return []

    async def _turn_ended(self, turn_id: int, failure: Failure | None) -> list[Decision]:
        """A turn came to its end by itself; one that was interrupted meanwhile is over already."""
        turn = self._turns.current
        if turn is None or turn.turn_id != turn_id:
            return []
        self._tools.ask(turn)
        if failure:
            await self._tools.cancel()
        messages = self._tools.complete()
        self._remember(turn, turn.delivered_text)
        await self._end_turn(turn, failure=failure)
        decisions = self._taking.turn_ended(skipped=turn.skipped, awaits_tools=bool(messages or self._tools.turn_id))
        if messages:
            return self._tools_returned(messages)
        if self._tools.turn_id:
            self._tools.wait(self._config.tool_timeout_s)
        return [*decisions, *await self._give_up_tools()]

    async def _interrupt_turn(self, decision: InterruptTurn) -> None:
        """Stop the current turn, and settle what it leaves: words that were not answered, calls of tools, a rest."""
        turn = await self._turns.interrupt(decision)
        self._tools.ask(turn)
        await self._tools.cancel()
        messages, utterances = self._tools.complete(), turn.user_input.utterances
        by_voice = decision.cause is Cause.BARGE_IN
        if by_voice and utterances and not turn.play_out.sent_s and not messages:
            self._taking.carry_over(utterances, tuple(turn.texts))
        else:
            await self._close_transcripts(utterances[len(turn.texts) :])
            self._remember(turn, turn.heard.text, messages)
            self._left_unheard(unheard_rest(turn, decision.utterance_id, clock.now()) if by_voice else None)
        await self._end_turn(turn, interrupted=True)

    async def _cancel_tools(self, decision: CancelTools) -> None:
        """Nobody waits for the tools any more. If that was a cough, the chat model is asked again."""
        turn_id = self._tools.turn_id
        await self._tools.cancel()
        if decision.cause is Cause.BARGE_IN:
            self._left_unheard(UnheardRest(turn_id, "", decision.utterance_id, clock.now(), unfinished=True))

    def _tools_returned(self, messages: tuple[Message, ...]) -> list[Decision]:
        return self._taking.tools_returned(from_tools(messages)) if messages else []

    async def _give_up_tools(self) -> list[Decision]:
        """After the client's last message no results can come."""
        if not (self._taking.awaits_tools and self._taking.has_ended):
            return []
        messages = await self._tools.give_up()
        return self._tools_returned(messages) if messages else self._taking.turn_ended()

    def _left_unheard(self, rest: UnheardRest | None) -> None:
        self._taking.left_unheard(rest if self._config.turn_taking.false_barge_in_wait_s else None)

    def _remember(self, turn: Turn, delivered: str, messages: tuple[Message, ...] = ()) -> None:
        """Put what was said in a turn and what the user got of the reply into the history, and the round of tools that
        it asked for."""
        given = turn.user_input
        if given.remembered:
            self._history.answered(turn.said, delivered, given.tool_messages)
            self._history.answered(tool_messages=messages)
        self._settle(given.utterances)

    async def _end_turn(self, turn: Turn, *, interrupted: bool = False, failure: Failure | None = None) -> None:
        """Tell that the current turn is over; the avatar is idle from the picture that was seen last."""
        turn.user_input.discard_early()
        self._hearing.avatar_speaks = False
        if turn.has_begun:
            self._loop_index = turn.next_loop_index
        await self._turns.complete(interrupted=interrupted, failure=failure)
        self._keep_soon()
        self._show_idle()
        await self._out.send(StateChanged(State.LISTENING if self._taking.user_speaks else State.IDLE))

    async def _close_transcripts(self, utterances: tuple[Utterance, ...]) -> None:
        """Tell the client that these utterances will not be understood."""
        for utterance in utterances:
            await self._out.send(Transcript(utterance.utterance_id, "", utterance.start_s, utterance.end_s))
        self._settle(utterances)

    def _settle(self, utterances: tuple[Utterance, ...]) -> None:
        """Nobody needs the audio of these any more."""
        for utterance in utterances:
            self._hearing.settled(utterance.utterance_id)

    async def _configure(self, change: ConfigChanged) -> None:
        """Take new settings: for turn taking at once, otherwise for the turns that follow."""
        self._config = change.config
        self._taking.barge_in = change.config.turn_taking.barge_in
        self._hearing.configure(change.config)
        self._idle.change(change.config.turn.media)
        await self._out.send(ConfigUpdated(change.told))

    def _show_idle(self) -> None:
        if self._config.idle_frames and not self._config.turn.media.audio_only:
            self._idle.start(self._tasks, self._loop_index)

    def _begin_media(self) -> int:
        """A turn is about to be seen and heard; returns the picture of the loop at which it begins."""
        self._hearing.avatar_speaks = True
        return self._idle.stop() if self._config.idle_frames else self._loop_index

    def _prompt(self, said: str) -> list[Message]:
        """What the chat model would be asked if that were all the user says."""
        said = " ".join(filter(None, [*self._taking.carried_texts, said]))
        return self._history.prompt(self._config.turn.system_prompt, said)
