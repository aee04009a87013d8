"""A turn as a whole: what the client gets, in which order, and when."""

import pytest

from avatar_service.errors import EngineUnavailable
from avatar_service.events import (
    Media,
    Notice,
    Outcome,
    ReplyFinished,
    ReplyText,
    State,
    StateChanged,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.interleave import FIRST_FRAME_WAIT_S
from tests.fakes.lip_sync import image_of
from tests.scenario import Recording, Scenario

REPLY = "The moon is near. It goes around the earth once a month."
SENTENCES = ["The moon is near.", "It goes around the earth once a month."]
CHUNK_S = 0.04


def is_voice(event: Media) -> bool:
    return isinstance(event.packet, SpeechChunk)


def is_frame(event: Media) -> bool:
    return isinstance(event.packet, Frame)


def longest_lead_s(recording: Recording) -> float:
    """How far the media sent were ahead of a client that plays from the first chunk on and stalls where it has none."""
    begun_s, lead_s = recording.chunks()[0][0], 0.0
    for at_s, chunk in recording.chunks():
        begun_s = max(begun_s, at_s - chunk.index * CHUNK_S)
        lead_s = max(lead_s, (chunk.index + 1) * CHUNK_S - (at_s - begun_s))
    return lead_s


async def test_the_client_hears_the_whole_reply_contiguous_and_padded_to_a_frame() -> None:
    scenario = Scenario().text(0.0, "How far is the moon?").reply(REPLY)
    recording = await scenario.run()
    voice = b"".join(map(scenario.fake_speech.voice_of, SENTENCES))
    assert [chunk.index for _, chunk in recording.chunks()] == list(range(len(recording.chunks())))
    assert recording.voice()[: len(voice)] == voice
    assert not any(recording.voice()[len(voice) :])
    assert len(recording.voice()) % 1_920 == 0
    assert len(recording.voice()) - len(voice) < 1_920
    assert recording.only(ReplyFinished).media_s == pytest.approx(len(recording.voice()) / 48_000)


async def test_the_client_sees_one_frame_for_each_chunk_each_after_its_chunk() -> None:
    recording = await Scenario().text(0.0, "hello").reply(REPLY).run()
    sent: set[int] = set()
    for event in recording.all(Media):
        if isinstance(event.packet, SpeechChunk):
            sent.add(event.packet.index)
        else:
            assert event.packet.index in sent
    indices = [frame.index for _, frame in recording.frames()]
    assert indices == sorted(set(indices))
    completed = recording.only(TurnCompleted)
    assert completed.frames_sent == len(indices)
    assert completed.frames_sent + completed.frames_held == len(recording.chunks())


async def test_with_quick_engines_no_frame_is_held() -> None:
    recording = await Scenario().text(0.0, "hello").reply(REPLY).speech(rate=20.0).run()
    assert recording.only(TurnCompleted).frames_held == 0
    assert [frame.index for _, frame in recording.frames()] == [chunk.index for _, chunk in recording.chunks()]
    assert [frame.loop_index for _, frame in recording.frames()][:12] == [*range(10), 0, 1]


async def test_the_frames_are_those_rendered_from_the_voice() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY).speech(rate=20.0)
    recording = await scenario.run()
    requests = scenario.fake_lip_sync.requests
    pictures = [
        image_of(index, weight)
        for request in requests
        for index, weight in zip(request.frame_indices, request.mouth_weights, strict=True)
    ]
    assert [frame.image for _, frame in recording.frames()] == pictures
    assert {request.avatar for request in requests} == {scenario.config.avatar.key}
    maxima = [request.mel_max for request in requests]
    assert maxima == [maxima[0] + 0.25 * number for number in range(len(maxima))]


async def test_what_a_turn_tells_comes_in_the_order_of_the_contract() -> None:
    recording = await Scenario().user_speech(0.5, 1.5, "How far?").reply("Not far. Really.").run()
    kinds = [type(event) for event in recording.events if not isinstance(event, StateChanged)]
    ordered = [TurnStarted, Transcript, ReplyText, Media, ReplyFinished, TurnCompleted]
    assert [kinds.index(kind) for kind in ordered] == sorted(kinds.index(kind) for kind in ordered)
    assert kinds[-1] is TurnCompleted
    assert not [kind for kind in kinds[kinds.index(ReplyFinished) :] if kind is Media]
    assert [event.state for event in recording.all(StateChanged)] == [
        State.LISTENING,
        State.THINKING,
        State.SPEAKING,
        State.IDLE,
    ]
    assert "".join(event.text for event in recording.all(ReplyText)) == "Not far. Really."
    assert recording.only(Transcript).text == "How far?"


async def test_a_turn_ends_when_it_has_been_played() -> None:
    recording = await Scenario().text(0.0, "hello").reply(REPLY).speech(rate=50.0).run()
    media_s = recording.only(ReplyFinished).media_s
    played_s = recording.time(Media) + media_s
    assert recording.time(TurnCompleted) == pytest.approx(played_s, abs=0.001)
    assert recording.time(ReplyFinished) == pytest.approx(played_s - 1.0, abs=CHUNK_S)


