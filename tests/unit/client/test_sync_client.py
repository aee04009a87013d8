"""The client for code without an event loop: the same calls, one thread, and nothing left when it is closed."""

import signal
import threading
from contextlib import suppress

import pytest

from avatar import v1
from avatar_client import (
    Audio,
    AvatarClient,
    Conversation,
    Frame,
    NotFound,
    ReplyFinished,
    SegmentCompleted,
    ServiceError,
    SessionStarted,
    StreamEnded,
    Transcript,
    TurnCompleted,
    Unavailable,
)
from tests.unit.client.scripted_service import (
    Stream,
    echo_segments,
    media,
    no_script,
    reply_finished,
    speak_text,
    tone,
    turn_completed,
)
from tests.unit.client.server_thread import server

THREAD = "avatar-client"


def client_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


async def answer(stream: Stream) -> None:
    """Answer a text."""
    await stream.start()
    await stream.until("text")
    await stream.send(*media(1, 2), reply_finished(1, 2))
    await stream.send(turn_completed(1, "Near.", v1.TurnOutcome.TURN_OUTCOME_COMPLETED))
    await stream.until_half_close()


def test_a_conversation_is_held_with_plain_calls() -> None:
    with server(answer) as address, AvatarClient(address) as client, client.converse(avatar="ada") as conversation:
        assert isinstance(conversation.started, SessionStarted)
        assert conversation.media.sample_rate_hz == 24_000
        conversation.send_text("How far?")
        kinds = []
        for event in conversation:
            kinds.append(type(event))
            if isinstance(event, TurnCompleted):
                conversation.end_input()
        assert kinds == [Audio, Frame, Audio, Frame, ReplyFinished, TurnCompleted]
        with pytest.raises(StreamEnded):
            conversation.send_text("And now?")
    assert client_threads() == []


def test_a_text_is_spoken_and_a_voice_animated() -> None:
    with server(speak_text) as address, AvatarClient(address) as client, client.speak("Hello.") as speech:
        assert sum(isinstance(event, Frame) for event in speech) == 5
    with server(echo_segments) as address, AvatarClient(address) as client:
        with client.animate(iter([tone(0), tone(1)])) as animation:
            assert [event.pcm for event in animation if isinstance(event, Audio)] == [tone(0), tone(1)]
        with client.animate() as animation:
            animation.send_pcm(tone(0))
            animation.end_segment()
            animation.end_input()
            assert isinstance(list(animation)[-1], SegmentCompleted)


def test_lists_are_generators_and_facts_are_values() -> None:
    with server(no_script) as address, AvatarClient(address) as client:
        assert [avatar.name for avatar in client.list_avatars()] == ["avatars/ada", "avatars/bob"]
        assert next(client.list_voices()).display_name == "Amy"
        assert client.get_server_info().version == "0.1.0"
        with pytest.raises(NotFound):
            client.get_avatar("eve")


def test_leaving_in_the_middle_ends_the_stream_and_joins_the_thread() -> None:
    ended = threading.Event()

    async def script(stream: Stream) -> None:
        try:
            await stream.start()
            await stream.send(*media(1, 3))
            await stream.until("text")
        finally:
            ended.set()

    def leave(address: str) -> None:
        with AvatarClient(address) as client, client.converse() as conversation:
            for _ in conversation:
                raise LookupError("mine")

    with server(script) as address:
        with pytest.raises(LookupError, match="mine"):
            leave(address)
        assert ended.wait(5)
    assert client_threads() == []


def test_a_stream_that_is_not_left_is_ended_with_its_client() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    with server(script) as address:
        with AvatarClient(address) as client:
            conversation = client.converse()
            conversation.__enter__()
        assert client_threads() == []
        with pytest.raises(RuntimeError, match="the client is closed"):
            conversation.send_text("too late")


