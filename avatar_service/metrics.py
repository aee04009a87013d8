"""What the process counts and times, for Prometheus.

One registry for the process. Whatever happens is noted where it happens; `rpc/monitoring.py` serves the whole over
HTTP. Label values are words of our own code, never what a client or a vendor sent: each value makes a time series.

Seconds, bytes and totals stand in the names, as Prometheus wants it. The latencies of a turn keep the names of
`TurnMetrics` in the contract, in seconds: `llm_response_time_ms` is `avatar_llm_response_time_seconds`.

Histograms of turns and engines keep exemplars: the trace and span of a request that fell into a bucket, where spans are
recorded. A scrape in OpenMetrics carries them; Prometheus' older text format has no place for them.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version

from opentelemetry.trace import Span, format_span_id, format_trace_id
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.35, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Fine where a user notices; 0.8 and 1.35 are the goals of the first frame, 5 and 20 the limits of a stage."""
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""20 ms is the most that a stream may lag."""
LEAD_BUCKETS_S = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
"""From starved to the longest lead that a client may ask for; 0.2 is where audio stops waiting for frames."""
PREPARATION_BUCKETS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""From one picture to a long video on a slow machine."""
STORE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""From a store in this process to the limit of a call."""
SESSION_BUCKETS_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
"""Up to the longest age of a session."""

# It would add a second series to each of ours, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


def _counter(name: str, help_text: str, labels: Iterable[str] = ()) -> Counter:
    return Counter(f"avatar_{name}", help_text, labels, registry=REGISTRY)


def _gauge(name: str, help_text: str, labels: Iterable[str] = ()) -> Gauge:
    return Gauge(f"avatar_{name}", help_text, labels, registry=REGISTRY)


def _histogram(name: str, help_text: str, buckets: tuple[float, ...], labels: Iterable[str] = ()) -> Histogram:
    return Histogram(f"avatar_{name}_seconds", help_text, labels, buckets=buckets, registry=REGISTRY)


def _latency(name: str, help_text: str) -> Histogram:
    return _histogram(name, help_text, LATENCY_BUCKETS_S)


Info("avatar_build", "Version of the service.", registry=REGISTRY).info({"version": version("avatar-service")})

# The process.
READY = _gauge("ready", "1 while new streams are taken in, 0 while starting and draining.")
TRITON_READY = _gauge("triton_ready", "1 if the last render request was answered in time, 0 if it failed.")
TASKS = _gauge("tasks", "asyncio tasks at the moment of the scrape.")
LOOP_LAG = _histogram("event_loop_lag", "How late the event loop woke a task, sampled twice a second.", LAG_BUCKETS_S)

# Calls.
SESSIONS_ACTIVE = _gauge("sessions_active", "Streams that are served at this moment.", ["method"])
SESSIONS = _counter("sessions", "Streams that have ended, by gRPC status.", ["method", "code"])
SESSION_TIME = _histogram("session_duration", "Length of streams that have ended.", SESSION_BUCKETS_S, ["method"])
UNARY_CALLS = _counter("unary_calls", "Calls with one answer that have ended, by gRPC status.", ["method", "code"])
REFUSED = _counter("streams_refused", "Streams turned away for want of room, or that sent too much.", ["reason"])
QUOTAS_DEGRADED = _gauge(
    "quotas_degraded", "1 while this process counts the sessions of tenants alone because Redis does not answer."
)

# Who may call.
CREDENTIALS_REFUSED = _counter(
    "credentials_refused", "Calls refused for their credential, by its kind and what was wrong.", ["proof", "why"]
)
CREDENTIAL_SOURCES_OK = _gauge(
    "credential_source_ok", "1 if what credentials are judged by could be read when it last changed.", ["source"]
)
TLS_HANDSHAKES = _counter("tls_handshakes", "TLS handshakes that clients have begun.")
TLS_CONNECTIONS = _counter("tls_connections", "TLS connections that have had a call.")

# The store of sessions.
STORE_OPERATIONS = _counter("store_operations", "Calls of the store of sessions.", ["operation", "outcome"])
STORE_TIME = _histogram("store_operation", "Length of calls of the store of sessions.", STORE_BUCKETS_S, ["operation"])
RESUMES = _counter("resumes", "Sessions that clients asked to resume, by what became of that.", ["outcome"])

# Turns.
TURNS = _counter("turns", "Turns that have ended.", ["source", "outcome"])
TURN_FAILURES = _counter("turn_failures", "Turns that failed, by the stage and what was wrong.", ["stage", "fault"])
FAILURES_IN_A_ROW = _gauge(
    "consecutive_failures", "Turns in a row whose stage failed for good; 0 after one that did not.", ["stage"]
)
DEGRADED = _counter("turns_degraded", "Turns in which something was missing or replaced, by what.", ["reason"])
LATENCIES: Mapping[str, Histogram] = {
    "endpointing_time": _latency("endpointing_time", "From the end of speech to the start of the turn."),
    "transcription_time": _latency("transcription_time", "From the transcription request to the transcript."),
    "time_to_first_token": _latency("time_to_first_token", "From the chat request to the first text of the reply."),
    "llm_response_time": _latency("llm_response_time", "From the chat request to the end of the reply's text."),
    "time_to_first_speech_byte": _latency(
        "time_to_first_speech_byte", "From the first speech request of a turn to its first audio."
    ),
    "tts_generation_time": _latency("tts_generation_time", "Time spent waiting for speech over all sentences."),
    "first_render_time": _latency("first_render_time", "From the first render request of a turn to its frames."),
    "time_to_first_audio": _latency("time_to_first_audio", "From the end of speech to the first audio sent."),
    "time_to_first_frame": _latency("time_to_first_frame", "From the end of speech to the first frame sent."),
    "total_latency": _latency("total_latency", "From the end of speech until the avatar is both seen and heard."),
    "interruption_time": _latency(
        "interruption_time", "From the decision to interrupt until nothing of the turn ran any more."
    ),
}
"""The latencies of a turn, by their names in the contract less the unit."""

# Engines.
ATTEMPTS = _counter("engine_attempts", "Requests to engines that have ended.", ["stage", "engine", "outcome"])
FIRST_OUTPUT = _histogram(
    "engine_first_output", "From a request to an engine to its first output.", LATENCY_BUCKETS_S, ["stage", "engine"]
)
REQUEST_TIME = _histogram(
    "engine_request",
    "From a request to an engine to the end of its answer, with the time for which that was held back.",
    LATENCY_BUCKETS_S,
    ["stage", "engine"],
)
RECEIVED_BYTES = _counter(
    "engine_received_bytes", "Outputs of engines: text, voice as it was encoded, frames.", ["stage", "engine"]
)
FAULTS = _counter("engine_faults", "Attempts that an engine failed, by what was wrong.", ["stage", "engine", "fault"])
RETRIES = _counter("engine_retries", "Attempts that followed another of the same call.", ["stage", "engine"])
CONSECUTIVE_FAILURES = _gauge(
    "engine_consecutive_failures", "Attempts that failed since the last that did not.", ["stage", "engine"]
)
CIRCUIT_OPEN = _gauge("engine_circuit_open", "1 while an engine is left alone after failures.", ["stage", "engine"])

# Avatars that users make.
PREPARATIONS = _counter("preparations", "Preparations of avatars that have ended.", ["outcome"])
PREPARING = _gauge("preparing", "Avatars being prepared or waiting for it, uploads included.")
PREPARATION_TIME = _histogram(
    "preparation", "From the end of an upload to the end of its preparation.", PREPARATION_BUCKETS_S
)

# Media.
FRAMES_SENT = _counter("frames_sent", "Frames sent.")
FRAMES_HELD = _counter("frames_held", "Frames not sent because they came too late to be shown.")
FRAMES_SHED = _counter("frames_shed", "Frames that were ready but not sent because the client read too slowly.")
FRAMES_RENDERED = _counter("frames_rendered", "Frames rendered by the lip-sync model, those of silence left out.")
SENT_SPEECH = _counter("sent_speech_seconds", "Length of the voice sent.")
STARVED = _counter("starved_seconds", "Time for which clients had played all that was sent, and the voice went on.")
RECEIVED_AUDIO = _counter("received_audio_seconds", "Length of the user audio received.")
UNMARKED_AUDIO = _counter("unmarked_audio_seconds", "Length of the user audio dropped outside of marked utterances.")
PREEMPTIVE_REPLIES = _counter(
    "preemptive_replies", "Replies begun before their turn, by what became of them.", ["outcome"]
)
TRANSCRIBED_AUDIO = _counter("transcribed_audio_seconds", "Length of the utterances given to speech to text.")
TOKENS = _counter("chat_tokens", "Tokens that the chat model read (prompt) and wrote (completion).", ["kind"])
CHARACTERS = _counter("speech_characters", "Characters given to text to speech.")
SENT_BYTES = _counter("sent_media_bytes", "Voice and frames sent, as encoded; grows at the end of turns.", ["kind"])
LEAD = _histogram("lead", "How far the media sent were ahead of play-out, once a second of media.", LEAD_BUCKETS_S)


def exemplar(span: Span) -> dict[str, str] | None:
    """The labels by which an observation points to the span it was made in; None where that is not recorded."""
    context = span.get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def exposition(accept: str = "") -> tuple[bytes, str]:
    """Every metric, and the media type: OpenMetrics, with exemplars, where the header `accept` asks for it, else
    Prometheus' text format."""
    encode, media_type = choose_encoder(accept)
    return encode(REGISTRY), media_type
