"""A conversation as a script with times, run through one Session in virtual time with the fakes.

    recording = await Scenario().user_speech(0.5, 2.0, "hello").reply("Hi there.", ttft_s=0.1).speech(rate=4).run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED

Times are seconds since the session began, on the loop's clock.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Self, TypeVar

from avatar_service import clock
from avatar_service.avatars.catalogue import Avatar
from avatar_service.engines.base import ChatOptions, Engines, Message, TranscriptionOptions, Voice
from avatar_service.engines.unfinished_words import UnfinishedWords
from avatar_service.errors import EngineError
from avatar_service.events import Event, Media, Source
from avatar_service.media.types import Frame, SpeechChunk, ToolCall
from avatar_service.session.config import SessionConfig, TurnTakingSettings
from avatar_service.session.inputs import (
    ConfigChanged,
    Input,
    Interrupt,
    PlaybackReport,
    Said,
    ToolResult,
    ToolResults,
)
from avatar_service.session.saved import SavedSession
from avatar_service.session.session import Session
from avatar_service.settings import LimitSettings
from avatar_service.stages.encode import encoded
from avatar_service.stages.listen import UtteranceMark
from avatar_service.turn.turn import MediaSettings, TurnSettings, UserInput
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.connections import FakeConnections
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.player import Player
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.fakes.voice_activity import FakeVoiceActivity, pcm_of_probability
from tests.fakes.workers import FakeWorkers

E = TypeVar("E")

PIECE_S = 0.02
"""Length of the pieces in which user audio is sent, in real time."""
CLOSING_SILENCE_S = 1.0
"""Silence sent after the last scripted speech."""
LONGEST_S = 300.0
"""Virtual time by which every scenario is over."""

AVATAR = Avatar("ada", "Ada", "0" * 64, 512, 512, Fraction(25), 10, "nano")
MEDIA = MediaSettings(avatar_key=AVATAR.key, loop_length=AVATAR.loop_length, fps=AVATAR.fps, rate_hz=24_000, lead_s=1.0)
TURN = TurnSettings(
    system_prompt="Be brief.",
    chat=ChatOptions("chat-model", max_tokens=150, temperature=0.7),
    voice=Voice("rachel", "voice-model"),
    transcription=TranscriptionOptions("transcription-model"),
    media=MEDIA,
    apology="I am sorry. Please try again.",
)
LIMITS = LimitSettings.model_validate({})
"""The defaults; the environment has none of ours (see conftest.py)."""
CONFIG = SessionConfig(AVATAR, TURN, input_rate_hz=16_000, turn_taking=TurnTakingSettings(early=False))
"""Speech to text takes its scripted time after an utterance's end, unless a test asks for `early`."""


@dataclass
class Recording:
    """What a session told its client, and when."""

    timed: list[tuple[float, Event]] = field(default_factory=list)
    began_s: float = field(default_factory=clock.now)
    send_delay_s: float = 0.0
    waiting_s: float = 0.0
    """For how long events have waited for this client."""
    player: Player | None = None

    async def send(self, event: Event) -> None:
        """Take one event, as a client that reads no faster than one event each `send_delay_s`."""
        if self.send_delay_s:
            await asyncio.sleep(self.send_delay_s)
        self.timed.append((clock.now() - self.began_s, event))
        if self.player:
            self.player.take(event, float(MEDIA.fps))

    @property
    def events(self) -> list[Event]:
        """All events in order."""
        return [event for _, event in self.timed]

    def all(self, kind: type[E], turn_id: int | None = None) -> list[E]:
        """The events of a kind, of one turn if given."""
        of_kind = [event for event in self.events if isinstance(event, kind)]
        return [event for event in of_kind if turn_id is None or getattr(event, "turn_id", None) == turn_id]

    def only(self, kind: type[E], turn_id: int | None = None) -> E:
        """The one event of a kind."""
        (event,) = self.all(kind, turn_id)
        return event

    def times(self, kind: type[Any], where: Callable[[Any], bool] = lambda event: True) -> list[float]:
        """When the events of a kind came."""
        return [time_s for time_s, event in self.timed if isinstance(event, kind) and where(event)]

    def time(self, kind: type[Any], where: Callable[[Any], bool] = lambda event: True) -> float:
        """When the first event of a kind came."""
        return self.times(kind, where)[0]

    def chunks(self, turn_id: int = 1) -> list[tuple[float, SpeechChunk]]:
        """The turn's voice with the times of its sending."""
        media = [(time_s, e.packet) for time_s, e in self.timed if isinstance(e, Media) and e.turn_id == turn_id]
        return [(time_s, packet) for time_s, packet in media if isinstance(packet, SpeechChunk)]

    def frames(self, turn_id: int = 1) -> list[tuple[float, Frame]]:
        """The turn's frames with the times of their sending."""
        media = [(time_s, e.packet) for time_s, e in self.timed if isinstance(e, Media) and e.turn_id == turn_id]
        return [(time_s, packet) for time_s, packet in media if isinstance(packet, Frame)]

    def voice(self, turn_id: int = 1) -> bytes:
        """The turn's voice in one piece."""
        return b"".join(chunk.pcm for _, chunk in self.chunks(turn_id))


