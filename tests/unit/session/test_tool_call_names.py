"""What names a call of a tool stays unique in the session, whatever the vendor calls it."""

from avatar_service.engines.base import Message
from avatar_service.events import ToolCalls
from avatar_service.media.types import ToolCall
from tests.scenario import Scenario

REPEATED = ToolCall("call_0", "get_weather", "{}")
"""What some vendors name the first call of every reply."""


async def test_a_vendor_that_repeats_its_names_is_told_ours() -> None:
    scenario = Scenario().text(0.0, "weather?").reply("Wait.", tool_calls=(REPEATED,))
    scenario.tool_results(5.0, call_0="grey").reply("Grey.")
    scenario.text(10.0, "and here?").reply("Wait.", tool_calls=(REPEATED,))
    scenario.tool_results(15.0, call_0="late", avatar_call_3_1="blue").reply("Blue.")
    recording = await scenario.run()
    assert [asked.calls[0].tool_call_id for asked in recording.all(ToolCalls)] == ["call_0", "avatar_call_3_1"]
    told = scenario.chat.requests[-1]
    assert [message.text for message in told if message.role == "tool"] == ["grey", "blue"]


async def test_names_of_before_the_session_was_resumed_are_used_up_too() -> None:
    before = Message("user", "weather?"), Message("assistant", "", (REPEATED,)), Message("tool", "grey", (), "call_0")
    scenario = Scenario().history(*before).text(0.0, "and here?").reply("Wait.", tool_calls=(REPEATED,)).reply("Hm.")
    recording = await scenario.run()
    assert recording.only(ToolCalls).calls[0].tool_call_id == "avatar_call_1_1"
