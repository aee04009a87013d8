"""`avatar-client talk --mic`: speaking to the avatar, push to talk or with an open microphone."""

import asyncio
import time
from contextlib import aclosing

from avatar_client.asking import closing_s, input_rate_hz
from avatar_client.cli.conversing import Session
from avatar_client.cli.options import errors
from avatar_client.sound import Microphone

PUSH_TO_TALK = "Enter begins to speak, Enter again ends; Ctrl-C stops the avatar; Ctrl-D leaves."
OPEN = "Speak when you like; Ctrl-C stops the avatar; Ctrl-D leaves."


async def ask_by_microphone(session: Session, *, headphones: bool) -> None:
    """Send what the microphone hears until the person leaves.

    With `headphones` always: the avatar's own voice does not come back, and speaking interrupts it. Otherwise only
    between one Enter and the next, followed by the silence that ends the user's turn.
    """
    async with Microphone(input_rate_hz(session.conversation)) as microphone:
        errors.print(f"[dim]{OPEN if headphones else PUSH_TO_TALK}[/]")
        await hold(session, microphone, headphones=headphones)


async def hold(session: Session, microphone: Microphone, *, headphones: bool) -> None:
    """As `ask_by_microphone`, with a microphone that is open."""
    gate = Gate(session, is_open=headphones)
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(gate.forward(microphone), name="microphone")
        async with aclosing(session.lines) as lines:  # type: ignore[type-var]  # it is a generator
            async for _ in lines:
                if not headphones:
                    await gate.toggle()
        hearing.cancel()
    await gate.shut()


class Gate:
    """Lets the microphone through to the conversation, or not. What it hears while shut is thrown away."""

    def __init__(self, session: Session, *, is_open: bool) -> None:
        """Begin open or shut."""
        self._session = session
        self._is_open = is_open
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
        """Open what is shut, which stops the avatar; shut what is open."""
        if self._is_open:
            await self.shut()
            return
        if self._session.log.is_answering:
            await self._session.conversation.interrupt()
        errors.print("[dim]speak ...[/]")
        self._is_open = True

    async def shut(self) -> None:
        """Send the silence that ends the user's turn, at once: the service counts received audio, not time."""
        if self._is_open:
            self._is_open = False
            errors.print("[dim]listening ended[/]")
            await self._send(bytes(2 * round(closing_s(self._session.conversation) * self._rate_hz)))

    async def _send(self, pcm: bytes) -> None:
        self._sent_s += len(pcm) / 2 / self._rate_hz
        await self._session.conversation.send_pcm(pcm)
