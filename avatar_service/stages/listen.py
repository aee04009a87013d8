"""The user's audio to utterances."""

from collections.abc import Awaitable, Callable
from enum import Enum

import numpy as np

from avatar_service import clock, metrics
from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import VoiceActivityDetector
from avatar_service.events import AudioReceived, Event, Notice, SpeechStarted, SpeechStopped
from avatar_service.media.resample import Resampler
from avatar_service.media.types import Utterance
from avatar_service.stages.endpointing import WINDOW_S, Change, Endpointer, EndpointingSettings

RATE_HZ = 16_000
"""Rate at which speech is listened to and transcribed."""
WINDOW = 512
"""Samples that the detector judges at once (32 ms)."""
RESET_AFTER_S = 2.0
"""Silence after which the detector forgets: long music or noise would dull it."""
ACKNOWLEDGE_EVERY_S = 0.9
"""How often the client is told up to where its audio was taken in: a message and a window sooner than every second."""


class UtteranceMark(Enum):
    """Where the client says that an utterance begins or ends, in order with the audio."""

    BEGIN = "utterance_started"
    END = "utterance_ended"


def _nothing(*_: object) -> None:
    """What a listener whose utterances are understood at their end alone is told of pauses."""


class Listener:
    """Listens to one session's microphone and hands over each utterance when it ends."""

    def __init__(
        self,
        rate_hz: int,
        detector: VoiceActivityDetector,
        settings: EndpointingSettings,
        out: Sender[Event],
        on_started: Callable[[int], Awaitable[None]],
        on_utterance: Callable[[Utterance, float], Awaitable[None]],
        *,
        on_paused: Callable[[Utterance], None] = _nothing,
        on_went_on: Callable[[], None] = _nothing,
        manual: bool = False,
        heard_s: float = 0.0,
        utterances: int = 0,
    ) -> None:
        """`on_started` gets an utterance's id when it begins; `on_utterance` gets the whole when it has ended, and the
        moment of its last sound on the loop's clock. `on_paused` gets what was said before a silence that may end it,
        and `on_went_on` is called if that does not. `heard_s` and `utterances` are what a resumed session has heard
        before; the client counts on from there."""
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz, RATE_HZ)
        self._detector = detector
        self._endpointer = Endpointer(settings, manual=manual, heard_s=heard_s)
        self._wanted = self._in_force = settings, manual
        self._out = out
        self._on_started = on_started
        self._on_utterance = on_utterance
        self._on_paused = on_paused
        self._on_went_on = on_went_on
        self._kept = bytearray()
        self._unjudged = 0
        """Bytes at the end of what is kept that the detector has not judged."""
        self._kept_from_s = heard_s
        self._judged_s = heard_s
        self._told_s = self._told_until_s = heard_s
        self._quiet_s = 0.0
        self._unsettled: dict[int, float] = {}
        """Where utterances begin whose words are not known yet."""
        self._acknowledged_s = heard_s
        self._ended_s: float | None = None
        """Where the audio has ended."""
        self.utterances = utterances
        """Utterances that have begun; the last one's id."""

    def configure(self, settings: EndpointingSettings, *, manual: bool) -> None:
        """Judge what comes from now on by these settings. Where the mode changes, an utterance that is open is ended
        there: what comes next is the new mode's."""
        self._wanted = settings, manual

    def suppress(self, suppresses: bool) -> None:
        """Whether voices may be the avatar's own echo."""
        self._endpointer.suppresses = suppresses

    @property
    def has_voice(self) -> bool:
        """Whether a voice was heard in the last utterance."""
        return self._endpointer.has_voice

    def wait_longer(self, silence_s: float) -> None:
        """Let the pause that is going on last so long before it ends the utterance."""
        self._endpointer.wait_longer(silence_s)

    def settled(self, utterance_id: int) -> None:
        """The words of an utterance are known, or will never be: its audio is not needed any more."""
        self._unsettled.pop(utterance_id, None)

    @property
    def acknowledged_s(self) -> float:
        """Up to where the client need not keep its audio: to the first utterance whose words are not known yet, or to
        what may still become one, prefixes included."""
        needed_from_s = self._endpointer.needed_from_s if self._ended_s is None else self._ended_s
        self._acknowledged_s = max(self._acknowledged_s, min([needed_from_s, *self._unsettled.values()]))
        return self._acknowledged_s

    async def listen(self, audio: Channel[bytes | UtteranceMark]) -> None:
        """Take in PCM (16-bit mono at the session's rate, whole samples) until it ends; then end what is being said."""
        async for heard in audio:
            if self._wanted is not self._in_force:
                await self._configured()
            if isinstance(heard, UtteranceMark):
                await self._mark(heard)
            else:
                await self._hear(self._resampler.push(heard))
        await self._hear(self._resampler.flush())
        await self._act(self._endpointer.end(self._received_s))
        received_s = self._received_s
        if self._unjudged:  # silence to a whole window, or no utterance would hold the rest
            await self._hear(bytes(2 * WINDOW - self._unjudged))
        await self._act(self._endpointer.stop())
        self._ended_s = received_s
        await self._acknowledge()

    async def _configured(self) -> None:
        self._in_force = settings, manual = self._wanted
        if manual != self._endpointer.manual:
            await self._act(self._endpointer.stop())
        self._endpointer.configure(settings, manual=manual)

    async def _mark(self, mark: UtteranceMark) -> None:
        """Begin or end an utterance at the last sample that came before the mark."""
        endpointer, begins = self._endpointer, mark is UtteranceMark.BEGIN
        if not endpointer.manual:
            await self._ignore(mark, "the server decides when utterances begin and end")
        elif begins == endpointer.speaking:
            if begins or not endpointer.was_too_long:  # the end of one that was ended by its length is no mistake
                await self._ignore(mark, "an utterance has begun already" if begins else "no utterance has begun")
            endpointer.was_too_long = False
        else:
            await self._hear(self._resampler.flush())
            self._resampler = Resampler(self._rate_hz, RATE_HZ)
            await self._act(endpointer.begin(self._received_s) if begins else endpointer.end(self._received_s))

    async def _ignore(self, mark: UtteranceMark, reason: str) -> None:
        await self._out.send(Notice("REQUEST_IGNORED", f"{mark.value}: {reason}; nothing was changed."))

    @property
    def _received_s(self) -> float:
        """Where the audio ends that has come so far."""
        return self._kept_from_s + len(self._kept) / (2 * RATE_HZ)

    async def _hear(self, pcm: bytes) -> None:
        self._kept += pcm
        self._unjudged += len(pcm)
        while self._unjudged >= 2 * WINDOW:
            begin = len(self._kept) - self._unjudged
            window = np.frombuffer(bytes(self._kept[begin : begin + 2 * WINDOW]), np.int16)
            probability = await self._detector.probability(window)
            self._judged_s += WINDOW_S
            self._unjudged -= 2 * WINDOW
            if change := self._endpointer.push(probability):
                await self._act(change)
            self._rest(probability)
        if self._judged_s - self._told_s >= ACKNOWLEDGE_EVERY_S:
            await self._acknowledge()

    async def _act(self, change: Change | None) -> None:
        if change is Change.PAUSED:
            self._on_paused(self._utterance(self._judged_s))
        elif change is Change.WENT_ON:
            self._on_went_on()
        elif change is Change.STARTED:
            self.utterances += 1
            self._unsettled[self.utterances] = self._endpointer.start_s
            await self._out.send(SpeechStarted(self.utterances, self._endpointer.speech_from_s))
            await self._on_started(self.utterances)
        elif change is Change.STOPPED:
            await self._stopped(self._endpointer)

    async def _stopped(self, heard: Endpointer) -> None:
        if heard.was_too_long:
            message = f"The utterance has reached {heard.settings.longest_s:g} s and was ended."
            await self._out.send(Notice("UTTERANCE_TOO_LONG", message, utterance_id=self.utterances))
        await self._out.send(SpeechStopped(self.utterances, heard.last_speech_s))
        ended_at_s = clock.now() - (heard.end_s - heard.last_speech_s)
        await self._on_utterance(self._utterance(heard.end_s), ended_at_s)

    def _utterance(self, end_s: float) -> Utterance:
        """What is being said, up to a position."""
        heard = self._endpointer
        pcm = bytes(self._kept[max(0, self._at(heard.start_s)) : self._at(end_s)])
        return Utterance(self.utterances, pcm, RATE_HZ, heard.speech_from_s, heard.last_speech_s)

    def _rest(self, probability: float) -> None:
        """Forget audio that no utterance can need any more, and what the detector remembers of long silence."""
        if self._endpointer.speaking:
            self._quiet_s = 0.0
            return
        surplus = self._at(self._endpointer.needed_from_s)
        if surplus > 0:
            unmarked_s = self._kept_from_s + surplus / (2 * RATE_HZ) - max(self._kept_from_s, self._endpointer.end_s)
            if self._endpointer.manual and unmarked_s > 0:
                metrics.UNMARKED_AUDIO.inc(unmarked_s)
            del self._kept[:surplus]
            self._kept_from_s += surplus / (2 * RATE_HZ)
        self._quiet_s = self._quiet_s + WINDOW_S if probability < self._endpointer.settings.threshold else 0.0
        if self._quiet_s >= RESET_AFTER_S:
            self._detector.reset()
            self._quiet_s = 0.0

    async def _acknowledge(self) -> None:
        """Tell the client what it need not keep, where that has grown."""
        self._told_s, before_s = self._judged_s, self._told_until_s
        self._told_until_s = self.acknowledged_s
        if self._told_until_s > before_s:
            await self._out.send(AudioReceived(self._told_until_s))

    def _at(self, position_s: float) -> int:
        """Where a position in the received audio lies in the kept bytes."""
        return 2 * round((position_s - self._kept_from_s) * RATE_HZ)
