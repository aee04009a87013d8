"""What a client sees of a chat model that fails while another one can take its place."""

from collections.abc import AsyncGenerator, Sequence

from avatar_service.engines import policy
from avatar_service.engines.base import ChatDelta, ChatOptions, Message
from avatar_service.engines.second import ChatModelWithSecond
from avatar_service.errors import EngineUnavailable, Fault
from avatar_service.events import Notice, Outcome, ReplyText, TurnCompleted
from tests.fakes.chat import FakeChat, Reply
from tests.scenario import LIMITS, Scenario

GONE = EngineUnavailable("think", "first", "gone", Fault.OVERLOADED)


class _Adapter(FakeChat):
    """A chat model that is asked as every adapter asks its vendor."""

    def __init__(self, engine: str, *script: Reply) -> None:
        super().__init__(*script)
        self._engine = engine

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the next reply of the script."""
        ask = super().complete
        return policy.stream("think", self._engine, lambda _: ask(messages, options), LIMITS)


class _TwoChats(FakeChat):
    """A first one that is always gone, and a second."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _Adapter("first", Reply(error=GONE, ttft_s=0.0))
        self.second = _Adapter("second", Reply("Yes, it is."))

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the reply of either."""
        return ChatModelWithSecond(self.first, self.second, "second", LIMITS).complete(messages, options)


async def test_the_second_replies_and_the_client_is_told_once_of_each() -> None:
    chats = _TwoChats()
    recording = await Scenario(chat=chats).text(0.0, "Is it near?").run()
    completed = recording.only(TurnCompleted)
    assert (completed.outcome, completed.degraded_by, completed.retries) == (Outcome.COMPLETED, ("FALLBACK",), 2)
    notices = recording.all(Notice)
    assert [(notice.reason, notice.stage) for notice in notices] == [("RETRYING", "think"), ("FALLBACK", "think")]
    assert {notice.failure.fault for notice in notices if notice.failure} == {"overloaded"}
    assert "".join(event.text for event in recording.all(ReplyText)) == "Yes, it is."


async def test_once_the_first_is_left_alone_the_second_replies_at_once() -> None:
    chats = _TwoChats()
    scenario = Scenario(chat=chats)
    for at_s in (0.0, 20.0, 40.0):
        scenario.text(at_s, "Is it near?")
    recording = await scenario.run()
    assert [completed.retries for completed in recording.all(TurnCompleted)] == [2, 1, 0]
    assert len(chats.first.requests) == LIMITS.breaker_failures
    assert [notice.turn_id for notice in recording.all(Notice) if notice.reason == "FALLBACK"] == [1, 2, 3]
    first_text_s = recording.time(ReplyText, lambda event: event.turn_id == 3)
    assert first_text_s - 40.0 < 0.5
