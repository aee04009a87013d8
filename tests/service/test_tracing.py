"""Spans over real sockets: in from a client, on to Triton, out to a collector."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.trace import format_span_id, format_trace_id

from avatar.v1 import ConverseConfig, ConverseRequest, ListAvatarsRequest, Say
from avatar_service import tracing
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import Engines, FoundFace, LipSync
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import EngineError, StartupError
from avatar_service.rpc import exporting
from avatar_service.rpc.exporting import exported
from avatar_service.settings import LimitSettings, OpenAISettings, TracingSettings, TritonSettings
from tests.collector import Collector, collecting
from tests.fakes.faces import FakeFaces
from tests.fakes.triton_server import JPEG, Triton, serving_triton
from tests.scenario import TURN
from tests.service.calls import Fakes, serving
from tests.service.engines.vendor import Answer, vendor
from tests.service.responses import Responses
from tests.service.uploads import ended, upload
from tests.spans import recorded_spans

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
CONVERSE = "avatar.v1.AvatarService/Converse"


class RealLipSync(Fakes):
    """Triton's adapter; the other engines are fakes."""

    def __init__(self, lip_sync: LipSync) -> None:
        super().__init__()
        self._lip_sync = lip_sync

    @property
    def engines(self) -> Engines:
        return replace(super().engines, lip_sync=self._lip_sync)


@asynccontextmanager
async def lip_syncing(triton: Triton) -> AsyncIterator[TritonLipSync]:
    async with (
        serving_triton(triton) as address,
        TritonLipSync(TritonSettings.model_validate({"address": address})) as lip_sync,
    ):
        yield lip_sync


async def test_a_clients_trace_goes_on_through_the_turn_to_triton(store: Path) -> None:
    triton = Triton(picture=JPEG + b"frame")
    with recorded_spans() as spans:
        async with lip_syncing(triton) as lip_sync, serving(store, RealLipSync(lip_sync)) as server:
            converse: Any = server.stub.Converse
            call: Responses[Any] = Responses(converse(metadata=(("traceparent", TRACEPARENT),)))
            await call.write(ConverseRequest(config=ConverseConfig()))
            await call.write(ConverseRequest(say=Say(text="The moon is near.")))
            await call.until("turn_completed")
            assert await call.finish() is grpc.StatusCode.OK
    root = spans.only(CONVERSE)
    assert root.parent is not None
    assert (format_trace_id(root.context.trace_id), format_span_id(root.parent.span_id)) == (TRACE_ID, SPAN_ID)
    assert spans.facts(CONVERSE, "session.id", "rpc.response.status_code") == [
        (call.only("session_started").session_id, "OK")
    ]
    animated = ["    animate", "      animate triton", f"        {tracing.TRITON}"]
    assert spans.tree() == [CONVERSE, "  turn", "    speak", *animated]
    sent = [f"00-{TRACE_ID}-{format_span_id(span.context.span_id)}-01" for span in spans.named(tracing.TRITON)]
    assert [headers["traceparent"] for headers in triton.headers] == sent
    about = ("avatar.triton.model", "rpc.system.name", "server.address")
    assert set(spans.facts(tracing.TRITON, *about)) == {("musetalk", "grpc", "127.0.0.1")}


async def test_vendors_are_not_told_of_the_trace() -> None:
    limits = LimitSettings.model_validate({})
    async with vendor(Answer(status=401)) as answering:
        client = openai_client(OpenAISettings.model_validate({"api_key": "k", "base_url": answering.url}), limits)
        traced = tracing.call(CONVERSE, (("traceparent", TRACEPARENT),), lambda: "OK")
        with recorded_spans() as spans, traced, pytest.raises(EngineError):
            await anext(OpenAIChat(client, limits).complete([], TURN.chat))
        await client.close()
    (request,) = answering.requests
    assert "traceparent" not in {name.lower() for name in request["headers"]}
    host, port = answering.url.removeprefix("http://").partition("/")[0].split(":")
    facts = ("error.type", "http.response.status_code", "server.address", "server.port", "gen_ai.request.model")
    assert spans.facts("think openai", *facts) == [("authentication", 401, host, int(port), TURN.chat.model)]


async def test_calls_with_one_answer_are_spans_too(store: Path) -> None:
    with recorded_spans() as spans:
        async with serving(store) as server:
            await server.stub.ListAvatars(ListAvatarsRequest())
    assert spans.tree() == ["avatar.v1.AvatarService/ListAvatars"]


class AskedFaces(FakeFaces):
    """Asks as the adapter of Triton does."""

    async def find(self, images: Sequence[bytes]) -> Sequence[FoundFace | None]:
        with Attempt("prepare", "fake"):
            return await super().find(images)


async def test_what_a_call_leaves_to_be_done_after_its_answer_lies_below_it(store: Path) -> None:
    with recorded_spans() as spans:
        async with serving(store, Fakes(faces=AskedFaces(call_s=0.05))) as server:
            await upload(server, avatar_id="me")
            await ended(server)
    created = spans.only("avatar.v1.AvatarService/CreateAvatar")
    assert [span.name for span in spans.children(created)] == ["prepare fake"]


def to(endpoint: str, **fields: str) -> TracingSettings:
    return TracingSettings.model_validate({"endpoint": endpoint} | fields)


async def test_spans_reach_a_collector_before_the_service_has_stopped(store: Path) -> None:
    collector = Collector()
    async with collecting(collector) as endpoint:
        settings = to(endpoint, headers="X-Key=a%20secret", service_name="ours")
        async with exported(settings), serving(store) as server:
            assert await server.speak("Hello.").end() is grpc.StatusCode.OK
    assert collector.names.count("avatar.v1.AvatarService/Speak") == collector.names.count("turn") == 1
    resource = {
        each.key: each.value.string_value for each in collector.requests[0].resource_spans[0].resource.attributes
    }
    assert resource["service.name"] == "ours"
    assert resource["service.version"]
    assert collector.headers[0]["x-key"] == "a secret"


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "hangs"])
async def test_a_collector_that_fails_delays_the_stop_a_little_and_no_turn(
    store: Path, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "FLUSH_S", 0.2)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    collector = Collector(hangs=True)
    async with collecting(collector) as endpoint:
        async with asyncio.timeout(10), exported(to("http://127.0.0.1:1" if gone else endpoint)):
            async with serving(store) as server:
                assert await server.speak("Hello.").end() is grpc.StatusCode.OK
            stopping_s = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - stopping_s
    assert took_s < 2.0


async def test_without_a_collector_there_are_no_spans() -> None:
    async with exported(to("")):
        with tracing.call(CONVERSE, (), lambda: "OK"), tracing.below("turn") as span:
            assert not span.is_recording()


@pytest.mark.parametrize(("name", "value"), [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_BSP_MAX_QUEUE_SIZE", "10")])
async def test_what_the_sdk_cannot_use_is_an_error_of_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match="OTEL_"):
        async with exported(to("http://127.0.0.1:1")):
            pass
