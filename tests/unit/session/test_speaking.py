"""One text spoken: when it ends, and how it is stopped."""

import asyncio
from dataclasses import replace

import pytest

from avatar_service import clock
from avatar_service.engines.base import Engines, Voice
from avatar_service.errors import EngineRejected
from avatar_service.events import Failure, Media, Outcome, ReplyFinished, TurnCompleted
from avatar_service.session.speaking import speak_once
from avatar_service.turn.turn import MediaSettings
from tests.fakes.chat import FakeChat
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber
from tests.fakes.voice_activity import FakeVoiceActivity
from tests.scenario import MEDIA, Recording, Scenario

TEXT = "The moon is near. It goes around the earth once a month."
VOICE = Voice("rachel", "voice-model")
UNPACED = replace(MEDIA, unpaced=True)
AUDIO_ONLY = replace(MEDIA, audio_only=True)


def engines(speech: FakeSpeech, lip_sync: FakeLipSync | None = None) -> Engines:
    return Engines(FakeVoiceActivity(), FakeTranscriber(), FakeChat(), speech, lip_sync or FakeLipSync())


async def spoken(speech: FakeSpeech, media: MediaSettings = MEDIA, lip_sync: FakeLipSync | None = None) -> Recording:
    recording = Recording()
    await speak_once(TEXT, VOICE, media, engines(speech, lip_sync), recording)
    return recording


async def test_the_voice_is_that_of_say_to_the_bit() -> None:
    speech = FakeSpeech()
    alone = await spoken(speech)
    scenario = Scenario().say(0.0, TEXT)
    conversation = await scenario.run()
    assert alone.voice() == conversation.voice()
    assert speech.requests == scenario.fake_speech.requests
    assert [frame.image for _, frame in alone.frames()] == [frame.image for _, frame in conversation.frames()]


async def test_it_is_over_when_the_last_media_are_sent() -> None:
    recording = await spoken(FakeSpeech(rate=50.0))
    assert recording.time(ReplyFinished) == pytest.approx(recording.times(Media)[-1])
    assert recording.time(TurnCompleted) == pytest.approx(recording.time(ReplyFinished))
    assert recording.time(TurnCompleted) - recording.time(Media) == pytest.approx(len(TEXT) * 0.05 - 1.0, abs=0.1)


@pytest.mark.parametrize("media", [MEDIA, UNPACED, AUDIO_ONLY], ids=["paced", "unpaced", "audio only"])
@pytest.mark.parametrize("at_s", [0.05, 0.3, 0.8, 1.5])
async def test_a_cancel_stops_everything_within_100_ms(media: MediaSettings, at_s: float) -> None:
    speech, recording = FakeSpeech(rate=1.2, closing_s=0.05), Recording()
    speaking = asyncio.create_task(speak_once(TEXT, VOICE, media, engines(speech), recording))
    await asyncio.sleep(at_s)
    assert speech.running == 1
    cancelled_s = clock.now()
    speaking.cancel()
    await asyncio.wait({speaking})
    assert clock.now() - cancelled_s < 0.1
    assert speech.running == 0
    sent = len(recording.timed)
    await asyncio.sleep(5.0)
    assert len(recording.timed) == sent
    assert recording.all(TurnCompleted) == []


async def test_unpaced_it_takes_as_long_as_its_making() -> None:
    recording = await spoken(FakeSpeech(ttfb_s=0.1, rate=100.0), UNPACED, FakeLipSync(render_s=0.01))
    completed = recording.only(TurnCompleted)
    assert recording.time(TurnCompleted) == pytest.approx(0.1 + 0.05 + 69 * 0.01, abs=0.2)
    assert completed.frames_held == 0
    assert completed.frames_sent == len(recording.chunks()) == 69


async def test_without_frames_the_voice_goes_at_once_and_nothing_is_rendered() -> None:
    lip_sync = FakeLipSync()
    recording = await spoken(FakeSpeech(ttfb_s=0.1, rate=50.0), AUDIO_ONLY, lip_sync)
    assert recording.time(Media) == pytest.approx(0.1, abs=0.002)
    assert lip_sync.requests == []
    completed = recording.only(TurnCompleted)
    assert (completed.frames_sent, completed.frames_held, completed.audio_only) == (0, 0, True)


@pytest.mark.parametrize("media", [MEDIA, UNPACED, AUDIO_ONLY], ids=["paced", "unpaced", "audio only"])
async def test_a_voice_that_is_refused_is_told_at_the_end(media: MediaSettings) -> None:
    speech = FakeSpeech(error=EngineRejected("speak", "fake", "secret"), fails_on="month")
    recording = await spoken(speech, media)
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.FAILED
    assert isinstance(completed.failure, Failure)
    assert completed.failure.stage == "speak"
    assert recording.events[-1] == completed
