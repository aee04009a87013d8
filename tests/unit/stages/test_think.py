"""The conversation so far to the text of the reply."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import ChatOptions, Message
from avatar_service.errors import EngineError, EngineUnavailable
from avatar_service.events import Event, ReplyText, ToolCalls
from avatar_service.media.types import ToolCall
from avatar_service.stages.split import BROKEN_OFF, Delta
from avatar_service.stages.think import Apology, Reply, recite, think
from avatar_service.stages.tool_call_ids import ToolCallIds
from avatar_service.timings import Timings
from tests.fakes.chat import FakeChat
from tests.fakes.chat import Reply as Script
from tests.unit.stages.collecting import Events

MESSAGES = [Message("system", "Be brief."), Message("user", "How far?")]
OPTIONS = ChatOptions("model", 150, 0.7)
ERROR = EngineUnavailable("think", "fake", "gone")


async def unexpected(error: EngineError) -> None:
    raise error


SORRY = Apology("Sorry.", unexpected, unexpected)


async def test_the_text_goes_on_to_the_client_and_into_the_reply_as_it_is_written() -> None:
    chat, deltas, reply, timings, out = (
        FakeChat(Script("It is near.", 0.5, 1.0)),
        Channel[Delta]("d", 9),
        Reply(),
        Timings(),
        Events(),
    )
    began_s = clock.now()
    await think(chat.complete(MESSAGES, OPTIONS), deltas, reply, 7, timings, out, ToolCallIds(), SORRY)
    assert list(out.sent) == [ReplyText(7, "It"), ReplyText(7, " is"), ReplyText(7, " near.")]
    assert [time_s - began_s for time_s in out.times_s] == pytest.approx([0.5, 1.0, 1.5])
    assert [delta async for delta in deltas] == ["It", " is", " near."]
    assert reply == Reply("It is near.", "stop", prompt_tokens=4, completion_tokens=3, written=True)
    assert chat.requests == [MESSAGES]
    assert timings.between_s("chat_started", "first_token") == pytest.approx(0.5)
    assert timings.between_s("chat_started", "reply_written") == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("text", "written", "told", "to_speak"),
    [
        ("", 0, "failure: Sorry.", "Sorry."),
        ("It is near.", 2, "cut: It is Sorry.", " Sorry."),
        ("It is near. It was far.", 5, "cut: It is near. It was", "It is near. "),
        ("It is near.", 3, "cut: It is near.", "It is near."),
        ("It is 3.", 3, "cut: It is 3. Sorry.", " Sorry."),
    ],
    ids=[
        "before its first text",
        "in its first sentence",
        "in its second sentence",
        "behind a sentence",
        "in a number",
    ],
)
async def test_a_reply_that_fails_is_ended_so_that_it_can_be_spoken(
    text: str, written: int, told: str, to_speak: str
) -> None:
    deltas, reply, out, failures, timings = Channel[Delta]("d", 9), Reply(), Events(), list[str](), Timings()

    def telling(what: str) -> Callable[[EngineError], Awaitable[None]]:
        async def tell(error: EngineError) -> None:
            assert error is ERROR
            failures.append(what)

        return tell

    apology = Apology("Sorry.", telling("failure"), telling("cut"))
    completion = FakeChat(Script(text, error=ERROR, error_after=written)).complete(MESSAGES, OPTIONS)
    await think(completion, deltas, reply, 1, timings, out, ToolCallIds(), apology)
    assert f"{failures[0]}: {reply.text}" == told
    assert len(failures) == 1
    assert reply.written
    assert reply.to_speak == to_speak
    assert "".join(event.text for event in out.sent if isinstance(event, ReplyText)) == reply.text
    assert timings.between_s("chat_started", "reply_written") is None
    passed_on = [delta async for delta in deltas]
    assert "".join(delta for delta in passed_on if isinstance(delta, str)) == reply.text
    assert passed_on.count(BROKEN_OFF) == 1


@pytest.mark.parametrize(
    ("text", "to_speak"), [("It is near. It was", "It is near. "), ("It is near", "It is near"), ("Far.", "Far.")]
)
async def test_a_reply_that_reached_its_longest_ends_with_a_whole_sentence_if_it_has_one(
    text: str, to_speak: str
) -> None:
    reply = Reply()
    completion = FakeChat(Script(text, finish_reason="length")).complete(MESSAGES, OPTIONS)
    await think(completion, Channel[Delta]("d", 9), reply, 1, Timings(), Events(), ToolCallIds(), SORRY)
    assert (reply.text, reply.to_speak, reply.written) == (text, to_speak, True)


async def test_cancelling_closes_the_vendors_stream() -> None:
    chat = FakeChat(Script("It is near.", 0.1, 10.0))
    thinking = asyncio.create_task(
        think(
            chat.complete(MESSAGES, OPTIONS),
            Channel[Delta]("d", 9),
            Reply(),
            1,
            Timings(),
            Events(),
            ToolCallIds(),
            SORRY,
        )
    )
    await asyncio.sleep(1.0)
    assert chat.running == 1
    thinking.cancel()
    await asyncio.wait({thinking})
    assert chat.running == 0


async def test_cancelling_closes_the_vendors_stream_also_while_nobody_takes_the_text() -> None:
    chat = FakeChat(Script("It is near.", 0.1, 0.1))
    thinking = asyncio.create_task(
        think(
            chat.complete(MESSAGES, OPTIONS),
            Channel[Delta]("d", 1),
            Reply(),
            1,
            Timings(),
            Events(),
            ToolCallIds(),
            SORRY,
        )
    )
    await asyncio.sleep(1.0)
    thinking.cancel()
    await asyncio.wait({thinking})
    assert chat.running == 0


async def test_what_the_caller_gives_is_recited_as_it_stands() -> None:
    deltas, reply, out = Channel[Delta]("d", 9), Reply(), Events()
    await recite("Welcome. Sit down.", deltas, reply, 3, out)
    assert out.sent == [ReplyText(3, "Welcome. Sit down.")]
    assert [delta async for delta in deltas] == ["Welcome. Sit down."]
    assert reply.text == "Welcome. Sit down."


CALL = ToolCall("call_1", "get_weather", '{"city": "Paris"}')


async def test_calls_are_told_after_the_text_and_kept_by_the_ids_that_were_told() -> None:
    deltas, reply, out = Channel[Delta]("d", 9), Reply(), Events()
    chat = FakeChat(Script("Let me see.", tool_calls=(CALL, CALL)))
    await think(chat.complete(MESSAGES, OPTIONS), deltas, reply, 4, Timings(), out, ToolCallIds(), SORRY)
    calls = (CALL, replace(CALL, tool_call_id="avatar_call_4_2"))
    assert out.sent[-2:] == [ReplyText(4, " see."), ToolCalls(4, calls)]
    assert reply.tool_calls == calls
    assert [delta async for delta in deltas] == ["Let", " me", " see."]


class _Narrow(Channel[Event]):
    waiting_s = 0.0


async def test_calls_that_the_client_was_not_told_of_are_not_waited_for() -> None:
    out, reply, chat = _Narrow("responses", 1), Reply(), FakeChat(Script("See.", 0.1, 0.1, tool_calls=(CALL,)))
    thinking = asyncio.create_task(
        think(chat.complete(MESSAGES, OPTIONS), Channel[Delta]("d", 9), reply, 1, Timings(), out, ToolCallIds(), SORRY)
    )
    await asyncio.sleep(1.0)
    thinking.cancel()
    await asyncio.wait({thinking})
    assert (reply.text, reply.tool_calls) == ("See.", ())
