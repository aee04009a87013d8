"""Exemplars: what leads from a bucket of a histogram to the trace of a turn that fell into it."""

from pathlib import Path

import aiohttp
import grpc
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from avatar_service import metrics, tracing
from avatar_service.engines.attempt import Attempt
from avatar_service.rpc.monitoring import Readiness, monitored
from tests.measuring import OPEN_METRICS
from tests.service.calls import serving
from tests.service.responses import DEADLINE_S
from tests.spans import Spans, recorded_spans


async def scraped(accept: str) -> tuple[str, str]:
    """The media type and the text of a scrape."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with (
        monitored("127.0.0.1:0", Readiness()) as url,
        aiohttp.ClientSession(url, timeout=timeout) as http,
        http.get("/metrics", headers={"Accept": accept}) as answer,
    ):
        return answer.headers["Content-Type"], await answer.text()


async def spoken(store: Path) -> Spans:
    """The spans of one call of `Speak`."""
    with recorded_spans() as spans:
        async with serving(store) as server:
            assert await server.speak("Hello.").end() is grpc.StatusCode.OK
    return spans


def exemplars(text: str, name: str) -> list[Exemplar]:
    """Those of a histogram, in a scrape that a parser of OpenMetrics has read without a fault."""
    read = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
    families = {family.name: family for family in read}
    return [sample.exemplar for sample in families[name].samples if sample.exemplar]


async def test_a_turns_latency_leads_to_its_span(store: Path) -> None:
    spans = await spoken(store)
    media_type, text = await scraped(OPEN_METRICS)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    turn = spans.only("turn")
    ours = {"trace_id": format_trace_id(turn.context.trace_id), "span_id": format_span_id(turn.context.span_id)}
    assert ours in [each.labels for each in exemplars(text, "avatar_time_to_first_speech_byte_seconds")]


async def test_a_request_to_an_engine_leads_to_its_own_span() -> None:
    with recorded_spans() as spans, tracing.call("call", (), lambda: "OK"), Attempt("think", "exemplary") as attempt:
        attempt.output()
    ours = format_span_id(spans.only("think exemplary").context.span_id)
    text = (await scraped(OPEN_METRICS))[1]
    for name in ("avatar_engine_request_seconds", "avatar_engine_first_output_seconds"):
        assert ours in [each.labels["span_id"] for each in exemplars(text, name)]


async def test_the_older_text_format_is_given_to_whoever_asks_for_nothing_else(store: Path) -> None:
    await spoken(store)
    media_type, text = await scraped("")
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "trace_id" not in text


async def test_where_no_spans_are_recorded_nothing_points_to_one(store: Path) -> None:
    before = exemplars(metrics.exposition(OPEN_METRICS)[0].decode(), "avatar_total_latency_seconds")
    async with serving(store) as server:
        assert await server.speak("Hello.").end() is grpc.StatusCode.OK
    assert exemplars(metrics.exposition(OPEN_METRICS)[0].decode(), "avatar_total_latency_seconds") == before
