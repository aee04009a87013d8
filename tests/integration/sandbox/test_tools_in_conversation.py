"""A conversation over gRPC whose chat is the sandbox: its calls of a tool, and its answer from the result."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from avatar.v1 import ToolResult, ToolResults, TurnOutcome
from avatar_service.engines.base import ChatModel, Engines
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.settings import OpenAISettings
from tests.integration.sandbox_fixture import KEY, RunningSandbox
from tests.scenario import LIMITS
from tests.service.calls import Fakes, serving, write_avatars

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "Tells the weather.", "parameters_json": json.dumps(CITY)}


@dataclass
class WithChat(Fakes):
    """Every other engine is a fake."""

    model: ChatModel | None = None

    @property
    def engines(self) -> Engines:
        assert self.model
        return replace(super().engines, chat=self.model)


async def test_the_sandbox_calls_a_tool_and_answers_from_its_result(sandbox: RunningSandbox, tmp_path: Path) -> None:
    settings = OpenAISettings.model_validate({"base_url": sandbox.openai_url, "api_key": KEY})
    tools: dict[str, Any] = {"tools": [TOOL]}
    async with (
        openai_client(settings, LIMITS) as client,
        serving(write_avatars(tmp_path / "avatars", "ada"), WithChat(model=OpenAIChat(client, LIMITS))) as server,
    ):
        call = server.converse()
        await call.configure(tools=tools)
        await call.text("What is the weather in Paris?")
        (asked,) = (await call.until("tool_calls")).calls
        assert (asked.name, json.loads(asked.arguments_json)) == ("get_weather", {"city": "Paris"})
        result = ToolResult(tool_call_id=asked.tool_call_id, output=json.dumps({"sky": "grey", "celsius": 18}))
        await call.send(tool_results=ToolResults(results=[result]))
        assert await call.finish() is grpc.StatusCode.OK
    first, second = call.all("turn_completed")
    assert first.outcome == TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS
    assert second.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
    assert "18" in second.generated_text
