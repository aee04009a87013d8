"""What a client is told of a turn that failed."""

import pytest

from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.events import FailureKind
from avatar_service.session.failure import failure_of


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FailureKind.TIMEOUT, EngineTimeout("think", "openai", "secret words")),
        (FailureKind.UNAVAILABLE, EngineUnavailable("think", "openai", "secret words")),
        (FailureKind.REJECTED, EngineRejected("think", "openai", "secret words")),
    ],
)
def test_it_names_the_stage_and_never_repeats_the_vendor(kind: FailureKind, error: EngineError) -> None:
    stages: BaseExceptionGroup[EngineError] = BaseExceptionGroup("stages", [error])
    failure = failure_of(BaseExceptionGroup("turn", [stages]))  # type: ignore[list-item]  # groups do nest
    assert (failure.kind, failure.stage) == (kind, "think")
    assert "think" in failure.message
    assert "secret" not in failure.message
