"""Names of tool calls that are unique in a session."""

import pytest

from avatar_service.media.types import ToolCall
from avatar_service.stages import tool_call_ids
from avatar_service.stages.tool_call_ids import ToolCallIds


def named(ids: ToolCallIds, turn_id: int, *given: str) -> list[str]:
    return [call.tool_call_id for call in ids.unique(turn_id, [ToolCall(given_id, "f", "{}") for given_id in given])]


def test_the_vendors_ids_are_kept() -> None:
    assert named(ToolCallIds(), 1, "call_x", "c" * 64) == ["call_x", "c" * 64]


def test_an_id_that_the_session_has_used_is_replaced() -> None:
    ids = ToolCallIds()
    assert named(ids, 1, "call_0") == ["call_0"]
    assert named(ids, 2, "call_0", "call_1", "call_1") == ["avatar_call_2_1", "call_1", "avatar_call_2_3"]
    assert named(ToolCallIds(["call_0"]), 9, "call_0") == ["avatar_call_9_1"]


@pytest.mark.parametrize("given", ["", "c" * 65, "avatar_call_7_1"])
def test_an_id_that_is_none_too_long_or_like_ours_is_replaced(given: str) -> None:
    assert named(ToolCallIds(), 7, "call_x", given) == ["call_x", "avatar_call_7_2"]


def test_the_rest_of_the_call_stays() -> None:
    (call,) = ToolCallIds().unique(1, [ToolCall("", "get_weather", '{"city": "Paris"}')])
    assert (call.name, call.arguments_json) == ("get_weather", '{"city": "Paris"}')


def test_memory_has_a_limit_beyond_which_all_ids_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_call_ids, "KEPT", 2)
    ids = ToolCallIds()
    assert named(ids, 1, "a", "b", "c") == ["a", "b", "avatar_call_1_3"]
    assert named(ids, 2, "d") == ["avatar_call_2_1"]
