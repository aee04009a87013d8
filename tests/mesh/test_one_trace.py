"""One trace of a turn, as a collector gets it: from the caller's own span through the stream and its stages to each
vendor and to Triton. All of it real: client, service process, SDKs at a sandbox, tritonclient, OTLP."""

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from avatar_client import AsyncAvatarClient, TurnCompleted
from tests.collector import Collector, collecting
from tests.stack import replay_of, running_stack

QUESTION = Path(__file__).parents[2] / "avatar_service/local/assets/demo_question.wav"
TURN_S = 30.0
CALL, TRITON = "avatar.v1.AvatarService/Converse", "inference.GRPCInferenceService/ModelInfer"
ATTEMPTS = {"think": "think openai", "speak": "speak elevenlabs", "animate": "animate triton"}
"""Below each stage of the turn, what it asks of whom."""


@asynccontextmanager
async def callers_span(endpoint: str) -> AsyncIterator[None]:
    """The block as a span of the caller's own, sent to the collector at its end."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    try:
        with provider.get_tracer("shop").start_as_current_span("asks the avatar", kind=SpanKind.CLIENT):
            yield
    finally:
        await asyncio.to_thread(provider.shutdown)  # it blocks, and the collector is served by this loop


async def one_turn(address: str) -> None:
    """Ask by voice and hear the whole answer."""
    async with AsyncAvatarClient(address) as client, client.converse(manual_turns=True) as conversation:
        await conversation.begin_utterance()
        with wave.open(str(QUESTION)) as question:
            await conversation.send_pcm(question.readframes(question.getnframes()))
        await conversation.end_utterance()
        async for event in conversation:
            if isinstance(event, TurnCompleted):
                await conversation.end_input()


async def test_one_trace_leads_from_the_caller_to_every_vendor_and_to_triton() -> None:
    collector = Collector()
    async with collecting(collector) as endpoint:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        async with running_stack(env=env, replay=replay_of("The moon is near.")) as stack:
            async with callers_span(endpoint), asyncio.timeout(TURN_S):
                await one_turn(stack.services[0].address)
            stack.services[0].terminate()  # what it has not sent yet, it sends at its end
            assert await stack.services[0].program.ended() == 0
    spans = collector.spans

    def only(parent: Any, name: str) -> Any:
        """The first of the spans of a name just below another."""
        found = [span for span in spans if span.parent_span_id == parent.span_id and span.name == name]
        assert found, f"no {name} below {parent.name}; there are {collector.names}"
        return found[0]

    (caller,) = [span for span in spans if span.name == "asks the avatar"]
    assert {span.trace_id for span in spans} == {caller.trace_id}
    call = only(caller, CALL)
    turn = only(call, "turn")
    # Speech is transcribed by the turn, or before the end of the utterance was sure, beside the turn that takes it up.
    early = [span for span in spans if span.span_id in {link.span_id for link in turn.links}]
    assert [span.parent_span_id for span in early] == [call.span_id] * len(early)
    asked = [only(early[0] if early else only(turn, "transcribe"), "transcribe openai")]
    asked += [only(only(turn, stage), attempt) for stage, attempt in ATTEMPTS.items()]
    assert {told(attempt)["avatar.outcome"] for attempt in asked} == {"ok"}
    assert told(only(asked[-1], TRITON))["avatar.triton.model"] == "musetalk"


def told(span: Any) -> dict[str, str]:
    """What a span says of itself in words."""
    return {each.key: each.value.string_value for each in span.attributes}