@pytest.mark.parametrize("rate", [1.5, 4.0, 50.0])
@pytest.mark.parametrize("lead_s", [0.3, 1.0, 2.0])
async def test_media_are_never_further_ahead_than_the_lead(rate: float, lead_s: float) -> None:
    recording = await Scenario().text(0.0, "hello").reply(REPLY).speech(rate=rate).configured(lead_s=lead_s).run()
    assert longest_lead_s(recording) <= lead_s + 1e-6
    if rate == 50.0:
        assert longest_lead_s(recording) > lead_s - CHUNK_S


async def test_the_first_sound_waits_for_its_frame() -> None:
    recording = await Scenario().text(0.0, "hello").reply("Near.").speech(rate=50.0).lip_sync(render_s=0.05).run()
    assert recording.time(Media, is_voice) == pytest.approx(recording.time(Media, is_frame), abs=1e-6)


async def test_the_first_sound_waits_no_longer_than_its_limit() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY, ttft_s=0.1, duration_s=0.0).lip_sync(hangs=range(1))
    recording = await scenario.speech(ttfb_s=0.1, rate=50.0).run()
    first_voice_s = 0.2 + CHUNK_S / 50
    assert recording.time(Media) == pytest.approx(first_voice_s + FIRST_FRAME_WAIT_S, abs=0.01)


async def test_frames_that_come_late_are_held_and_counted_and_the_voice_goes_on() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY).lip_sync(render_s=0.06)
    recording = await scenario.run()
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.COMPLETED
    assert completed.frames_held > 0
    assert completed.frames_sent > 0
    assert completed.frames_sent + completed.frames_held == len(recording.chunks())
    assert completed.starved_s == 0.0
    begun_s = recording.time(Media, is_voice)
    for at_s, frame in recording.frames():
        assert at_s - begun_s < (frame.index + 1) * CHUNK_S, "sent after its time to be shown"
    voice = b"".join(map(scenario.fake_speech.voice_of, SENTENCES))
    assert recording.voice()[: len(voice)] == voice


@pytest.mark.parametrize(("render_s", "least"), [(0.045, 0.7), (0.06, 0.5), (0.1, 0.25), (0.2, 0.06)])
async def test_a_renderer_that_is_too_slow_shows_what_it_can(render_s: float, least: float) -> None:
    """40 ms a frame would keep up: of what a slower one can render, most is shown."""
    scenario = Scenario().text(0.0, "hello").reply(" ".join([REPLY] * 4)).lip_sync(render_s=render_s)
    completed = (await scenario.run()).only(TurnCompleted)
    assert completed.frames_sent >= least * (completed.frames_sent + completed.frames_held)


async def test_frames_that_nobody_could_see_any_more_are_not_rendered() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY).lip_sync(render_s=0.2)
    recording = await scenario.run()
    frames = sum(len(request.frame_indices) for request in scenario.fake_lip_sync.requests)
    assert frames < len(recording.chunks()) / 2


async def test_when_lip_sync_fails_the_voice_is_whole_and_the_client_is_told_once() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY).lip_sync(fails=range(1_000))
    recording = await scenario.run()
    voice = b"".join(map(scenario.fake_speech.voice_of, SENTENCES))
    assert recording.voice()[: len(voice)] == voice
    assert recording.frames() == []
    assert [notice.reason for notice in recording.all(Notice)] == ["VIDEO_LOST"]
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.COMPLETED
    assert completed.degraded_by == ("VIDEO_LOST",)
    assert completed.frames_held == len(recording.chunks())


async def test_video_returns_by_itself_when_lip_sync_does() -> None:
    recording = await Scenario().text(0.0, "hello").reply(REPLY).lip_sync(fails=range(1)).run()
    indices = [frame.index for _, frame in recording.frames()]
    assert indices
    assert indices[-1] == len(recording.chunks()) - 1
    assert min(indices) > 3
    assert [notice.reason for notice in recording.all(Notice)] == ["VIDEO_LOST", "VIDEO_RESTORED"]
    assert recording.time(Notice, lambda notice: notice.reason == "VIDEO_RESTORED") <= recording.frames()[0][0]
    assert recording.only(TurnCompleted).degraded_by == ("VIDEO_LOST",)


async def test_when_lip_sync_hangs_the_turn_still_ends_with_its_play_out() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY).lip_sync(hangs=range(1, 1_000))
    recording = await scenario.run()
    media_s = recording.only(ReplyFinished).media_s
    assert recording.time(TurnCompleted) == pytest.approx(recording.time(Media) + media_s, abs=0.1)
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_speech_slower_than_real_time_starves_the_clock_and_leaves_no_gap() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY).speech(rate=0.8)
    recording = await scenario.run()
    voice = b"".join(map(scenario.fake_speech.voice_of, SENTENCES))
    assert recording.voice()[: len(voice)] == voice
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.COMPLETED
    took_s = recording.time(TurnCompleted) - recording.time(Media)
    assert completed.starved_s == pytest.approx(took_s - completed.media_s, abs=0.01)
    assert completed.starved_s > 0.2
    assert "SPEECH_STARVED" in [notice.reason for notice in recording.all(Notice)]


