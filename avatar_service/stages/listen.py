"""The user's audio to utterances."""

from collections.abc import Awaitable, Callable

import numpy as np

from avatar_service import clock
from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import VoiceActivityDetector
from avatar_service.events import AudioReceived, Event, SpeechStarted, SpeechStopped
from avatar_service.media.resample import Resampler
from avatar_service.media.types import Utterance
from avatar_service.stages.endpointing import WINDOW_S, Change, Endpointer, EndpointingSettings

RATE_HZ = 16_000
"""Rate at which speech is listened to and transcribed."""
WINDOW = 512
"""Samples that the detector judges at once (32 ms)."""
RESET_AFTER_S = 2.0
"""Silence after which the detector forgets: long music or noise would dull it."""
ACKNOWLEDGE_EVERY_S = 1.0
"""How often the client is told up to where its audio was taken in."""


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
    ) -> None:
        """`on_started` gets an utterance's id when it begins; `on_utterance` gets the whole when it has ended, and the
        moment of its last sound on the loop's clock."""
        self._resampler = Resampler(rate_hz, RATE_HZ)
        self._detector = detector
        self._endpointer = Endpointer(settings)
        self._settings = settings
        self._out = out
        self._on_started = on_started
        self._on_utterance = on_utterance
        self._kept = bytearray()
        self._kept_from_s = 0.0
        self._judged_s = 0.0
        self._acknowledged_s = 0.0
        self._quiet_s = 0.0
        self._utterances = 0

    async def listen(self, audio: Channel[bytes]) -> None:
        """Take in PCM (16-bit mono at the session's rate, whole samples) until it ends; then end what is being said."""
        async for pcm in audio:
            await self._hear(self._resampler.push(pcm))
        await self._hear(self._resampler.flush())
        rest = len(self._kept) - self._at(self._judged_s)
        await self._acknowledge(self._judged_s + rest / (2 * RATE_HZ))
        if rest:
            await self._hear(bytes(2 * WINDOW - rest))  # silence to a whole window, or no utterance would hold the rest
        await self._act(self._endpointer.stop())

    async def _hear(self, pcm: bytes) -> None:
        self._kept += pcm
        while (begin := self._at(self._judged_s)) + 2 * WINDOW <= len(self._kept):
            window = np.frombuffer(bytes(self._kept[begin : begin + 2 * WINDOW]), np.int16)
            probability = self._detector.probability(window)
            self._judged_s += WINDOW_S
            await self._act(self._endpointer.push(probability))
            self._rest(probability)
        if self._judged_s - self._acknowledged_s >= ACKNOWLEDGE_EVERY_S:
            await self._acknowledge(self._judged_s)

    async def _act(self, change: Change | None) -> None:
        if change is Change.STARTED:
            self._utterances += 1
            await self._out.send(SpeechStarted(self._utterances, self._endpointer.speech_from_s))
            await self._on_started(self._utterances)
        elif change is Change.STOPPED:
            heard = self._endpointer
            await self._out.send(SpeechStopped(self._utterances, heard.last_speech_s))
            pcm = bytes(self._kept[max(0, self._at(heard.start_s)) : self._at(heard.end_s)])
            utterance = Utterance(self._utterances, pcm, RATE_HZ, heard.speech_from_s, heard.last_speech_s)
            await self._on_utterance(utterance, clock.now() - (self._judged_s - heard.last_speech_s))

    def _rest(self, probability: float) -> None:
        """Forget audio that no utterance can need any more, and what the detector remembers of long silence."""
        if self._endpointer.speaking:
            self._quiet_s = 0.0
            return
        surplus = self._at(self._endpointer.needed_from_s)
        if surplus > 0:
            del self._kept[:surplus]
            self._kept_from_s += surplus / (2 * RATE_HZ)
        self._quiet_s = self._quiet_s + WINDOW_S if probability < self._settings.threshold else 0.0
        if self._quiet_s >= RESET_AFTER_S:
            self._detector.reset()
            self._quiet_s = 0.0

    async def _acknowledge(self, until_s: float) -> None:
        self._acknowledged_s = until_s
        await self._out.send(AudioReceived(until_s))

    def _at(self, position_s: float) -> int:
        """Where a position in the received audio lies in the kept bytes."""
        return 2 * round((position_s - self._kept_from_s) * RATE_HZ)