@dataclass
class Scenario:
    """What the user does and what the engines answer; each method returns the scenario."""

    config: SessionConfig = CONFIG
    limits: LimitSettings = LIMITS
    transcriber: FakeTranscriber = field(default_factory=FakeTranscriber)
    chat: FakeChat = field(default_factory=FakeChat)
    fake_speech: FakeSpeech = field(default_factory=FakeSpeech)
    fake_lip_sync: FakeLipSync = field(default_factory=FakeLipSync)
    voice_activity: FakeVoiceActivity = field(default_factory=FakeVoiceActivity)
    connections: FakeConnections = field(default_factory=FakeConnections)
    _speech: list[tuple[float, float]] = field(default_factory=list)
    _marks: list[tuple[float, UtteranceMark]] = field(default_factory=list)
    _inputs: list[tuple[float, Input | PlaybackReport]] = field(default_factory=list)
    _listens_until_s: float = 0.0
    _send_delay_s: float = 0.0
    _player: Player | None = None
    _resumed: SavedSession | None = None
    _played: PlaybackReport | None = None
    saved: SavedSession | None = None
    """What the session left, after `run` or `cut`."""

    def user_speech(
        self, start_s: float, end_s: float, text: str, *, delay_s: float = 0.1, error: EngineError | None = None
    ) -> Self:
        """The user speaks; text to speech understands `text` after `delay_s`, or fails."""
        self._speech.append((start_s, end_s))
        self.transcriber.script.append(Heard(text, delay_s, error))
        return self

    def text(self, at_s: float, text: str) -> Self:
        """The user types."""
        return self.input(at_s, Said(UserInput(Source.TEXT, text=text), interrupts=True))

    def say(self, at_s: float, text: str, *, interrupts: bool = False) -> Self:
        """The client gives the avatar's words."""
        return self.input(at_s, Said(UserInput(Source.SAY, text=text), interrupts=interrupts))

    def interrupt(self, at_s: float) -> Self:
        """The client asks for silence."""
        return self.input(at_s, Interrupt())

    def marked_speech(self, start_s: float, end_s: float, text: str, *, delay_s: float = 0.1) -> Self:
        """The user speaks, and the client marks beginning and end."""
        self._marks += [(start_s, UtteranceMark.BEGIN), (end_s, UtteranceMark.END)]
        return self.user_speech(start_s, end_s, text, delay_s=delay_s)

    def cough(self, at_s: float, length_s: float = 0.4, *, delay_s: float = 0.1) -> Self:
        """The user makes a noise that is long enough to stop the avatar, and in which no words are."""
        return self.user_speech(at_s, at_s + length_s, "", delay_s=delay_s)

    def report(self, at_s: float, turn_id: int, position_s: float, *, stopped: bool = False) -> Self:
        """The client tells its play-out position once."""
        return self.input(at_s, PlaybackReport(turn_id, position_s, stopped))

    def reporting(self, every_s: float = 0.2, **habits: Any) -> Self:
        """The client plays what it is sent, and tells how far it is; see Player."""
        self._player = Player(every_s, **habits)
        return self

    def tool_results(self, at_s: float, **outputs: str) -> Self:
        """The client tells what these calls returned."""
        return self.input(at_s, ToolResults(tuple(ToolResult(name, output) for name, output in outputs.items())))

    def reconfigured(self, at_s: float, **changes: Any) -> Self:
        """The client changes fields of the configuration, as `configured` takes them; the session tells the names."""
        changed = replace(self).configured(**changes).config
        return self.input(at_s, ConfigChanged(changed, tuple(changes)))

    def input(self, at_s: float, item: Input | PlaybackReport) -> Self:
        """Anything else that reaches the session's inbox."""
        self._inputs.append((at_s, item))
        return self

    def listen_until(self, at_s: float) -> Self:
        """Keep the input open; without this it ends after the last input."""
        self._listens_until_s = at_s
        return self

    def reply(
        self,
        text: str,
        *,
        ttft_s: float = 0.1,
        duration_s: float = 0.2,
        error: EngineError | None = None,
        error_after: int = 0,
        tool_calls: tuple[ToolCall, ...] = (),
        finish_reason: str = "",
    ) -> Self:
        """The chat model's next reply."""
        self.chat.script.append(Reply(text, ttft_s, duration_s, error, error_after, tool_calls, finish_reason))
        return self

    def speech(self, **script: Any) -> Self:
        """How text to speech behaves; see FakeSpeech."""
        self.fake_speech = FakeSpeech(**script)
        return self

    def lip_sync(self, **script: Any) -> Self:
        """How lip-sync behaves; see FakeLipSync."""
        self.fake_lip_sync = FakeLipSync(**script)
        return self

    def slow_client(self, send_delay_s: float) -> Self:
        """The client takes one event each `send_delay_s`."""
        self._send_delay_s = send_delay_s
        return self

    def configured(self, **changes: Any) -> Self:
        """Fields of the session's configuration, or of its turn taking, turn or media settings."""
        taking, turn = self.config.turn_taking, self.config.turn
        of_media = {name: value for name, value in changes.items() if hasattr(MEDIA, name)}
        of_taking = {name: value for name, value in changes.items() if hasattr(taking, name)}
        of_turn = {name: value for name, value in changes.items() if hasattr(turn, name)}
        of_session = {name: value for name, value in changes.items() if name not in of_media | of_taking | of_turn}
        turn = replace(turn, media=replace(turn.media, **of_media), **of_turn)
        self.config = replace(self.config, turn=turn, turn_taking=replace(taking, **of_taking), **of_session)
        return self

    def history(self, *messages: Message) -> Self:
        """What was said before."""
        return self.configured(history=messages)

    def resuming(self, cut: Self, *, played_s: float | None = None) -> Self:
        """Go on from what another scenario's session left, of whose last turn the client has played so much."""
        assert cut.saved is not None
        self._resumed = cut.saved
        if played_s is not None:
            self._played = PlaybackReport(cut.saved.last_turn_id, played_s)
        return self

    async def cut(self, at_s: float) -> Recording:
        """Hold the conversation until its stream breaks."""
        recording = Recording(send_delay_s=self._send_delay_s, player=self._player)
        running = asyncio.create_task(self.run(recording))
        await asyncio.wait({running}, timeout=at_s)
        running.cancel()
        await asyncio.wait({running})
        return recording

    async def run(self, recording: Recording | None = None) -> Recording:
        """Hold the conversation to its end."""
        recording = recording or Recording(send_delay_s=self._send_delay_s, player=self._player)
        engines = Engines(
            self.voice_activity,
            self.transcriber,
            self.chat,
            self.fake_speech,
            self.fake_lip_sync,
            connections=self.connections,
            end_of_turn=UnfinishedWords(),
        )
        media = self.config.turn.media
        out = encoded(recording, media.frames, media.fps, FakeWorkers())
        session = Session(self.config, engines, self.limits, out, resumed=self._resumed, played=self._played)
        try:
            await self._hold(session)
        finally:
            self.saved = session.snapshot()
        return recording

    async def _hold(self, session: Session) -> None:
        async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client(session))
            playing = tasks.create_task(self._player.run(session.reported)) if self._player else None
            await session.run()
            if playing:
                playing.cancel()

    async def _client(self, session: Session) -> None:
        """Send every input at its time, then half-close."""
        began_s = clock.now()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(session, began_s))
            for at_s, item in sorted(self._inputs, key=lambda timed: timed[0]):
                await _sleep_until(began_s + at_s)
                if isinstance(item, PlaybackReport):
                    session.reported(item)
                else:
                    await session.inbox.send(item)
            await _sleep_until(began_s + self._listens_until_s)
        session.audio.close()

    async def _speak(self, session: Session, began_s: float) -> None:
        """Send the user's audio in real time: full scale where they speak, else silence."""
        if not self._speech:
            return
        end_s = max(self._listens_until_s, *(end + CLOSING_SILENCE_S for _, end in self._speech))
        for piece in range(round(end_s / PIECE_S)):
            at_s = piece * PIECE_S
            speaks = any(start <= at_s < end for start, end in self._speech)
            for mark in [mark for mark_s, mark in self._marks if at_s <= mark_s < at_s + PIECE_S]:
                await session.audio.send(mark)
            await _sleep_until(began_s + at_s + PIECE_S)
            await session.audio.send(pcm_of_probability(1.0 if speaks else 0.0, PIECE_S))


async def _sleep_until(time_s: float) -> None:
    if (wait_s := time_s - clock.now()) > 0:
        await asyncio.sleep(wait_s)