def test_a_thread_that_iterates_is_told_when_another_closes_the_stream_or_the_client() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(*media(1, 1))
        await stream.until_half_close()

    with server(script) as address:
        for leave_stream in (True, False):
            ends: list[Exception] = []
            begun = threading.Event()
            client = AvatarClient(address)
            with client:
                conversation = client.converse()
                conversation.__enter__()
                reader = threading.Thread(target=read, args=(conversation, begun, ends))
                reader.start()
                assert begun.wait(5)
                if leave_stream:
                    conversation.__exit__(None, None, None)
                    reader.join(5)
            reader.join(5)
            assert not reader.is_alive()
            (end,) = ends
            assert "closed" in str(end)
            assert isinstance(end, StreamEnded if leave_stream else StreamEnded | RuntimeError)
            conversation.__exit__(None, None, None)


def read(conversation: Conversation, begun: threading.Event, ends: list[Exception]) -> None:
    """Iterate until that ends, and keep what it raises."""
    try:
        for _ in conversation:
            begun.set()
    except Exception as error:
        ends.append(error)


def test_calls_of_many_threads_return_while_the_client_is_closed() -> None:
    def ask(client: AvatarClient) -> None:
        with suppress(RuntimeError, ServiceError):
            while True:
                client.get_server_info()

    with server(no_script) as address:
        for _ in range(5):
            with AvatarClient(address) as client:
                client.get_server_info()
                threads = [threading.Thread(target=ask, args=(client,), daemon=True) for _ in range(8)]
                for thread in threads:
                    thread.start()
            for thread in threads:
                thread.join(5)
            assert not any(thread.is_alive() for thread in threads)
    assert client_threads() == []


def test_a_client_and_a_stream_are_opened_once() -> None:
    with server(answer) as address:
        client = AvatarClient(address)
        with client:
            conversation = client.converse()
            with conversation, pytest.raises(RuntimeError, match="the stream was opened before"):
                conversation.__enter__()
        with pytest.raises(RuntimeError, match="the client was opened before"):
            client.__enter__()
    assert client_threads() == []


def test_a_stream_that_is_not_entered_says_so() -> None:
    with AvatarClient("127.0.0.1:1") as client:
        conversation = client.converse()
        for use in (lambda: conversation.send_text("How far?"), lambda: list(conversation), lambda: conversation.media):
            with pytest.raises(RuntimeError, match="the stream is not open: use it within its `with` block"):
                use()


def test_a_client_that_cannot_open_its_channel_leaves_no_thread() -> None:
    with pytest.raises(AttributeError):
        AvatarClient(None).__enter__()  # type: ignore[arg-type]  # the mistake under test
    assert client_threads() == []


def test_an_interrupt_of_a_waiting_caller_cancels_what_it_waits_for() -> None:
    """As Ctrl-C does, which Python raises out of a wait."""

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    def wait_for_ever(address: str) -> None:
        with AvatarClient(address) as client, client.converse() as conversation:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            next(iter(conversation))

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with server(script) as address, pytest.raises(KeyboardInterrupt):
            wait_for_ever(address)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert client_threads() == []


def test_a_failure_is_raised_in_the_callers_thread_and_leaves_no_thread() -> None:
    with pytest.raises(Unavailable, match="no avatar service answers"), AvatarClient("127.0.0.1:1") as client:
        client.get_server_info()
    assert client_threads() == []


def test_several_threads_may_send() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("say", count=20)
        await stream.send(v1.ConverseResponse(transcript=v1.Transcript(text="all")))

    with server(script) as address, AvatarClient(address) as client, client.converse() as conversation:

        def say() -> None:
            for _ in range(5):
                conversation.say("x")

        threads = [threading.Thread(target=say) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert [event.text for event in conversation if isinstance(event, Transcript)] == ["all"]
        for thread in threads:
            thread.join()


def test_an_iteration_can_be_left_and_taken_up_again() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        for turn_id in (1, 2):
            await stream.until("text")
            await stream.send(*media(turn_id, 2), reply_finished(turn_id, 2))
            await stream.send(turn_completed(turn_id, "Near.", v1.TurnOutcome.TURN_OUTCOME_COMPLETED))

    with server(script) as address, AvatarClient(address) as client, client.converse() as conversation:
        for turn_id in (1, 2):
            conversation.send_text("How far?")
            turns = []
            for event in conversation:
                if isinstance(event, Audio):
                    turns.append(event.turn_id)
                if isinstance(event, TurnCompleted):
                    break
            assert turns == [turn_id, turn_id]
