"""What a client is told of a turn that failed."""

import pytest

from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.events import FailureKind
from avatar_service.turn.failure import engine_failure


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FailureKind.TIMEOUT, EngineTimeout("think", "openai", "secret words")),
        (FailureKind.UNAVAILABLE, EngineUnavailable("think", "openai", "secret words")),
        (FailureKind.REJECTED, EngineRejected("think", "openai", "secret words")),
    ],
)
async def test_it_names_the_stage_and_never_repeats_the_vendor(kind: FailureKind, error: EngineError) -> None:
    async def turn() -> None:
        raise BaseExceptionGroup("turn", [BaseExceptionGroup("stages", [error])])

    failure = await engine_failure(turn())
    assert failure
    assert (failure.kind, failure.stage) == (kind, "think")
    assert "think" in failure.message
    assert "secret" not in failure.message


async def test_a_turn_that_ends_well_has_no_failure_and_a_fault_of_our_own_is_none_of_an_engine() -> None:
    async def turn(error: Exception | None) -> None:
        if error:
            raise error

    assert await engine_failure(turn(None)) is None
    with pytest.raises(ExceptionGroup):
        await engine_failure(turn(ExceptionGroup("turn", [ValueError()])))
