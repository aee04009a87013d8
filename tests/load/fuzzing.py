"""Calls that no client would make: each case follows from its seed alone, and ends as the contract says or is a find.

A case can be played again by itself: `python -m tests.load.fuzzing SERVER SEED...` prints what it sent and its end.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave gRPC's core out

from avatar import v1
from tests.load import sound
from tests.load.inventing import Inventor
from tests.service.uploads import PNG

SERVICE: Final = "/avatar.v1.AvatarService/"
REQUESTS: Final[dict[str, type[Message]]] = {
    "Converse": v1.ConverseRequest,
    "Animate": v1.AnimateRequest,
    "Speak": v1.SpeakRequest,
    "CreateAvatar": v1.CreateAvatarRequest,
    "ListAvatars": v1.ListAvatarsRequest,
    "GetAvatar": v1.GetAvatarRequest,
    "DeleteAvatar": v1.DeleteAvatarRequest,
    "ListVoices": v1.ListVoicesRequest,
    "GetServerInfo": v1.GetServerInfoRequest,
}
STREAMED: Final = ("Converse", "Animate", "CreateAvatar")
"""Methods that take more than one request."""
OFTEN: Final = ("Converse",) * 8 + ("Animate",) * 4 + ("CreateAvatar",) * 2 + ("Speak",)
"""Methods that are called more often than the others."""
SHARE_SOUND: Final = 0.15
"""Of the conversations and animations: nothing is wrong with them but the order."""
NEVER: Final = ("INTERNAL", "UNKNOWN", "DATA_LOSS", "NEVER_ENDED")
"""Ends that are nobody's fault but the server's."""
UNARY_WITHIN_S: Final = 10.0
END_WITHIN_S: Final = 10.0
"""How long a call that was cancelled, or told what is wrong, may take until it has ended."""


class Ending(Enum):
    """What the client does once it has sent its messages."""

    HALF_CLOSE = "half-close"
    CANCEL = "cancel"
    BOTH = "half-close, then cancel"


@dataclass(frozen=True, slots=True)
class Case:
    """One call: its messages as they are on the wire, the pause before each, and how long its end is awaited."""

    seed: int
    method: str
    messages: tuple[bytes, ...]
    pauses_s: tuple[float, ...]
    ending: Ending
    patience_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: gRPC's status by name, its words, and how many messages were sent before."""

    case: Case
    code: str
    details: str
    sent: int

    @property
    def is_find(self) -> bool:
        """Whether the server is to blame."""
        return self.code in NEVER

    def __str__(self) -> str:
        messages = "\n".join(f"    {message[:2_000].hex()}" for message in self.case.messages)
        return (
            f"seed {self.case.seed}: {self.case.method}, {self.case.ending.value}, {self.sent} of "
            f"{len(self.case.messages)} messages sent: {self.code} {self.details}\n{messages}"
        )


@dataclass(slots=True)
class Tally:
    """What came of many cases."""

    messages: int = 0
    cases: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    finds: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.messages += outcome.sent
        self.cases += 1
        self.codes[f"{outcome.case.method} {outcome.code}"] += 1
        if outcome.is_find:
            self.finds.append(outcome)


def case_of(seed: int) -> Case:
    """The case that follows from `seed`."""
    inventor = Inventor(seed)
    chance = inventor.random
    method = chance.choice((*OFTEN, *REQUESTS))
    if method in ("Converse", "Animate") and chance.random() < SHARE_SOUND:
        return _in_any_order(seed, method, chance)
    is_streamed = method in STREAMED
    messages = tuple(_streamed(method, inventor)) if is_streamed else (_one(REQUESTS[method], inventor),)
    is_slow = chance.random() < 0.1
    pauses_s = tuple(chance.choice((0.0, 0.0, 0.01, 0.05)) if is_slow else 0.0 for _ in messages)
    ending = chance.choice(tuple(Ending))
    return Case(seed, method, messages, pauses_s, ending, chance.choice((0.0, 0.02, 0.2, 0.5)))


def _in_any_order(seed: int, method: str, chance: random.Random) -> Case:
    """Messages each of which is sound by itself, at moments at which no client would send them."""
    config = _config(method, chance)
    messages = [config]
    for _ in range(chance.randint(3, 40)):
        message = _sound(method, chance)
        if method == "Animate" or sound.fits(config, message):  # type: ignore[arg-type]  # of the same method
            messages.append(message)
    pauses_s = tuple(chance.choice((0.0, 0.0, 0.01, 0.05)) for _ in messages)
    encoded = tuple(message.SerializeToString() for message in messages)
    return Case(seed, method, encoded, pauses_s, chance.choice(tuple(Ending)), chance.choice((0.0, 0.1, 0.5)))


def _one(kind: type[Message], inventor: Inventor) -> bytes:
    """One message: sound, with values from the edges, or spoiled."""
    message = kind()
    if inventor.random.random() < 0.7:
        inventor.fill(message, share=inventor.random.choice((0.15, 0.5)))
    data = message.SerializeToString()
    return inventor.spoil(data) if inventor.random.random() < 0.5 else data


