"""A second engine takes the place of a first that has failed, before anything was heard or read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.engines.base import (
    ChatDelta,
    ChatOptions,
    Message,
    SpeechContext,
    SpeechPiece,
    TranscriptionOptions,
    Voice,
    VoiceInfo,
)
from avatar_service.engines.second import ChatModelWithSecond, SpeechWithSecond, TranscriberWithSecond
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.media.types import Utterance
from avatar_service.settings import LimitSettings
from avatar_service.watching import watched
from tests.unit.engines.test_policy import Told

LIMITS = LimitSettings.model_validate({"breaker_failures": 1_000})
OPTIONS = ChatOptions("first-model", 150, 0.7)
VOICE = Voice("first-voice", "first-model", stability=0.3)
UTTERANCE = Utterance(1, bytes(3_200), 16_000, 0.0, 0.1)


def fault(kind: Fault) -> EngineError:
    (error,) = (error for error in (EngineTimeout, EngineUnavailable, EngineRejected) if kind in error.faults)
    return error("think", "first", "no", kind)


@dataclass
class Engine:
    """Answers with its outputs as every adapter does, through the policy; fails as told, after so many of them."""

    name: str
    outputs: tuple[str, ...] = ("Well, ", "yes.")
    failure: EngineError | None = None
    fails_after: int = 0
    silent_s: float = 0.0
    rate_hz: int = 24_000
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Model, and voice or text, of each attempt."""
    asked_s: list[float] = field(default_factory=list)
    open: int = 0

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        async def ask() -> str:
            return "".join([output async for output in self._answer(options.model, options.language)])

        return await policy.call("transcribe", self.name, lambda _: ask(), LIMITS, LIMITS.first_output_s)

    async def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        async with aclosing(
            policy.stream("think", self.name, lambda _: self._answer(options.model, messages[-1].text), LIMITS)
        ) as outputs:
            async for output in outputs:
                yield ChatDelta(output)

    @asynccontextmanager
    async def speaking(self, voice: Voice) -> AsyncIterator[SpeechContext]:
        yield Speaking(self, voice)

    async def voices(self) -> Sequence[VoiceInfo]:
        return [VoiceInfo(self.name, Voice(self.name, ""))]

    async def _answer(self, model: str, what: str) -> AsyncGenerator[str, None]:
        self.asked.append((model, what))
        self.asked_s.append(clock.now())
        self.open += 1
        try:
            await asyncio.sleep(self.silent_s)
            for output in self.outputs[: self.fails_after if self.failure else None]:
                yield output
            if self.failure:
                raise self.failure
        finally:
            self.open -= 1


@dataclass
class Speaking:
    """A turn's voice."""

    engine: Engine
    voice: Voice

    async def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        def ask(_: object) -> AsyncGenerator[str, None]:
            return self.engine._answer(self.voice.model, self.voice.voice_id)

        async with aclosing(policy.stream("speak", self.engine.name, ask, LIMITS)) as outputs:
            async for output in outputs:
                yield SpeechPiece(output.encode())


async def chat(first: Engine, second: Engine, model: str = "second-model") -> str:
    either = ChatModelWithSecond(first, second, "second", LIMITS, model)
    async with aclosing(either.complete([Message("user", "Is it near?")], OPTIONS)) as deltas:
        return "".join([delta.text async for delta in deltas])


async def transcribe(first: Engine, second: Engine) -> str:
    either = TranscriberWithSecond(first, second, "second", LIMITS, "second-model")
    return await either.transcribe(UTTERANCE, TranscriptionOptions("first-model", "en"))


async def said(context: SpeechContext) -> str:
    async with aclosing(context.say("Well, yes.", "")) as pieces:
        return b"".join([piece.pcm async for piece in pieces]).decode()


async def speak(first: Engine, second: Engine) -> str:
    async with SpeechWithSecond(first, second, "second", LIMITS, "second-voice", "second-model").speaking(
        VOICE
    ) as turn:
        return await said(turn)


Use = Callable[[Engine, Engine], Awaitable[str]]
USES = pytest.mark.parametrize("use", [transcribe, chat, speak])
ALL = pytest.mark.parametrize("kind", [kind for kind in Fault if kind not in (Fault.BAD_REQUEST, Fault.FILTERED)])


@USES
async def test_a_first_engine_that_works_is_asked_alone(use: Use) -> None:
    first, second = Engine("first"), Engine("second")
    assert await use(first, second) == "Well, yes."
    assert len(first.asked) == 1
    assert second.asked == []


@USES
@ALL
async def test_a_first_engine_that_has_failed_for_good_is_replaced_and_it_is_told_once(use: Use, kind: Fault) -> None:
    first, second, told = Engine("first", failure=fault(kind)), Engine("second"), Told()
    with watched(told), capture_logs() as lines:
        assert await use(first, second) == "Well, yes."
    assert second.asked[0][0] == "second-model"
    assert len(first.asked) == (3 if fault(kind).retryable else 1)
    assert len(told.retries) == len(first.asked) - 1
    assert told.fallbacks == [(first.failure, "second")]
    (line,) = [line for line in lines if line["event"] == "fell_back"]
    assert (line["engine"], line["fault"], line["to"]) == ("first", kind.value, "second")


