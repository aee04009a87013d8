"""What a session hears: the user's audio, to inputs of its loop."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Engines, Message
from avatar_service.events import Event, Source, Transcript
from avatar_service.media.types import Utterance
from avatar_service.session.config import SessionConfig
from avatar_service.session.inputs import Input, InputEnded, Said, SpeechBegan
from avatar_service.settings import LimitSettings
from avatar_service.stages.listen import Listener, UtteranceMark
from avatar_service.turn.early import Early, EarlyReply
from avatar_service.turn.turn import UserInput

PIECE_S = 0.1
"""Longest piece of user audio that is handed to a session."""
EARLY_TRIES = 4
"""Pauses of an utterance in which it is transcribed early: someone who thinks aloud is not to cost a request a word."""


class Hearing:
    """Feed `audio`, in manual mode with the client's marks in their places, and await `run`."""

    def __init__(
        self,
        config: SessionConfig,
        engines: Engines,
        limits: LimitSettings,
        out: Sender[Event],
        inbox: Channel[Input],
        prompt: Callable[[str], Sequence[Message]],
        *,
        heard_s: float = 0.0,
        utterances: int = 0,
    ) -> None:
        """`prompt` says what the chat model would be asked; `heard_s` and `utterances` are from before a resume."""
        self.audio = Channel[bytes | UtteranceMark]("user_audio", int(limits.buffered_audio_s / PIECE_S))
        self._inbox = inbox
        self._config = config
        self._engines = engines
        self._out = out
        self._prompt = prompt
        self._tasks = asyncio.TaskGroup()
        self._early: Early | None = None
        """What is understood in the pause that is going on."""
        self._pause = 0
        """Number of the pause that is going on; it changes when that is over."""
        self._tries = 0
        self._telling = asyncio.Lock()
        self._avatar_speaks = False
        self._listener = Listener(
            config.input_rate_hz,
            engines.voice_activity.detector(),
            config.endpointing,
            out,
            self._speech_began,
            self._utterance_ended,
            on_paused=self._paused,
            on_went_on=self._went_on,
            manual=config.turn_taking.manual,
            heard_s=heard_s,
            utterances=utterances,
        )

    @property
    def utterances(self) -> int:
        """The last utterance's id."""
        return self._listener.utterances

    @property
    def acknowledged_s(self) -> float:
        """Up to where the client need not keep its audio."""
        return self._listener.acknowledged_s

    @property
    def avatar_speaks(self) -> bool:
        """Whether the microphone may hear the avatar."""
        return self._avatar_speaks

    @avatar_speaks.setter
    def avatar_speaks(self, speaks: bool) -> None:
        self._avatar_speaks = speaks
        self._listener.suppress(speaks and self._config.turn_taking.suppress_echo)

    async def run(self) -> None:
        """Listen until the audio ends, and say so."""
        async with self._tasks:
            await self._listener.listen(self.audio)
            await self._inbox.send(InputEnded())

    def configure(self, config: SessionConfig) -> None:
        """Take new settings, at once."""
        self._config = config
        self._listener.configure(config.endpointing, manual=config.turn_taking.manual)
        self.avatar_speaks = self._avatar_speaks

    def settled(self, utterance_id: int) -> None:
        """The words of an utterance are known, or will never be."""
        self._listener.settled(utterance_id)

    async def _speech_began(self, utterance_id: int) -> None:
        self._tries = 0
        await self._inbox.send(SpeechBegan(utterance_id))

    async def _utterance_ended(self, utterance: Utterance, ended_at_s: float) -> None:
        async with self._telling:  # an interim transcript that is being sent comes before the final one
            early, self._early = self._early, None
            self._pause += 1
        if not self._listener.has_voice:
            early = Early.of_silence(self._tasks)
        said = UserInput(Source.UTTERANCE, utterances=(utterance,), ended_at_s=ended_at_s, early=early)
        await self._inbox.send(Said(said))

    def _paused(self, utterance: Utterance) -> None:
        """The user is silent: perhaps that was all."""
        if self._config.turn_taking.early and self._tries < EARLY_TRIES:
            self._tries += 1
            understanding = self._understand(utterance, self._config, self._pause)
            self._early = Early(self._tasks, understanding, partial(self._answer, self._pause))

    def _went_on(self) -> None:
        self._pause += 1
        if self._early:
            self._early.discard()
            self._early = None

    async def _understand(self, utterance: Utterance, config: SessionConfig, pause: int) -> str:
        """What was said up to the pause. Words that sound unfinished get more time. Raises EngineError."""
        text = (await self._engines.transcriber.transcribe(utterance, config.turn.transcription)).strip()
        async with self._telling:
            if pause == self._pause and text:
                if self._sounds_unfinished(text):
                    self._listener.wait_longer(self._config.turn_taking.longest_silence_s)
                if self._config.turn_taking.interim:
                    told = Transcript(utterance.utterance_id, text, utterance.start_s, utterance.end_s, final=False)
                    await self._out.send(told)
        return text

    def _sounds_unfinished(self, text: str) -> bool:
        judge, language = self._engines.end_of_turn, self._config.turn.transcription.language
        return bool(self._config.turn_taking.longest_silence_s) and not judge.finished(text, language)

    def _answer(self, pause: int, text: str) -> EarlyReply | None:
        """Ask the chat model before the turn, where that is wanted and the user seems to have finished. While the
        avatar speaks nobody knows yet how much of that will have been heard."""
        likely = pause == self._pause and not self._avatar_speaks and not self._sounds_unfinished(text)
        if not (likely and self._config.turn_taking.preemptive):
            return None
        prompt, options = self._prompt(text), self._config.turn.chat
        return EarlyReply(prompt, options, self._engines.chat.complete(prompt, options))