def _streamed(method: str, inventor: Inventor) -> Iterator[bytes]:
    """The messages of a stream: usually a good beginning, then what fits in any order, then what does not."""
    chance, kind = inventor.random, REQUESTS[method]
    if chance.random() < 0.85:
        yield _config(method, chance).SerializeToString()
    for _ in range(chance.choice((0, 1, 3, 10, 30))):
        yield _sound(method, chance).SerializeToString()
    for _ in range(chance.choice((0, 1, 1, 2, 4, 12))):
        if chance.random() < 0.5:
            data = _one(kind, inventor)
        else:
            data = inventor.spoil(_sound(method, chance).SerializeToString())
        yield data
        if chance.random() < 0.3:
            yield _sound(method, chance).SerializeToString()


def _config(method: str, chance: random.Random) -> Message:
    if method == "CreateAvatar":
        size = chance.choice((0, len(PNG)))
        return v1.CreateAvatarRequest(
            config=v1.CreateAvatarConfig(media_type="image/png", size_bytes=size, force=chance.random() < 0.5)
        )
    return sound.animation(chance) if method == "Animate" else sound.conversation(chance)


def _sound(method: str, chance: random.Random) -> Message:
    """A message that a client could send at some moment, though perhaps not at this one."""
    if method == "CreateAvatar":
        return v1.CreateAvatarRequest(data=chance.choice((PNG, PNG[:30], bytes(1_000))))
    return sound.of_animation(chance) if method == "Animate" else sound.of_conversation(chance)


async def play(case: Case, channel: grpc.aio.Channel) -> Outcome:
    """Make the call of `case` on `channel`."""
    streams = case.method in ("Converse", "Animate", "Speak")
    kind = f"{'stream' if case.method in STREAMED else 'unary'}_{'stream' if streams else 'unary'}"
    method: Any = getattr(channel, kind)(SERVICE + case.method)
    if kind.startswith("unary"):
        call = method(case.messages[0], timeout=UNARY_WITHIN_S)
        return await _end(case, call, 1, streams=streams)
    call = method()
    await call.wait_for_connection()
    sent = await _send(case, call)
    return await _end(case, call, sent, streams=streams)


async def _send(case: Case, call: Any) -> int:
    """Send the messages, as long as the call takes any; returns how many it took."""
    sent = 0
    try:
        for message, pause_s in zip(case.messages, case.pauses_s, strict=True):
            if pause_s:
                await asyncio.sleep(pause_s)
            # gRPC's own `write` takes a send that fails for the end of the call and makes an INTERNAL of it; see
            # avatar_client/sending.py. Beneath it the server's own status is what is left.
            await asyncio.wait_for(call._cython_call.send_serialized_message(message), UNARY_WITHIN_S)
            sent += 1
        if case.ending is not Ending.CANCEL:
            await call.done_writing()
    except (cygrpc.InternalError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass  # the server has ended the call, as reading it tells
    except TimeoutError:
        pass  # the server reads no further, as it may
    return sent


async def _end(case: Case, call: Any, sent: int, *, streams: bool) -> Outcome:
    """Read for as long as the case says, then end the call, and tell how it ended."""
    reading = asyncio.create_task(_drain(call, streams=streams))
    patience_s = case.patience_s if case.ending is not Ending.HALF_CLOSE else 4 * case.patience_s
    await asyncio.wait({reading}, timeout=patience_s)
    call.cancel()
    done, _ = await asyncio.wait({reading}, timeout=END_WITHIN_S)
    if not done:
        reading.cancel()
        return Outcome(case, "NEVER_ENDED", "the call goes on after it was cancelled", sent)
    code = await call.code()
    return Outcome(case, code.name, await call.details() or "", sent)


async def _drain(call: Any, *, streams: bool) -> None:
    try:
        if streams:
            async for _ in call:
                pass
        else:
            await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        if not call.done():
            raise


async def play_all(address: str, seeds: Iterator[int], messages: int, *, at_once: int) -> Tally:
    """Play cases until so many messages were sent, `at_once` side by side on a few connections; stops at 20 finds."""
    tally = Tally()
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(4)]

    async def player(channel: grpc.aio.Channel) -> None:
        while tally.messages < messages and len(tally.finds) < 20:
            tally.add(await play(case_of(next(seeds)), channel))

    try:
        async with asyncio.TaskGroup() as players:
            for number in range(at_once):
                players.create_task(player(channels[number % len(channels)]))
    finally:
        for channel in channels:
            await channel.close()
    return tally


async def main(address: str, seeds: Sequence[int]) -> None:
    """Play single cases and print their ends."""
    async with grpc.aio.insecure_channel(address) as channel:
        for seed in seeds:
            print(await play(case_of(seed), channel))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [int(seed) for seed in sys.argv[2:]]))
