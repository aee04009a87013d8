"""`avatar-client talk --mic`: speaking to the avatar, push to talk or with an open microphone."""

import asyncio
import time

from avatar_client.asking import closing_s, input_rate_hz
from avatar_client.cli.conversing import Session
from avatar_client.cli.options import errors
from avatar_client.sound import Microphone

PUSH_TO_TALK = "Space or Enter: speak, and again when you have finished. i: stop the avatar. q: leave."
OPEN = "Speak when you like. i: stop the avatar. q: leave."


async def ask_by_microphone(session: Session, *, is_open: bool) -> None:
    """Send what the microphone hears until the person leaves.

    With `is_open` always, and the service finds out when the person speaks. Otherwise between one press of Space or
    Enter and the next, which mark an utterance.
    """
    async with Microphone(input_rate_hz(session.conversation)) as microphone:
        errors.print(f"[dim]{OPEN if is_open else PUSH_TO_TALK}[/]")
        await hold(session, microphone, is_open=is_open)


async def hold(session: Session, microphone: Microphone, *, is_open: bool) -> None:
    """As `ask_by_microphone`, with a microphone that is open."""
    gate = Gate(session, is_open=is_open)
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(gate.forward(microphone), name="microphone")
        async for typed in session.typed:
            if typed in ("q", "Q"):
                break
            if typed in ("i", "I") and session.log.is_answering:
                await session.conversation.interrupt()
            elif not typed.strip() and not is_open:
                await gate.toggle()
        hearing.cancel()
    await gate.end()


class Gate:
    """Lets the microphone through to the conversation, or not. What it hears while shut is thrown away."""

    def __init__(self, session: Session, *, is_open: bool) -> None:
        """Begin open, and stay so, or shut."""
        self._session = session
        self._is_open = is_open
        self._marks_utterances = not is_open
        self._sent_s = 0.0
        self._rate_hz = input_rate_hz(session.conversation)

    async def forward(self, microphone: Microphone) -> None:
        """Pass on what the microphone hears, for ever."""
        async for pcm in microphone:
            if self._is_open:
                await self._send(pcm)
                # Speech offsets count in the audio that was sent: this moment is when so much of it had been spoken.
                self._session.log.audio_starts(time.monotonic() - self._sent_s)

    async def toggle(self) -> None:
        """Open what is shut, which stops the avatar; shut what is open, which has the avatar answer."""
        if self._is_open:
            self._is_open = False
            errors.print("[dim]listening ended[/]")
            await self._session.conversation.end_utterance()
        else:
            errors.print("[dim]speak ...[/]")
            await self._session.conversation.begin_utterance()
            self._is_open = True

    async def end(self) -> None:
        """End the utterance that is open: by its mark, or by silence at once, as the service counts audio, not time."""
        if self._is_open and self._marks_utterances:
            await self.toggle()
        elif self._is_open:
            self._is_open = False
            await self._send(bytes(2 * round(closing_s(self._session.conversation) * self._rate_hz)))

    async def _send(self, pcm: bytes) -> None:
        self._sent_s += len(pcm) / 2 / self._rate_hz
        await self._session.conversation.send_pcm(pcm)
