"""What an operator sees of a real conversation: the metrics of `avatar-service up`, scraped over HTTP."""

import urllib.request

from tests.integration.system.conftest import RunningSystem
from tests.integration.system.test_conversation import QUESTION, ask

LATENCIES = (
    "endpointing_time",
    "transcription_time",
    "time_to_first_token",
    "llm_response_time",
    "time_to_first_speech_byte",
    "tts_generation_time",
    "time_to_first_audio",
)


def test_a_conversation_by_voice_moves_every_metric_of_its_way(system: RunningSystem) -> None:
    before = system.scraped()
    turn = ask(system, wav=QUESTION).turns[0]
    after = system.scraped()

    def grown(name: str, **labels: str) -> float:
        key = (f"avatar_{name}", frozenset(labels.items()))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown("turns_total", source="utterance", outcome="completed") == 1
    assert grown("sessions_total", method="Converse", code="OK") == 1
    for name in LATENCIES:
        assert grown(f"{name}_seconds_count") == 1
        told_s = turn.metrics[f"{name}_ms"] / 1000
        assert abs(grown(f"{name}_seconds_sum") - told_s) < 0.001  # the same moments as the client was told
    for stage, engine in (
        ("transcribe", "openai"),
        ("think", "openai"),
        ("speak", "elevenlabs"),
        ("animate", "triton"),
    ):
        assert grown("engine_attempts_total", stage=stage, engine=engine, outcome="ok") >= 1
        assert grown("engine_first_output_seconds_count", stage=stage, engine=engine) >= 1
    assert grown("frames_sent_total") == turn.metrics["sent_frame_count"]
    assert grown("frames_held_total") == turn.metrics["held_frame_count"]
    assert abs(grown("sent_speech_seconds_total") - turn.audio_s) < 0.001
    assert grown("received_audio_seconds_total") > 1
    assert grown("chat_tokens_total", kind="completion") > 0
    assert grown("speech_characters_total") > 0
    assert grown("sent_media_bytes_total", kind="audio") > 0
    assert after["avatar_triton_ready", frozenset()] == 1


def test_the_probes_of_a_running_system_are_well(system: RunningSystem) -> None:
    base = system.metrics.removesuffix("/metrics")
    for path, told in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        with urllib.request.urlopen(f"{base}{path}", timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, told)
