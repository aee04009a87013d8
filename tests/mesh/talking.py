"""Users who talk to the avatar with our own client, which mends itself, and what they heard word by word.

A user asks, listens to the reply as a loudspeaker plays it, and asks again: by text, or by voice with a microphone that
is open all the time. A word counts as heard when
its voice was played to the end; where a conversation is resumed, what was received and not played is dropped, as a
player drops it, and the session goes on behind the last word that the client reported.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from avatar_client import (
    AsyncAvatarClient,
    Audio,
    ConnectionLost,
    GoAway,
    Resumed,
    SpokenText,
    TurnCompleted,
    TurnStarted,
)
from avatar_client.conversation import AsyncConversation
from avatar_client.load.microphone import Microphone
from avatar_client.load.questions import default_question

EPSILON_S = 1e-6
"""Below a sample; absorbs the rounding of offsets."""


@dataclass(frozen=True, slots=True)
class Move:
    """One resume: when (monotonic), whether the stream had broken, and how long the client took for it."""

    at_s: float
    was_broken: bool
    outage_s: float
    in_turn: bool


@dataclass(slots=True)
class Loudspeaker:
    """Plays the voice of a reply in real time, and measures its silences."""

    until_s: float = 0.0
    """When all that it was given has been played."""
    pauses_s: list[float] = field(default_factory=list)
    pauses_of_moves_s: list[float] = field(default_factory=list)
    """Those of them in which the conversation was resumed."""
    was_cut: bool = False
    _chunks: list[tuple[float, float, float]] = field(default_factory=list)
    """Offset, length, and when it is played."""

    def play(self, audio: Audio, rate_hz: int, now_s: float) -> None:
        """Take in a chunk; if it comes too late, the time since the last one was silence."""
        if self.until_s and now_s > self.until_s:
            self.pauses_s.append(now_s - self.until_s)
            if self.was_cut:
                self.pauses_of_moves_s.append(now_s - self.until_s)
        self.was_cut = False
        begins_s, length_s = max(now_s, self.until_s), audio.sample_count / rate_hz
        self._chunks.append((audio.offset_s, length_s, begins_s))
        self.until_s = begins_s + length_s

    def cut(self, played_s: float) -> None:
        """Drop what lies behind this position of the turn; silence begins when it was reached."""
        for offset_s, length_s, begins_s in reversed(self._chunks):
            if offset_s <= played_s:
                self.until_s = begins_s + min(length_s, played_s - offset_s)
                break
        self._chunks.clear()
        self.was_cut = True

    def end(self) -> None:
        """The reply is over: silence from here on is nobody's fault."""
        self.until_s, self.was_cut = 0.0, False
        self._chunks.clear()