async def test_starving_is_told_once_a_turn() -> None:
    recording = await Scenario().text(0.0, "hello").reply(REPLY).speech(rate=0.8).run()
    assert [notice.reason for notice in recording.all(Notice)].count("SPEECH_STARVED") == 1


async def test_an_empty_transcript_skips_the_turn() -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "  ")
    recording = await scenario.run()
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.SKIPPED
    assert recording.only(Transcript).text == ""
    assert recording.all(Media) == []
    assert scenario.chat.requests == []


async def test_an_empty_reply_completes_without_media() -> None:
    recording = await Scenario().text(0.0, "hello").reply("").run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED
    assert recording.all(Media) == []
    assert recording.all(ReplyFinished) == []


async def test_a_slow_client_gets_everything_and_little_waits_for_it() -> None:
    scenario = Scenario().text(0.0, "hello").reply(" ".join([REPLY] * 6)).speech(rate=50.0).slow_client(0.03)
    recording = await scenario.run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED
    voice = b"".join(map(scenario.fake_speech.voice_of, SENTENCES * 6))
    assert recording.voice()[: len(voice)] == voice
    taken = len(recording.chunks())
    assert taken > 300
    # Vendors are read no faster than play-out allows: the last request for speech came seconds after the first.
    first_s, last_s = recording.time(Media), recording.times(Media)[-1]
    assert last_s - first_s > 10.0


async def test_the_vendors_are_not_read_further_ahead_than_the_channels_allow() -> None:
    """Of ten sentences of 19 s in all, the ninth is asked for only when half a minute of voice is not waiting."""
    scenario = Scenario().text(0.0, "hello").reply(" ".join([REPLY] * 10)).speech(rate=1_000.0).interrupt(1.5)
    await scenario.run()
    said_s = sum(len(text) for text, _ in scenario.fake_speech.requests) * 0.05
    assert said_s < 10.0 + 1.0 + 1.5 + 4.0


async def test_speech_that_fails_ends_the_turn_with_the_text_and_what_was_said_before() -> None:
    error = EngineUnavailable("speak", "fake", "gone")
    scenario = Scenario().text(0.0, "one").reply(REPLY, duration_s=0.0).speech(error=error, fails_on="earth")
    recording = await scenario.run()
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.FAILED
    assert completed.failure is not None
    assert completed.failure.stage == "speak"
    assert completed.generated_text == REPLY
    assert scenario.fake_speech.running == 0


async def test_the_sentence_before_is_told_to_text_to_speech() -> None:
    scenario = Scenario().text(0.0, "hello").reply(REPLY)
    await scenario.run()
    assert scenario.fake_speech.requests == [(SENTENCES[0], ""), (SENTENCES[1], SENTENCES[0])]


async def test_moments_are_measured_from_the_users_last_sound() -> None:
    scenario = (
        Scenario()
        .user_speech(0.512, 2.048, "hello", delay_s=0.3)
        .reply("Hello to you there.", ttft_s=0.2, duration_s=0.4)
        .speech(ttfb_s=0.15, rate=50.0)
        .lip_sync(render_s=0.01)
    )
    recording = await scenario.run()
    timings = recording.only(TurnCompleted).timings
    endpointing_s = timings.between_s("speech_ended", "turn_started")
    assert endpointing_s == pytest.approx(0.5, abs=0.05)
    assert timings.between_s("transcription_started", "transcribed") == pytest.approx(0.3)
    assert timings.between_s("chat_started", "first_token") == pytest.approx(0.2)
    assert timings.between_s("chat_started", "reply_written") == pytest.approx(0.6)
    assert timings.between_s("speech_started", "first_speech") == pytest.approx(0.15 + 0.02 / 50)
    assert timings.between_s("render_started", "first_frame_rendered") == pytest.approx(0.04)
    first_media_s = recording.time(Media)
    assert timings.between_s("speech_ended", "first_audio_sent") == pytest.approx(first_media_s - 2.048, abs=0.06)
    assert timings.speech_s == pytest.approx(0.15 + len("Hello to you there.") * 0.05 / 50)


async def test_what_a_turn_used_is_counted() -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "one two three").reply(REPLY)
    recording = await scenario.run()
    completed = recording.only(TurnCompleted)
    assert completed.spoken_characters == sum(map(len, SENTENCES))
    assert completed.prompt_tokens == len("Be brief. one two three".split())
    assert completed.completion_tokens == len(REPLY.split())
    assert completed.frames_rendered == len(recording.chunks())
    assert completed.transcribed_s == pytest.approx(1.0 + 0.3 + 0.5, abs=0.07)
    assert completed.generated_text == completed.heard_text == REPLY
