"""The client and the service together, over a connection that breaks: nothing is lost, nothing is heard twice."""

import asyncio
from pathlib import Path

import pytest

from avatar_client import (
    AsyncAvatarClient,
    ConnectionLost,
    ConverseEvent,
    GoAway,
    ReplyFinished,
    Resumed,
    SpokenText,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.service.calls import Fakes, serving
from tests.service.client.proxy import proxied

STORY = "The moon is near. It turns with us. One face is all we see. The other is dark to us but not to the sun."
RATE_HZ = 16_000
LEAD_S = 1.0
"""How far the service sends ahead by default."""


def storyteller() -> Fakes:
    """A reply of more than a second, and words that are understood."""
    return Fakes(
        transcriber=FakeTranscriber(Heard("hello", 0.02)),
        chat=FakeChat(Reply(STORY, 0.01, 0.01), Reply("Yes.", 0.01, 0.01)),
        speech=FakeSpeech(ttfb_s=0.02, rate=6.0, seconds_per_character=0.013),
        lip_sync=FakeLipSync(render_s=0.002),
    )


def heard(events: list[ConverseEvent]) -> str:
    """What a listener heard: the words of each turn that ended before its stream broke, and all of the last."""
    words: list[SpokenText] = []
    told = ""
    for event in events:
        if isinstance(event, SpokenText):
            words.append(event)
        if isinstance(event, Resumed):
            told += "".join(word.text for word in words if word.end_offset_s <= event.played_s)
            words.clear()
    return told + "".join(word.text for word in words)


async def test_a_story_whose_connection_breaks_three_times_is_heard_whole_and_once(store: Path) -> None:
    cuts = 3
    async with (
        serving(store, storyteller()) as server,
        proxied(server.address) as proxy,
        AsyncAvatarClient(proxy.address) as client,
        client.converse() as conversation,
    ):
        await conversation.send_text("Tell me a story.", "q1")
        events: list[ConverseEvent] = []
        async for event in conversation:
            events.append(event)
            words = sum(isinstance(event, SpokenText) for event in events)
            if isinstance(event, SpokenText) and cuts and words % 5 == 0:
                cuts -= 1
                proxy.cut()
            if isinstance(event, TurnCompleted):
                await conversation.end_input()
    told = [part for part in heard(events).split() if part]
    assert " ".join(told) == STORY
    turns = [event for event in events if isinstance(event, TurnStarted)]
    assert [turn.turn_id for turn in turns] == sorted({turn.turn_id for turn in turns})
    assert [turn.source for turn in turns] == ["TEXT"] + ["RESUME"] * (len(turns) - 1)


async def test_the_end_of_a_turn_that_is_lost_with_its_stream_comes_over_the_next(store: Path) -> None:
    events: list[ConverseEvent] = []
    async with (
        serving(store, storyteller()) as server,
        proxied(server.address) as proxy,
        AsyncAvatarClient(proxy.address) as client,
        client.converse() as conversation,
    ):
        await conversation.send_text("Tell me a story.")
        async for event in conversation:
            events.append(event)
            if isinstance(event, ReplyFinished):
                proxy.hold_answers()
                await asyncio.sleep(LEAD_S + 0.5)  # the client plays all of it, and the service hears so
                proxy.cut()
            if isinstance(event, TurnCompleted):
                await conversation.end_input()
    (end,) = [event for event in events if isinstance(event, TurnCompleted)]
    assert any(isinstance(event, Resumed) for event in events)
    assert (end.turn_id, end.outcome, end.heard_text) == (1, "COMPLETED", STORY)
    assert len([event for event in events if isinstance(event, TurnStarted)]) == 1


async def test_words_that_are_spoken_into_a_breaking_connection_are_understood_once(store: Path) -> None:
    voice = (b"\x00\x40" * (RATE_HZ // 50))[: 2 * RATE_HZ // 50]
    async with (
        serving(store, storyteller()) as server,
        proxied(server.address) as proxy,
        AsyncAvatarClient(proxy.address) as client,
        client.converse(manual_turns=True) as conversation,
    ):

        async def speak() -> None:
            await conversation.begin_utterance()
            for piece in range(30):
                await conversation.send_pcm(voice)
                if piece == 20:
                    await resumed.wait()
                if piece in (7, 20):
                    proxy.cut()
                await asyncio.sleep(0.01)
            await conversation.end_utterance()

        events: list[ConverseEvent] = []
        resumed = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak())
            async for event in conversation:
                events.append(event)
                if isinstance(event, Resumed):
                    resumed.set()
                if isinstance(event, TurnCompleted):
                    await conversation.end_input()
    assert sum(isinstance(event, ConnectionLost) for event in events) >= 1
    transcripts = [event for event in events if isinstance(event, Transcript) and event.final]
    assert [transcript.text for transcript in transcripts] == ["hello"]
    assert transcripts[0].end_offset_s - transcripts[0].start_offset_s == pytest.approx(0.6, abs=0.03)


async def test_a_session_outlives_streams_that_reach_their_age(store: Path) -> None:
    ages = {"age_s": 1.0, "go_away_s": 0.6}
    async with (
        serving(store, storyteller(), sessions=ages) as server,
        AsyncAvatarClient(server.address) as client,
        client.converse() as conversation,
    ):
        events: list[ConverseEvent] = []
        async for event in conversation:
            events.append(event)
            if isinstance(event, Resumed):
                await conversation.send_text("Still there?")
            if isinstance(event, TurnCompleted):
                await conversation.end_input()
    kinds = [type(event) for event in events if isinstance(event, GoAway | Resumed | ConnectionLost | TurnCompleted)]
    assert kinds[:2] == [GoAway, Resumed], "it is left before it is ended"
    assert kinds[-1] is TurnCompleted
