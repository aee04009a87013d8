"""An engine that fails again and again: another one is asked, or it is left alone."""

from pathlib import Path

from avatar.v1 import NoticeReason, Stage
from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.settings import SandboxSettings
from tests.chaos.playing import ask, nothing_leaks, opened, outcome, reasons, works
from tests.chaos.system import ATTEMPTS, WHOLE_REPLY, counted, running_system, script

DOWN = [{"on": "any", "fault": "status", "status": 503}]
CHAT = "/openai/v1/chat/completions"


async def test_where_all_vendors_are_down_second_engines_answer_and_the_turn_says_so(tmp_path: Path) -> None:
    other = Sandbox(SandboxSettings(), script())
    url = await other.start("127.0.0.1", 0)
    try:
        async with running_system(tmp_path, second_at=url) as system:
            call = await opened(system)
            await works(call, by_voice=True)
            system.sandbox.faults.replace(DOWN)
            async with nothing_leaks(system):
                await ask(call, by_voice=True)
                completed = await call.until("turn_completed", lambda told: told.turn_id == 2)
            assert outcome(completed) == "COMPLETED"
            assert completed.heard_text == WHOLE_REPLY
            assert reasons(completed.degraded_reasons) == ("FALLBACK",)
            told = [notice for notice in call.all("notice") if notice.reason == NoticeReason.NOTICE_REASON_FALLBACK]
            assert [notice.stage for notice in told] == [Stage.STAGE_TRANSCRIBE, Stage.STAGE_THINK, Stage.STAGE_SPEAK]
            system.sandbox.faults.clear()
            await works(call, by_voice=True)
            await call.finish()
    finally:
        await other.aclose()


async def test_an_engine_that_has_failed_in_a_row_is_not_asked_until_its_time_is_over(tmp_path: Path) -> None:
    labels = {"stage": "think", "engine": "openai"}
    async with running_system(tmp_path, limits={"breaker_failures": ATTEMPTS, "breaker_s": 2.5}) as system:
        call = await opened(system)
        system.sandbox.faults.replace([{"on": "chat", "fault": "status", "status": 503}])
        for _ in range(2):
            began = len(call.all("turn_completed"))
            await ask(call, by_voice=False)
            await call.until("turn_completed")
            assert len(call.all("turn_completed")) == began + 1
        asked = [told for told in await system.requests() if told["route"] == CHAT]
        assert len(asked) == ATTEMPTS, "the second turn apologises without asking"
        assert [reasons(completed.degraded_reasons) for completed in call.all("turn_completed")] == [
            ("CHAT_FAILED",),
            ("CHAT_FAILED",),
        ]
        assert counted("engine_circuit_open", **labels) == 1
        system.sandbox.faults.clear()
        while counted("engine_circuit_open", **labels):
            await ask(call, by_voice=False)
            await call.until("turn_completed")
        await works(call)
        await call.finish()
