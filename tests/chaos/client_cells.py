"""The row of the client: what it does wrong, and how its stream ends. Another client is served as ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import (
    AvatarServiceStub,
    ConverseConfig,
    ConverseRequest,
    Interrupt,
    Resume,
    UserAudio,
)
from tests.chaos.cells import Cell, Counted, Row, Stream
from tests.chaos.playing import MANUAL, ask, opened, outcome, reasons
from tests.chaos.system import System
from tests.fakes.voice_activity import pcm_of_probability
from tests.service.calls import Call
from tests.service.client.proxy import proxied

MANUAL_TURNS: dict[str, Any] = {"turn_taking": MANUAL}
WRONG_RATE: dict[str, Any] = {"input_audio": {"sample_rate_hertz": 4_000}}
UNKNOWN_FIELD = b"\xfa\x3f\x02hi"
"""Field 1023 of a message, which a later contract may have."""
NO_MESSAGE = b"\xff\xff\xff\xff"
TOO_LARGE = 70_000
"""Bytes above the limit of a message."""
DAILY_S = 10.0
"""Longest that a cell of every day may take."""
Play = Callable[[System], Awaitable[Call]]


def _ended(
    column: str, play: Play, code: str, reason: str, got: str, *, counted_as: str = "", within_s: float = 3.0
) -> Cell:
    """A stream that ends with a status, `counted_as` another where it is gRPC that ends it."""
    counted = Counted("sessions_total", {"method": "Converse", "code": counted_as or code})
    return Cell(
        Row.CLIENT, column, Stream(play, code, reason), counted, got, within_s=within_s, full=within_s > DAILY_S
    )


def _sends(*requests: ConverseRequest) -> Play:
    async def play(system: System) -> Call:
        call = system.converse()
        for request in requests:
            await call.write(request)
        return call

    return play


async def _bytes(system: System, data: bytes) -> Call:
    """A stream of a client that is not generated from this contract."""
    raw: Any = system.channel.stream_stream("/avatar.v1.AvatarService/Converse")
    call = Call(raw())
    await call.call.write(data)
    return call


async def _unknown_payload(system: System) -> Call:
    call = system.converse()
    await call.configure()
    await call.write(ConverseRequest.FromString(UNKNOWN_FIELD))
    return call


async def _no_message(system: System) -> Call:
    return await _bytes(system, NO_MESSAGE)


async def _too_large(system: System) -> Call:
    call = await opened(system)
    await call.send(audio=UserAudio(data=bytes(TOO_LARGE)))
    return call


async def _sends_at_once(system: System) -> Call:
    """Configuration, question and half-close without waiting for anything."""
    call = system.converse()
    await call.send(config=ConverseConfig(**MANUAL_TURNS))
    await ask(call, by_voice=True)
    await call.call.done_writing()
    await call.until("turn_completed")
    return call


async def _half_closes(system: System) -> Call:
    call = await opened(system)
    await call.call.done_writing()
    return call


async def _half_closes_in_a_turn(system: System) -> Call:
    call = await opened(system)
    await ask(call, by_voice=False)
    await call.until("audio")
    await call.call.done_writing()
    assert outcome(await call.until("turn_completed")) == "COMPLETED"
    return call


async def _floods(system: System) -> Call:
    """Ten seconds of voice in far less than that."""
    call = system.converse()
    await call.configure()
    for _ in range(20):
        await call.send(audio=UserAudio(data=pcm_of_probability(1.0, 0.5)))
    await call.call.done_writing()
    assert outcome(await call.until("turn_completed")) == "COMPLETED"
    return call


async def _reads_nothing_for_a_while(system: System) -> Call:
    call = await opened(system)
    await ask(call, by_voice=False)
    await asyncio.sleep(1.0)
    assert outcome(await call.until("turn_completed")) == "COMPLETED"
    await call.call.done_writing()
    return call


async def _cancels_before_configuring(system: System) -> Call:
    call = system.converse()
    await call.call.wait_for_connection()
    await asyncio.sleep(0.05)  # there is nothing to see of a stream that has said nothing
    call.call.cancel()
    return call


def _cancels_at(kind: str) -> Play:
    async def play(system: System) -> Call:
        call = await opened(system)
        await ask(call, by_voice=True)
        await call.until(kind)
        call.call.cancel()
        return call

    return play


async def _cancels_while_the_vendor_is_silent(system: System) -> Call:
    system.sandbox.faults.replace([{"on": "chat", "fault": "hang"}])
    try:
        return await _cancels_at("transcript")(system)
    finally:
        system.sandbox.faults.clear()


async def _vanishes(system: System) -> Call:
    """The network resets the connection."""
    async with proxied(system.address) as network, grpc.aio.insecure_channel(network.address) as channel:
        stub: Any = AvatarServiceStub(channel)
        call = Call(stub.Converse())
        await call.configure()
        await call.text("go on")
        await call.until("audio")
        network.cut()
        assert await call.end() is grpc.StatusCode.UNAVAILABLE
    return call


async def _deadline(system: System) -> Call:
    stub: Any = AvatarServiceStub(system.channel)
    call = Call(stub.Converse(timeout=0.4))
    await call.configure()
    await call.text("go on")
    return call


async def _interrupts_twice(system: System) -> Call:
    call = await opened(system)
    await ask(call, by_voice=False)
    await call.until("audio")
    await call.interrupt()
    await call.interrupt()
    assert outcome(await call.until("turn_completed")) == "INTERRUPTED"
    await _ignored(call)
    assert len(call.all("interrupted")) == 1
    return call


async def _interrupts_nothing(system: System) -> Call:
    call = await opened(system)
    await call.interrupt()
    await _ignored(call)
    return call


async def _interrupts_a_turn_that_is_over(system: System) -> Call:
    call = await opened(system)
    await ask(call, by_voice=False)
    await call.until("turn_completed")
    await ask(call, by_voice=False)
    await call.until("audio", lambda audio: audio.turn_id == 2)
    await call.send(interrupt=Interrupt(turn_id=1))
    assert outcome(await call.until("turn_completed")) == "COMPLETED"
    assert not call.all("interrupted")
    await call.call.done_writing()
    return call


async def _ignored(call: Call) -> None:
    """The client is told that there was nothing to do."""
    if not call.all("notice"):
        await call.until("notice")
    assert reasons(notice.reason for notice in call.all("notice")) == ("REQUEST_IGNORED",)
    await call.call.done_writing()


def _resume(token: str) -> ConverseConfig:
    return ConverseConfig(resume=Resume(resume_token=token))


async def _resumes(system: System) -> Call:
    first = await opened(system)
    await ask(first, by_voice=False)
    await first.until("turn_completed")
    first.call.cancel()
    call = system.converse()
    await call.send(config=_resume(first.only("session_started").resume_token))
    assert (await call.until("session_started")).last_turn_id == 1
    await call.call.done_writing()
    return call


async def _resumes_a_session_that_is_attached(system: System) -> Call:
    """The stream that held it ends."""
    first = await opened(system)
    second = system.converse()
    await second.send(config=_resume(first.only("session_started").resume_token))
    await second.until("session_started")
    assert await second.finish() is grpc.StatusCode.OK
    return first


async def _resumes_twice(system: System) -> Call:
    first = await _resumes_a_session_that_is_attached(system)
    assert await first.end() is grpc.StatusCode.ABORTED
    call = system.converse()
    await call.send(config=_resume(first.only("session_started").resume_token))
    return call


async def _is_idle(system: System) -> Call:
    call = system.converse()
    await call.configure(idle_timeout=Duration(seconds=10))
    return call


CONFIG = ConverseRequest(config=ConverseConfig())
PCM = ConverseRequest(audio=UserAudio(data=bytes(640)))
REFUSED = "a status that names the field"
ENDED = "a status; the session can be resumed"
CLIENT_CELLS = (
    _ended("no configuration first", _sends(PCM), "INVALID_ARGUMENT", "CONFIG_EXPECTED", REFUSED),
    _ended("configuration twice", _sends(CONFIG, CONFIG), "INVALID_ARGUMENT", "CONFIG_REPEATED", REFUSED),
    _ended("audio before session_started", _sends_at_once, "OK", "", "the whole reply"),
    _ended(
        "wrong sample rate",
        _sends(ConverseRequest(config=ConverseConfig(**WRONG_RATE))),
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        REFUSED,
    ),
    _ended(
        "odd number of bytes",
        _sends(CONFIG, ConverseRequest(audio=UserAudio(data=bytes(641)))),
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        REFUSED,
    ),
    _ended(
        "message above the limit",
        _too_large,
        "RESOURCE_EXHAUSTED",
        "",
        "a status",
        counted_as="CANCELLED",
    ),
    _ended("payload of a newer client", _unknown_payload, "INVALID_ARGUMENT", "MESSAGE_EMPTY", REFUSED),
    _ended("bytes that are no message", _no_message, "INVALID_ARGUMENT", "MESSAGE_UNDECODABLE", REFUSED),
    _ended("half-close at once", _half_closes, "OK", "", "nothing was asked"),
    _ended("half-close in mid-turn", _half_closes_in_a_turn, "OK", "", "the whole reply"),
    _ended("flood: faster than real time", _floods, "OK", "", "the whole reply"),
    _ended("stops reading for a second", _reads_nothing_for_a_while, "OK", "", "the whole reply"),
    _ended("cancel before the configuration", _cancels_before_configuring, "CANCELLED", "", "nothing was begun"),
    _ended("cancel while listening", _cancels_at("speech_started"), "CANCELLED", "", ENDED),
    _ended("cancel while thinking", _cancels_while_the_vendor_is_silent, "CANCELLED", "", ENDED),
    _ended("cancel while speaking", _cancels_at("audio"), "CANCELLED", "", ENDED),
    _ended("connection reset in mid-turn", _vanishes, "CANCELLED", "", ENDED),
    _ended("deadline of the call", _deadline, "CANCELLED", "", ENDED),
    _ended("interrupt twice", _interrupts_twice, "OK", "", "`interrupted` once, and a notice"),
    _ended("interrupt with nothing spoken", _interrupts_nothing, "OK", "", "a notice"),
    _ended("interrupt of a turn that is over", _interrupts_a_turn_that_is_over, "OK", "", "the turn that is spoken"),
    _ended("resume", _resumes, "OK", "", "the session with its history"),
    _ended(
        "resume of an attached session",
        _resumes_a_session_that_is_attached,
        "ABORTED",
        "SESSION_TAKEN_OVER",
        "the session on the newer stream",
    ),
    _ended("resume with a used token", _resumes_twice, "NOT_FOUND", "SESSION_NOT_FOUND", REFUSED),
    _ended("sends nothing", _is_idle, "DEADLINE_EXCEEDED", "IDLE", ENDED, within_s=13.0),
)
