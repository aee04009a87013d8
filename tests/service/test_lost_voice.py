"""Text to speech that fails for good in a conversation, over a real socket."""

from pathlib import Path

import grpc

from avatar.v1 import Code, NoticeReason, Stage, TurnOutcome
from avatar_service.engines.base import Message
from avatar_service.errors import EngineUnavailable, Fault
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.speech import FakeSpeech
from tests.service.calls import Fakes, serving


async def test_a_voice_that_is_lost_leaves_the_text_what_was_spoken_and_a_session_that_goes_on(store: Path) -> None:
    reply = "The moon is near. It goes around the earth. Really."
    error = EngineUnavailable("speak", "fake", "secret", Fault.RATE_LIMIT)
    speech = FakeSpeech(ttfb_s=0.01, rate=50.0, error=error, fails_on="earth", fails=1)
    fakes = Fakes(speech=speech, chat=FakeChat(Reply(reply, 0.0, 0.3), Reply("Fine.", 0.0, 0.0)))
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure()
        await call.text("How far?")
        await call.until("turn_completed")
        await call.text("And now?")
        assert await call.finish() is grpc.StatusCode.OK
    (notice,) = (told for told in call.all("notice") if told.reason == NoticeReason.NOTICE_REASON_SPEECH_FAILED)
    failed, after = call.all("turn_completed")
    assert (notice.stage, notice.turn_id, notice.status) == (Stage.STAGE_SPEAK, 1, failed.status)
    assert (failed.outcome, failed.status.code) == (TurnOutcome.TURN_OUTCOME_FAILED, Code.CODE_UNAVAILABLE)
    assert failed.status.error_info.reason == "SPEECH_FAILED"
    assert dict(failed.status.error_info.metadata) == {"stage": "speak", "engine": "fake", "fault": "rate_limit"}
    assert "".join(piece.text for piece in call.all("reply_text") if piece.turn_id == 1) == reply
    assert (failed.generated_text, failed.heard_text, failed.degraded) == (reply, "The moon is near.", True)
    voice = b"".join(audio.data for audio in call.all("audio") if audio.turn_id == 1)
    said = speech.voice_of("The moon is near.")
    assert voice[: len(said)] == said
    assert len(voice) - len(said) < 1_920
    assert (after.outcome, after.heard_text) == (TurnOutcome.TURN_OUTCOME_COMPLETED, "Fine.")
    assert fakes.chat.requests[1][-2] == Message("assistant", reply)
