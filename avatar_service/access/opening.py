"""Everything by which credentials are judged, opened as the settings say."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from avatar_service.access.audit import audited_to
from avatar_service.access.credentials import Credentials
from avatar_service.access.keys import ApiKeys
from avatar_service.access.signing_keys import open_keys
from avatar_service.access.tokens import Tokens
from avatar_service.settings import AccessSettings


@asynccontextmanager
async def open_credentials(settings: AccessSettings) -> AsyncIterator[Credentials]:
    """The judge of credentials during the block, and its audit log. Raises StartupError."""
    settings.require_whole()
    async with AsyncExitStack() as stack:
        stack.enter_context(audited_to(settings.audit_log))
        tokens = None
        if settings.jwks:
            tokens = Tokens(settings, await stack.enter_async_context(open_keys(settings.jwks)))
        keys = ApiKeys(settings.api_keys) if settings.api_keys else None
        yield Credentials(settings, tokens, keys)
