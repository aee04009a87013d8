"""A voice made at one rate and heard at another: as long, as many frames, the same lips, the same words heard."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from avatar_service.events import ReplyFinished, TurnCompleted
from avatar_service.media.timeline import Timeline
from tests.scenario import Recording, Scenario

TEXT = "The moon is near. It is round, and rather far from here."
SENTENCES = ("The moon is near.", "It is round, and rather far from here.")
NTSC = Fraction(30_000, 1_001)


async def said(made_hz: int, heard_hz: int, fps: Fraction = Fraction(25), **media: float) -> tuple[Recording, Scenario]:
    scenario = (
        Scenario()
        .speech(rate_hz=made_hz)
        .lip_sync(hashes=True)
        .configured(rate_hz=heard_hz, fps=fps, **media)
        .say(0.1, TEXT)
        .listen_until(0.2)
    )
    return await scenario.run(), scenario


@pytest.mark.parametrize("fps", [Fraction(25), NTSC])
@pytest.mark.parametrize(
    ("made_hz", "heard_hz"), [(24_000, 8_000), (24_000, 48_000), (44_100, 24_000), (8_000, 16_000), (22_050, 44_100)]
)
async def test_every_chunk_has_its_frames_time_at_the_clients_rate_and_none_is_missing(
    made_hz: int, heard_hz: int, fps: Fraction
) -> None:
    recording, scenario = await said(made_hz, heard_hz, fps)
    timeline = Timeline(heard_hz, fps)
    chunks = [chunk for _, chunk in recording.chunks()]
    samples = sum(len(scenario.fake_speech.voice_of(sentence)) // 2 for sentence in SENTENCES)
    count = ceil(Fraction(samples, made_hz) * fps)
    assert [chunk.index for chunk in chunks] == list(range(count))
    assert [len(chunk.pcm) // 2 for chunk in chunks] == [timeline.chunk_samples(index) for index in range(count)]
    assert [frame.index for _, frame in recording.frames()] == list(range(count))
    assert recording.only(ReplyFinished).media_s == pytest.approx(float(count / fps))
    loud = np.abs(np.frombuffer(recording.voice(), np.int16).astype(int)) > 1_000
    assert np.flatnonzero(loud)[-1] / heard_hz == pytest.approx(samples / made_hz, abs=0.002)


async def test_lips_are_the_same_whatever_rate_the_client_hears() -> None:
    recordings = [(await said(24_000, heard_hz))[0] for heard_hz in (8_000, 24_000, 44_100)]
    lips = [[frame.image for _, frame in recording.frames()] for recording in recordings]
    assert lips[0] == lips[1] == lips[2]


async def test_the_words_heard_are_the_same_whatever_rate_the_client_hears() -> None:
    heard = [(await said(24_000, heard_hz))[0].only(TurnCompleted).heard_text for heard_hz in (8_000, 24_000, 48_000)]
    assert heard == [TEXT, TEXT, TEXT]


async def test_behind_a_voice_whose_encoding_is_late_there_is_silence_for_its_end() -> None:
    # 1.44 s of voice end just with a frame: without a further one an encoder would keep the last 6.5 ms to itself.
    scenario = Scenario().configured(codec_delay_s=0.0065).say(0.1, "a" * 28 + ".").listen_until(0.2)
    scenario = scenario.speech(seconds_per_character=1.44 / 29)
    recording = await scenario.run()
    assert len(recording.chunks()) == len(recording.frames()) == 37
    assert not any(recording.voice()[-2 * 960 :])
