"""The store of sessions: a record really written, read back by a resume, and removed."""

from collections.abc import Sequence

from avatar_service.doctor.report import Finding, failed, ok
from avatar_service.errors import AvatarError
from avatar_service.session.stores.base import Hold, TokenRefused, hash_of, new_session_id, new_token
from avatar_service.session.stores.redis import RedisStore
from avatar_service.settings import SessionSettings

KEEP_S = 5.0
"""How long Redis keeps what a look that was broken off left behind."""
MEND = "look at AVATAR_REDIS_URL and that Redis: it must allow EVALSHA, HSET, PEXPIRE and TIME, and have memory left"


async def store(settings: SessionSettings) -> Sequence[Finding]:
    """Sessions can be saved and resumed. The address is not shown: it may hold a password."""
    url = settings.redis_url.get_secret_value()
    if not url:
        return [ok("sessions", "kept by each process itself: they survive their stream, not the process")]
    redis = RedisStore(url, KEEP_S)
    try:
        await _write_and_resume(redis)
    except TokenRefused as error:
        return [failed("sessions", f"Redis forgets what it was given ({error.why})", MEND)]
    except AvatarError as error:
        return [failed("sessions", f"cannot be saved: {error}", MEND)]
    finally:
        await redis.aclose()
    return [ok("sessions", "saved in Redis, and resumed from there")]


async def _write_and_resume(redis: RedisStore) -> None:
    """One session's life. Raises StoreUnavailable or TokenRefused."""
    session_id = new_session_id()
    token, following = new_token(session_id), new_token(session_id)
    await redis.save(Hold(session_id, 1, hash_of(token)), b"doctor")
    taken = await redis.take_over(session_id, hash_of(token), hash_of(following))
    await redis.release(taken.hold, keep=False)
