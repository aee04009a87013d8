"""A voice and its frames over ten minutes: the clock of a turn does not drift by a nanosecond."""

import asyncio
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from avatar.v1 import AudioChunk, ConverseResponse
from avatar.v1 import Frame as WireFrame
from avatar_service import clock
from avatar_service.events import Media, ReplyFinished
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.media.wire_audio import AudioEncoder, AudioEncoding
from avatar_service.rpc.to_proto import ResponseBuilder
from avatar_service.stages.voice_fork import VoiceFork
from avatar_service.turn.delivery import Delivery
from avatar_service.turn.pacing import until_played
from avatar_service.turn.turn import Turn
from tests.fakes.lip_sync import FakeLipSync
from tests.unit.stages.collecting import Events
from tests.unit.turn.packets import turn

RATE_HZ = 24_000
LONG_S = 600
NS = 1_000_000_000


async def delivered(paced: Turn, seconds: int) -> Events:
    """Have so much silence spoken, and rendered, and played."""
    out = Events()
    delivery = Delivery(paced, RATE_HZ, FakeLipSync(render_s=0.0001), out)
    fork = VoiceFork(RATE_HZ, delivery.outputs)

    async def speak() -> None:
        for _ in range(seconds):
            await fork.push(bytes(2 * RATE_HZ))
        await fork.finish()
        fork.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak())
        await delivery.deliver()
    await until_played(paced)
    return out


def on_the_wire(out: Events, fps: Fraction) -> tuple[list[AudioChunk], list[WireFrame]]:
    """The media as the client gets them."""
    timeline = Timeline(RATE_HZ, fps)
    builder: Any = ResponseBuilder(ConverseResponse, timeline, lambda: AudioEncoder(AudioEncoding.LINEAR16, RATE_HZ))
    responses = [response for e in out.sent if isinstance(e, Media) for response in builder.build(e)]
    audio = [response.audio for response in responses if response.HasField("audio")]
    return audio, [response.frame for response in responses if response.HasField("frame")]


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30_000, 1_001)])
async def test_over_ten_minutes_voice_and_frames_lie_where_they_belong(fps: Fraction) -> None:
    paced, began_s = turn(fps=fps), clock.now()
    out = await delivered(paced, LONG_S)
    audio, frames = on_the_wire(out, fps)
    count = -(-LONG_S * fps.numerator // fps.denominator)

    assert [frame.index for frame in frames] == list(range(count))
    assert [frame.offset.ToNanoseconds() for frame in frames] == [NS * i // fps for i in range(count)]

    offsets = [chunk.offset.ToNanoseconds() for chunk in audio]
    assert all(offset < following for offset, following in pairwise(offsets))
    samples = 0
    for index, chunk in enumerate(audio):
        assert chunk.index == index
        assert chunk.sample_count * 2 == len(chunk.data)
        assert samples == RATE_HZ * index // fps, "no sample is lost or told twice"
        samples += chunk.sample_count
    assert len(audio) == count

    sent_at_s = [
        at_s - began_s
        for at_s, e in zip(out.times_s, out.sent, strict=True)
        if isinstance(e, Media) and isinstance(e.packet, SpeechChunk)
    ]
    first_s = sent_at_s[0]
    expected_s = [max(0.0, float((index + 1) / fps) - paced.media.lead_s) for index in range(count)]
    assert [at_s - first_s for at_s in sent_at_s[count // 2 :]] == pytest.approx(expected_s[count // 2 :], abs=1e-3)
    finished = next(event for event in out.sent if isinstance(event, ReplyFinished))
    assert finished.media_s == pytest.approx(float(count / fps), abs=1e-9)
    assert clock.now() - began_s - first_s == pytest.approx(finished.media_s, abs=1e-3)
    assert (paced.play_out.stalls, paced.interleaving.held, paced.frames_shed) == (0, 0, 0)