@dataclass
class User:
    """One conversation."""

    name: str
    reply: str
    """What every reply should be."""
    by_voice: bool = False
    session_id: str = ""
    replies: list[str] = field(default_factory=list)
    """As they were heard."""
    moves: list[Move] = field(default_factory=list)
    goodbyes: int = 0
    """How often the service said that it goes away."""
    speaks: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first voice has come."""
    loudspeaker: Loudspeaker = field(default_factory=Loudspeaker)
    _heard: list[str] = field(default_factory=list)
    """Words of the current reply in turns that were cut."""
    _words: list[SpokenText] = field(default_factory=list)
    """Words of the current turn."""
    _turn_id: int = 0
    _completed: bool = False
    _broken: bool = False

    @property
    def longest_pause_s(self) -> float:
        """The longest silence within a reply."""
        return max(self.loudspeaker.pauses_s, default=0.0)

    async def talk(self, address: str, until: asyncio.Event, after_s: float = 0.0) -> None:
        """Ask and listen, again and again, and at least once, until the event is set."""
        await asyncio.sleep(after_s)
        async with AsyncAvatarClient(address) as client, client.converse() as conversation:
            self.session_id = conversation.started.session_id
            async with self._microphone(conversation) as microphone:
                while not (self.replies and until.is_set()):
                    await self._ask(conversation, microphone)
            await conversation.end_input()
            async for event in conversation:
                self._take(event, conversation)

    @asynccontextmanager
    async def _microphone(self, conversation: AsyncConversation) -> AsyncIterator[Microphone | None]:
        """The open microphone of who asks by voice."""
        async with asyncio.TaskGroup() as tasks:
            microphone = Microphone(conversation.send_pcm)
            sending = tasks.create_task(microphone.run()) if self.by_voice else None
            yield microphone if self.by_voice else None
            if sending:
                sending.cancel()

    async def _ask(self, conversation: AsyncConversation, microphone: Microphone | None) -> None:
        self._completed, self._heard, self._words = False, [], []
        if microphone:
            microphone.say(default_question())
        else:
            await conversation.send_text("tell me about the moon")
        async for event in conversation:
            self._take(event, conversation)
            if self._completed:
                break
        heard = "".join([*self._heard, *(word.text for word in self._words)])
        self.replies.append(heard.strip())
        self.loudspeaker.end()

    def _take(self, event: object, conversation: AsyncConversation) -> None:
        match event:
            case TurnStarted(turn_id=turn_id):
                assert turn_id > self._turn_id, f"{self.name}: turn {turn_id} after turn {self._turn_id}"
                self._heard += [word.text for word in self._words]
                self._turn_id, self._words = turn_id, []
            case SpokenText():
                self._words.append(event)
            case Audio():
                self.speaks.set()
                self.loudspeaker.play(event, conversation.media.sample_rate_hz, time.monotonic())
            case GoAway():
                self.goodbyes += 1
            case ConnectionLost():
                self._broken = True
            case Resumed():
                self._resumed(event)
            case TurnCompleted():
                # A question may come while a turn still looks whether the reply owes more: it says nothing, and is cut.
                assert event.outcome == "COMPLETED" or (event.outcome == "INTERRUPTED" and not self._words), (
                    f"{self.name}: turn {event.turn_id} ended {event.outcome}"
                )
                self._completed = bool(self._heard or self._words)

    def _resumed(self, event: Resumed) -> None:
        assert event.started.session_id == self.session_id, f"{self.name}: another session"
        in_turn = bool(self._words or self._heard) and not self._completed
        self.moves.append(Move(time.monotonic(), self._broken, event.outage_s, in_turn))
        self._broken = False
        played_s = event.played_s + EPSILON_S if event.turn_id == self._turn_id else 0.0
        self._words = [word for word in self._words if word.end_offset_s <= played_s]
        if self.loudspeaker.until_s:
            self.loudspeaker.cut(played_s)
        if "".join([*self._heard, *(word.text for word in self._words)]).strip() == self.reply:
            self._completed = True  # all was heard: nothing is left to be said


def words_lost(reply: str, heard: str) -> int:
    """How many words of a reply were not heard."""
    return sum(_missing(reply.split(), heard.split()))


def words_repeated(reply: str, heard: str) -> int:
    """How many words were heard again."""
    return len(heard.split()) - len(reply.split()) + words_lost(reply, heard)


def _missing(reply: list[str], heard: list[str]) -> list[bool]:
    """Of each word of the reply, whether it was not heard: words of a reply are all different here."""
    return [word not in heard for word in reply]


def table(users: list[User]) -> list[str]:
    """What each user saw, as lines of a Markdown table."""
    lines = [
        "| conversation | session | go_away | moves | in a reply | broken | replies | words expected | heard | lost |"
        " repeated | longest pause, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for user in users:
        expected = len(user.reply.split()) * len(user.replies)
        lost = sum(words_lost(user.reply, heard) for heard in user.replies)
        repeated = sum(words_repeated(user.reply, heard) for heard in user.replies)
        heard = expected - lost + repeated
        lines.append(
            f"| {user.name}{', by voice' * user.by_voice} | {user.session_id} | {user.goodbyes} | {len(user.moves)} |"
            f" {sum(move.in_turn for move in user.moves)} | {sum(move.was_broken for move in user.moves)} |"
            f" {len(user.replies)} | {expected} | {heard} | {lost} | {repeated} | {1000 * user.longest_pause_s:.0f} |"
        )
    return lines


def pauses(users: list[User]) -> str:
    """What the moves sounded like."""
    heard_s = [pause_s for user in users for pause_s in user.loudspeaker.pauses_of_moves_s]
    return (
        f"pauses where a reply moved: {len(heard_s)}, median {1000 * statistics.median(heard_s or [0.0]):.0f} ms,"
        f" longest {1000 * max(heard_s, default=0.0):.0f} ms"
    )
