"""What the doctor finds of the store of sessions, at a real redis-server."""

from pydantic import SecretStr

from avatar_service.doctor.report import Verdict
from avatar_service.doctor.store import store
from avatar_service.settings import SessionSettings
from tests.redis_server import RedisServer


def _settings(url: str) -> SessionSettings:
    return SessionSettings.model_validate({"redis_url": SecretStr(url)})


async def test_without_a_redis_sessions_are_the_process_s_own_which_is_sound() -> None:
    (finding,) = await store(_settings(""))
    assert (finding.subject, finding.verdict) == ("sessions", Verdict.OK)
    assert "process" in finding.detail


async def test_a_redis_that_keeps_sessions_is_sound_and_one_that_is_down_is_not() -> None:
    with RedisServer() as server:
        (finding,) = await store(_settings(server.url))
        assert finding.verdict is Verdict.OK
        assert "Redis" in finding.detail
        server.stop()
        (finding,) = await store(_settings(server.url))
    assert finding.verdict is Verdict.FAILED
    assert "AVATAR_REDIS_URL" in finding.mend


async def test_a_password_in_the_address_is_never_shown() -> None:
    with RedisServer() as server:
        address = server.url.replace("redis://", "redis://user:sesame@")
        findings = await store(_settings(address))
    assert findings[0].verdict is Verdict.FAILED, "this server knows no such user"
    assert "sesame" not in str(findings)
