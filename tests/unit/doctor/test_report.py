"""Checks run side by side, each within its deadline."""

import asyncio
from collections.abc import Sequence

from avatar_service import clock
from avatar_service.doctor.report import Check, Finding, Verdict, examine, ok


def check(subject: str, after_s: float, *, error: Exception | None = None, deadline_s: float = 5.0) -> Check:
    async def look() -> Sequence[Finding]:
        await asyncio.sleep(after_s)
        if error:
            raise error
        return [ok(subject, "well"), ok(subject, "really")]

    return Check(subject, look, deadline_s, f"mend {subject}")


async def test_findings_come_in_the_order_of_the_checks_whichever_ends_first() -> None:
    began_s = clock.now()
    findings = await examine([check("slow", 3.0), check("quick", 0.1)])
    assert [finding.subject for finding in findings] == ["slow", "slow", "quick", "quick"]
    assert 3.0 <= clock.now() - began_s < 3.1


async def test_a_check_that_hangs_fails_at_its_deadline_and_hides_nothing() -> None:
    began_s = clock.now()
    hanging, *others = await examine([check("vendor", 1e6), check("disk", 0.1)])
    assert hanging == Finding("vendor", Verdict.FAILED, "no answer within 5 s", "mend vendor")
    assert [finding.verdict for finding in others] == [Verdict.OK, Verdict.OK]
    assert clock.now() - began_s < 5.1


async def test_a_check_that_breaks_is_a_finding_without_the_words_of_the_error() -> None:
    (broken,) = await examine([check("vendor", 0.0, error=ValueError("sk-secret"))])
    assert broken == Finding("vendor", Verdict.FAILED, "could not be checked (ValueError)", "mend vendor")
