"""What is kept until it is acknowledged, what is sent again and from where, and that nothing grows without end."""

import pytest

from avatar.v1 import (
    ConfigUpdate,
    ConverseConfig,
    ConverseRequest,
    Interrupt,
    Say,
    ToolResult,
    ToolResults,
    UserAudio,
    UserText,
    UtteranceEnded,
    UtteranceStarted,
)
from avatar_client.errors import TooMuchWaiting
from avatar_client.events import AudioReceived, ConfigUpdated, Event, Interrupted, Notice, TurnStarted
from avatar_client.outbox import Outbox

BEGIN = ConverseRequest(utterance_started=UtteranceStarted())
END = ConverseRequest(utterance_ended=UtteranceEnded())


def audio(letters: str) -> ConverseRequest:
    """Sound of a sample a letter, at 1 kHz 1 ms each."""
    return ConverseRequest(audio=UserAudio(data="".join(letter * 2 for letter in letters).encode()))


def text(request_id: str) -> ConverseRequest:
    return ConverseRequest(text=UserText(text="How far?", request_id=request_id))


def sent(*requests: ConverseRequest) -> Outbox:
    """An outbox at 1 kHz that has sent these."""
    outbox = Outbox("LINEAR16", 1_000)
    for request in requests:
        outbox.add(request)
        assert outbox.take() == request
    return outbox


def waiting(outbox: Outbox) -> list[str]:
    """All that waits: letters of audio, the kind of anything else."""
    told = []
    while request := outbox.take():
        kind = request.WhichOneof("payload") or ""
        told.append(request.audio.data.decode()[::2] if kind == "audio" else kind)
    return told


def test_requests_are_sent_once_in_the_order_in_which_they_were_made() -> None:
    outbox = Outbox("LINEAR16", 1_000)
    for request in (audio("a"), text("q1"), BEGIN, audio("b"), END):
        outbox.add(request)
    assert waiting(outbox) == ["a", "text", "utterance_started", "b", "utterance_ended"]
    assert outbox.take() is None


def test_audio_that_waits_is_joined() -> None:
    outbox = Outbox("LINEAR16", 1_000)
    for request in (audio("a"), audio("b"), text("q1"), *[audio("c" * 10_000)] * 2):
        outbox.add(request)
    assert [len(told) for told in waiting(outbox)] == [2, 4, 10_000, 10_000], "up to 32,000 bytes"


def test_sound_behind_the_offset_is_sent_again_to_the_sample() -> None:
    outbox = sent(audio("abcd"), audio("efgh"), audio("ij"))
    outbox.note(AudioReceived(0.004))
    outbox.add(audio("k"))
    outbox.rewind(0.006)
    assert waiting(outbox) == ["ghijk"]


def test_the_services_count_goes_on_from_its_offset() -> None:
    outbox = sent(audio("abcd"))
    outbox.rewind(0.002)
    assert waiting(outbox) == ["cd"]
    outbox.add(audio("ef"))
    assert waiting(outbox) == ["ef"]
    outbox.note(AudioReceived(0.005))
    outbox.rewind(0.005)
    assert waiting(outbox) == ["f"]


def test_packets_of_opus_stay_whole_and_alone() -> None:
    outbox = Outbox("OPUS", 48_000)
    for packet in (b"one", b"two", b"three"):
        outbox.add(ConverseRequest(audio=UserAudio(data=packet)))
    while outbox.take():
        pass
    outbox.note(AudioReceived(0.02))
    outbox.rewind(0.03)
    assert [request.audio.data for request in iter(outbox.take, None)] == [b"two", b"three"]
    assert outbox.audio_s == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("offset_s", "again"),
    [
        (0.001, ["b", "utterance_started", "cd", "utterance_ended", "e"]),
        (0.002, ["utterance_started", "cd", "utterance_ended", "e"]),
        (0.003, ["d", "utterance_ended", "e"]),
        (0.004, ["e"]),
    ],
)
def test_the_marks_of_an_utterance_keep_their_place(offset_s: float, again: list[str]) -> None:
    outbox = sent(audio("ab"), BEGIN, audio("cd"), END, audio("e"))
    outbox.note(AudioReceived(offset_s))
    outbox.rewind(offset_s)
    assert waiting(outbox) == again


@pytest.mark.parametrize(
    ("request_", "event"),
    [
        (text("q1"), TurnStarted(1, request_id="q1")),
        (ConverseRequest(say=Say(text="Hello.", request_id="q1")), TurnStarted(1, request_id="q1")),
        (ConverseRequest(say=Say(text="Hello.", request_id="q1")), Notice("SAY_QUEUE_FULL")),
        (ConverseRequest(config_update=ConfigUpdate()), ConfigUpdated(ConverseConfig())),
        (ConverseRequest(say=Say(text="Hello.", request_id="q1")), Interrupted(7, reason="BARGE_IN")),
        (ConverseRequest(interrupt=Interrupt()), Interrupted(7, reason="REQUESTED")),
        (ConverseRequest(interrupt=Interrupt()), Notice("REQUEST_IGNORED")),
    ],
)
def test_a_request_is_sent_again_until_it_is_answered(request_: ConverseRequest, event: Event) -> None:
    outbox = sent(request_)
    outbox.note(TurnStarted(1, request_id="another"))
    assert not outbox.is_answered
    outbox.rewind(0.0)
    assert outbox.take() == request_
    outbox.note(event)
    assert outbox.is_answered
    outbox.rewind(0.0)
    assert outbox.take() is None


def test_results_of_tools_are_of_no_use_on_another_stream() -> None:
    results = ConverseRequest(tool_results=ToolResults(results=[ToolResult(tool_call_id="c1")]))
    outbox = sent(results)
    assert outbox.is_answered
    outbox.add(results)
    outbox.rewind(0.0)
    assert outbox.take() is None


def test_at_most_90_seconds_of_audio_are_kept_and_the_oldest_goes() -> None:
    outbox = Outbox("LINEAR16", 1_000)
    for number in range(100):
        outbox.add(audio(chr(40 + number // 2) * 1_000))
        if number < 50:
            outbox.take()
    assert outbox.audio_s == 90.0
    outbox.rewind(0.0)
    assert "".join(waiting(outbox))[0] == chr(40 + 5)
    unsent = Outbox("LINEAR16", 1_000)
    for number in range(100):
        unsent.add(audio(chr(40 + number // 2) * 1_000))
    assert unsent.audio_s == 90.0
    assert "".join(waiting(unsent))[0] == chr(40 + 5)


def test_other_requests_that_wait_are_limited_and_those_that_were_sent_forgotten_in_the_end() -> None:
    outbox = sent(*[text(f"q{number}") for number in range(70)])
    outbox.rewind(0.0)
    assert len(waiting(outbox)) == 64
    full = Outbox("LINEAR16", 1_000)
    for number in range(64):
        full.add(text(f"q{number}"))
    full.add(audio("a"))
    with pytest.raises(TooMuchWaiting, match="64 requests wait"):
        full.add(text("one too many"))
