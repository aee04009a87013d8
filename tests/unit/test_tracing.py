"""Spans of a conversation: one tree from the call to each request to an engine."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from avatar_service import tracing
from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import (
    ChatDelta,
    ChatOptions,
    Message,
    RenderedSpan,
    RenderRequest,
    SpeechPiece,
    TranscriptionOptions,
    Voice,
)
from avatar_service.errors import EngineError, EngineRejected, EngineUnavailable, Fault
from avatar_service.media.types import Utterance
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber
from tests.scenario import LIMITS, Recording, Scenario
from tests.spans import Spans, events, recorded_spans

METHOD = "avatar.v1.AvatarService/Converse"
OVERLOADED = EngineUnavailable("think", "fake", "status 503 vermilion", Fault.OVERLOADED, request_id="req_1")


class AskedTranscriber(FakeTranscriber):
    """Asks as the adapters of vendors do."""

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        ask = super().transcribe
        return await policy.call("transcribe", "fake", lambda _: ask(utterance, options), LIMITS, 5.0)


class AskedChat(FakeChat):
    """Asks as the adapters of vendors do, and fails `fails` times before."""

    def __init__(self, *script: Reply, fails: int = 0, error: EngineError = OVERLOADED) -> None:
        super().__init__(*script)
        self._fails, self._error = fails, error

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        async def ask(attempt: Attempt) -> AsyncGenerator[ChatDelta, None]:
            attempt.asks(options.model, "https://api.example.com/v1")
            if self._fails:
                self._fails -= 1
                raise self._error
            attempt.identified("req_2")
            async for delta in written:
                attempt.used(delta.prompt_tokens, delta.completion_tokens)
                yield delta

        written = super().complete(messages, options)
        return policy.stream("think", "fake", ask, LIMITS)


class AskedSpeech(FakeSpeech):
    """Asks as the adapters of vendors do."""

    def synthesize(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        say = super().synthesize
        return policy.stream("speak", "fake", lambda _: say(text, voice, previous_text), LIMITS)


class AskedLipSync(FakeLipSync):
    """Asks as the adapter of Triton does."""

    async def render(self, request: RenderRequest) -> RenderedSpan:
        with Attempt("animate", "fake") as attempt, attempt.current():
            return await super().render(request)


def asking(chat: AskedChat | None = None, **speech: Any) -> Scenario:
    return Scenario(
        transcriber=AskedTranscriber(),
        chat=chat or AskedChat(Reply("Hi there. All is well.")),
        fake_speech=AskedSpeech(**speech),
        fake_lip_sync=AskedLipSync(),
    )


async def held(scenario: Scenario) -> tuple[Recording, Spans]:
    """A conversation in a call, and its spans."""
    with recorded_spans() as spans, tracing.call(METHOD, (), lambda: "OK"):
        recording = await scenario.run()
    return recording, spans


async def test_a_spoken_turn_is_a_tree_from_the_call_to_each_request() -> None:
    _, spans = await held(asking().user_speech(0.5, 2.0, "hello"))
    assert spans.tree() == [
        METHOD,
        "  turn",
        "    transcribe",
        "      transcribe fake",
        "    think",
        "      think fake",
        "    speak",
        "      speak fake",  # one a sentence
        "    animate",
        "      animate fake",
    ]
    assert len({span.context.trace_id for span in spans.all}) == 1
    assert len(spans.named("speak fake")) == 2
    assert {span.kind for span in spans.all if span.name.endswith(" fake")} == {SpanKind.CLIENT}
    assert spans.only(METHOD).kind is SpanKind.SERVER


async def test_a_turn_tells_how_it_went_with_the_latencies_of_the_contract() -> None:
    _, spans = await held(asking().user_speech(0.5, 2.0, "hello", delay_s=0.4))
    (turn,) = spans.facts("turn", "avatar.turn.id", "avatar.turn.source", "avatar.turn.outcome")
    assert turn == (1, "utterance", "completed")
    ((transcription_ms, total_ms),) = spans.facts(
        "turn", "avatar.turn.transcription_time_ms", "avatar.turn.total_latency_ms"
    )
    assert transcription_ms == pytest.approx(400, abs=10)
    assert total_ms > transcription_ms
    assert events(spans.only("turn")) == ["first_audio_sent", "first_frame_sent"]


async def test_each_stage_tells_of_its_first_output_once() -> None:
    _, spans = await held(asking().user_speech(0.5, 2.0, "hello"))
    told = {stage: events(spans.only(stage)) for stage in ("transcribe", "think", "speak", "animate")}
    assert told == {
        "transcribe": ["transcribed"],
        "think": ["first_token", "reply_written"],
        "speak": ["first_speech"],
        "animate": ["first_frame_rendered"],
    }
    assert {tuple(events(span)) for span in spans.named("speak fake")} == {("first_output",)}


async def test_an_attempt_says_what_it_asked_for_and_what_that_cost() -> None:
    _, spans = await held(asking().user_speech(0.5, 2.0, "hello"))
    facts = dict(spans.only("think fake").attributes or {})
    assert facts == {
        "avatar.stage": "think",
        "avatar.engine": "fake",
        "avatar.attempt": 1,
        "avatar.attempts": 3,
        "avatar.outcome": "ok",
        "avatar.outputs": 6,
        "avatar.bytes": 0,
        "avatar.vendor_request_id": "req_2",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "fake",
        "gen_ai.request.model": "chat-model",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "api.example.com",
        "server.port": 443,
    }


async def test_an_attempt_that_failed_stands_beside_the_one_that_did_not() -> None:
    _, spans = await held(asking(AskedChat(Reply("Hi there."), fails=1)).text(0.1, "hello"))
    think = spans.only("think")
    assert [span.name for span in spans.children(think)] == ["think fake"] * 2
    told = spans.facts("think fake", "avatar.attempt", "avatar.outcome", "error.type", "avatar.vendor_request_id")
    assert told == [(1, "unavailable", "overloaded", "req_1"), (2, "ok", None, "req_2")]
    first, second = spans.named("think fake")
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "overloaded")
    assert second.status.status_code is StatusCode.UNSET
    assert think.status.status_code is StatusCode.UNSET


async def test_an_engine_that_refuses_is_told_by_its_fault_and_never_by_its_words() -> None:
    class Refused(Exception):
        status_code = 401

    refused = EngineRejected("think", "fake", "vermilion", Fault.AUTHENTICATION)
    refused.__cause__ = Refused("vermilion")
    _, spans = await held(asking(AskedChat(fails=9, error=refused)).text(0.1, "hello"))
    assert spans.facts("think fake", "error.type", "http.response.status_code") == [("authentication", 401)]
    assert "vermilion" not in "".join(span.to_json() for span in spans.all)


@pytest.mark.parametrize(
    ("error", "told"),
    [(ValueError("vermilion"), "ValueError"), (EngineUnavailable("think", "fake", "vermilion"), "connection")],
)
async def test_what_leaves_a_span_is_told_by_its_kind_alone(error: Exception, told: str) -> None:
    call = tracing.call(METHOD, (), lambda: "UNKNOWN")
    with recorded_spans() as spans, suppress(Exception), call, tracing.below("turn"):
        raise error
    turn = spans.only("turn")
    assert (turn.status.status_code, turn.status.description) == (StatusCode.ERROR, told)
    assert spans.facts("turn", "avatar.outcome", "error.type") == [("failed", told)]
    assert spans.only(METHOD).status.description == "UNKNOWN"
    assert [event for span in spans.all for event in span.events] == []


async def test_an_interrupted_turn_ends_every_span_that_it_began() -> None:
    long = asking(AskedChat(Reply("A long sentence that is broken off.", 0.1, 9.0)), rate=1.0)
    _, spans = await held(long.text(0.1, "hello").interrupt(1.5).listen_until(3.0))
    assert spans.facts("turn", "avatar.turn.outcome", "avatar.outcome") == [("interrupted", "cancelled")]
    assert spans.facts("think", "avatar.outcome") == [("cancelled",)]
    assert spans.facts("think fake", "avatar.outcome") == [("cancelled",)]
    assert {span.status.status_code for span in spans.all} == {StatusCode.UNSET}


async def test_a_turn_whose_stream_breaks_is_abandoned() -> None:
    with recorded_spans() as spans, tracing.call(METHOD, (), lambda: "CANCELLED"):
        await asking().text(0.1, "hello").cut(0.4)
    assert spans.facts("turn", "avatar.turn.outcome") == [("abandoned",)]


async def test_what_is_understood_early_is_linked_to_the_turn_that_takes_it_up() -> None:
    scenario = asking().user_speech(0.5, 2.0, "hello").configured(early=True, preemptive=True)
    _, spans = await held(scenario)
    early, turn = spans.only("early"), spans.only("turn")
    assert [span.name for span in spans.children(early)] == ["transcribe fake", "think fake"]
    assert [span.name for span in spans.children(spans.only("think"))] == []
    assert [link.context for link in turn.links] == [early.context]


async def test_a_call_goes_on_with_its_clients_trace() -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    metadata: list[tuple[str, str | bytes]] = [
        ("user-agent", "grpc"),
        ("traceparent", f"00-{trace_id}-{span_id}-01"),
        ("binary-bin", b"\xff"),
    ]
    with recorded_spans() as spans, tracing.call(METHOD, metadata, lambda: "NOT_FOUND"):
        assert tracing.headers()["traceparent"].startswith(f"00-{trace_id}-")
    span = spans.only(METHOD)
    assert span.parent is not None
    assert (format_trace_id(span.context.trace_id), format_span_id(span.parent.span_id)) == (trace_id, span_id)
    assert spans.facts(METHOD, "rpc.system.name", "rpc.method", "rpc.response.status_code") == [
        ("grpc", METHOD, "NOT_FOUND")
    ]
    assert span.status.status_code is StatusCode.UNSET  # the client's fault


async def test_a_trace_that_its_client_does_not_record_is_not_recorded_and_goes_on_as_such() -> None:
    metadata = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]
    with recorded_spans() as spans, tracing.call(METHOD, metadata, lambda: "OK"), tracing.below("turn"):
        assert tracing.headers()["traceparent"].endswith("-00")
    assert spans.all == []


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (None, "OK", "OK"),
        (ValueError(), "OK", "INTERNAL"),
        (ValueError(), "NOT_FOUND", "NOT_FOUND"),
        (asyncio.CancelledError(), "OK", "CANCELLED"),
    ],
)
async def test_a_call_tells_the_status_that_its_client_got(error: BaseException | None, code: str, told: str) -> None:
    with recorded_spans() as spans, suppress(BaseException), tracing.call(METHOD, (), lambda: code):
        if error:
            raise error
    assert spans.facts(METHOD, "rpc.response.status_code") == [(told,)]


@pytest.mark.parametrize("metadata", [(), [("traceparent", "00-zz-1-1")], [("traceparent", "")]])
async def test_a_call_without_a_trace_begins_one(metadata: Sequence[tuple[str, str]]) -> None:
    with recorded_spans() as spans, tracing.call(METHOD, metadata, lambda: "INTERNAL"):
        pass
    span = spans.only(METHOD)
    assert span.parent is None
    assert span.status.status_code is StatusCode.ERROR


async def test_what_belongs_to_no_call_leaves_no_trace() -> None:
    with recorded_spans() as spans, Attempt("warm", "fake") as attempt, attempt.current():
        assert tracing.headers() == {}
    assert spans.all == []


async def test_without_an_exporter_nothing_is_made_or_sent_on() -> None:
    metadata = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    with tracing.call(METHOD, metadata, lambda: "OK"), tracing.below("turn") as span:
        assert not span.get_span_context().is_valid
        assert tracing.headers() == {}


async def test_a_stream_leaves_no_span_behind_in_the_task_that_reads_it() -> None:
    async def ask(attempt: Attempt) -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    with recorded_spans() as spans, tracing.call(METHOD, (), lambda: "OK"):
        stream = policy.stream("speak", "fake", ask, LIMITS)
        await anext(stream)
        with tracing.below("beside"):
            pass
        with suppress(StopAsyncIteration):
            while True:
                await anext(stream)
    assert spans.tree() == [METHOD, "  speak fake", "  beside"]


async def test_tasks_that_are_begun_in_a_block_lie_below_its_span() -> None:
    async def beside() -> None:
        await asyncio.sleep(0.1)
        with tracing.below("inner"):
            pass

    with recorded_spans() as spans, tracing.call(METHOD, (), lambda: "OK"):
        async with asyncio.TaskGroup() as tasks:
            with tracing.below("outer"):
                tasks.create_task(beside())
    assert spans.tree() == [METHOD, "  outer", "    inner"]