@USES
@pytest.mark.parametrize("kind", [Fault.BAD_REQUEST, Fault.FILTERED])
async def test_what_any_engine_would_refuse_is_not_asked_of_the_second(use: Use, kind: Fault) -> None:
    first, second, told = Engine("first", failure=fault(kind)), Engine("second"), Told()
    with watched(told), pytest.raises(EngineRejected) as raised:
        await use(first, second)
    assert raised.value is first.failure
    assert (second.asked, told.fallbacks) == ([], [])


@USES
async def test_if_both_fail_the_second_s_error_is_raised(use: Use) -> None:
    refusal = EngineRejected("think", "second", "no", Fault.QUOTA)
    first, second = Engine("first", failure=fault(Fault.PERMISSION)), Engine("second", failure=refusal)
    with pytest.raises(EngineRejected) as raised:
        await use(first, second)
    assert raised.value is refusal


@pytest.mark.parametrize("use", [chat, speak])
async def test_after_the_first_output_the_engine_is_not_changed(use: Use) -> None:
    first, second = Engine("first", failure=fault(Fault.CONNECTION), fails_after=1), Engine("second")
    with pytest.raises(EngineUnavailable):
        await use(first, second)
    assert (len(first.asked), second.asked) == (1, [])


@USES
async def test_a_silent_first_engine_leaves_the_second_time_for_its_first_output(use: Use) -> None:
    first, second = Engine("first", silent_s=60.0), Engine("second", silent_s=4.9)
    began_s = clock.now()
    assert await use(first, second) == "Well, yes."
    assert second.asked_s[0] - began_s == pytest.approx(LIMITS.stage_s - LIMITS.first_output_s)
    assert clock.now() - began_s < LIMITS.stage_s
    assert first.open == second.open == 0


@USES
async def test_both_together_stay_within_the_stage_s_budget(use: Use) -> None:
    first, second = Engine("first", silent_s=60.0), Engine("second", silent_s=60.0)
    began_s = clock.now()
    with pytest.raises(EngineTimeout):
        await use(first, second)
    assert clock.now() - began_s == pytest.approx(LIMITS.stage_s)


async def test_where_one_attempt_may_take_the_whole_budget_each_engine_has_half_of_it() -> None:
    limits = LIMITS.model_copy(update={"stage_s": 4.0})
    first, second = Engine("first", silent_s=60.0), Engine("second")
    either = TranscriberWithSecond(first, second, "second", limits)
    began_s = clock.now()
    assert await either.transcribe(UTTERANCE, TranscriptionOptions("model")) == "Well, yes."
    assert second.asked_s[0] - began_s == pytest.approx(2.0)


async def test_without_names_of_its_own_the_second_is_asked_for_the_same() -> None:
    first, second = Engine("first", failure=fault(Fault.QUOTA)), Engine("second")
    await chat(first, second, model="")
    async with SpeechWithSecond(first, second, "second", LIMITS).speaking(VOICE) as turn:
        await said(turn)
    assert second.asked == [("first-model", "Is it near?"), ("first-model", "first-voice")]


async def test_a_turn_s_voice_changes_once_and_the_next_turn_begins_with_the_first_engine() -> None:
    first, second, told = Engine("first", failure=fault(Fault.QUOTA)), Engine("second"), Told()
    speech = SpeechWithSecond(first, second, "second", LIMITS, "second-voice")
    with watched(told):
        async with speech.speaking(VOICE) as turn:
            assert await said(turn) == "Well, yes."
            first.failure = None
            assert await said(turn) == "Well, yes."
        assert second.asked == [("first-model", "second-voice")] * 2
        async with speech.speaking(VOICE) as turn:
            assert await said(turn) == "Well, yes."
    assert first.asked == [("first-model", "first-voice")] * 2
    assert len(told.fallbacks) == 1


async def test_leaving_early_closes_the_engine_that_speaks() -> None:
    for first in (Engine("first"), Engine("first", failure=fault(Fault.QUOTA))):
        second = Engine("second")
        async with (
            SpeechWithSecond(first, second, "second", LIMITS).speaking(VOICE) as turn,
            aclosing(turn.say("Well, yes.", "")) as pieces,
        ):
            assert (await anext(pieces)).pcm == b"Well, "
            assert first.open + second.open == 1
        assert first.open + second.open == 0


async def test_the_voices_to_choose_from_are_the_first_engine_s() -> None:
    speech = SpeechWithSecond(Engine("first"), Engine("second"), "second", LIMITS)
    assert [voice.voice_id for voice in await speech.voices()] == ["first"]
    assert speech.rate_hz == 24_000


def test_two_rates_in_one_turn_are_refused() -> None:
    with pytest.raises(ValueError, match="24000 and 44100 Hz"):
        SpeechWithSecond(Engine("first"), Engine("second", rate_hz=44_100), "second", LIMITS)
