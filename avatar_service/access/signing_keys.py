"""The public keys of whoever issues tokens: a JWK set, from a file or a URL.

Fetched at the start and again and again, beside the calls, which do not wait for it. A token signed with a key that is
not in the set makes it be fetched at once, for issuers change their keys; but no more often than every
`AGAIN_S`, or whoever sends unknown names of keys could flood the issuer through us. While the issuer cannot be reached,
the last good set goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import jwt

from avatar_service import clock, metrics
from avatar_service.access.watched_file import LARGEST_BYTES, WatchedFiles
from avatar_service.background import running
from avatar_service.errors import IdentityUnknown, StartupError
from avatar_service.log import get_logger
from avatar_service.settings.access_types import is_url

log = get_logger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that are taken. All are asymmetric: with a symmetric one, whoever may check tokens could make them."""
REFRESH_S = 300.0
"""Age at which a set is fetched again: so long a key is taken that its issuer has withdrawn."""
AGAIN_S = 10.0
"""Least time between two fetches because of keys that are not known, and after one that failed."""
FETCH_S = 5.0
"""Longest that a fetch may take."""
_SETTING = "AVATAR_JWKS"

Keys = Mapping[str, jwt.PyJWK]


def parse_set(content: bytes) -> Keys:
    """The keys for signatures that are taken, by name; one without a name has an empty one. Raises ValueError."""
    try:
        described = json.loads(content)
        listed = described["keys"]
        found = [key for key in map(_usable, listed) if key]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("is no JWK set") from None
    if not found:
        raise ValueError("has no public key for signatures")
    return {str(key.key_id or ""): key for key in found}


def _usable(described: dict[str, object]) -> jwt.PyJWK | None:
    """A key; None for what signs no tokens here, such as a symmetric one or one for encryption."""
    if described.get("use", "sig") != "sig" or described.get("alg", ALGORITHMS[0]) not in ALGORITHMS:
        return None
    try:
        key = jwt.PyJWK(described)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):  # an odd key must not cost the others
        return None
    return key if key.algorithm_name in ALGORITHMS else None


class SigningKeys:
    """The present set. Opened with `open_keys`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._file = None if is_url(source) else WatchedFiles(_SETTING, Path(source))
        self._keys: Keys = {}
        self._fetching = asyncio.Lock()
        self._not_before_s = 0.0
        """When a key that is not known may make the set be fetched again."""

    @property
    def count(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of a name; without a name, the only one that there is. None if there is none, also after a look.

        Raises IdentityUnknown as long as no set could be had at all.
        """
        if self._file and self._file.changed():
            await self._refreshed()
        key = self._known(key_id)
        if key is None and await self._look_again():
            key = self._known(key_id)
        if not self._keys:
            raise IdentityUnknown("credentials cannot be checked at this moment; try again")
        return key

    def _known(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    async def _look_again(self) -> bool:
        """Fetch the set if that is not too soon; callers that come meanwhile wait for the same fetch."""
        if self._fetching.locked():
            async with self._fetching:
                return True
        return clock.now() >= self._not_before_s and await self._refreshed()

    async def read(self) -> None:
        """Fetch the set. Raises StartupError with the reason."""
        async with self._fetching:
            self._not_before_s = clock.now() + AGAIN_S
            content = self._file.contents()[0] if self._file else await _fetched(self._source)
            try:
                self._keys = parse_set(content)
            except ValueError as error:
                raise StartupError(f"{_SETTING}: what stands at {self._source} {error}") from None

    async def _refreshed(self) -> bool:
        """Fetch the set; whether that went well. The last good one goes on if not."""
        try:
            await self.read()
        except StartupError as error:
            log.error("credentials_not_read", source="jwks", error=str(error))
            metrics.CREDENTIAL_SOURCES_OK.labels("jwks").set(0)
            return False
        log.debug("credentials_read", source="jwks", keys=len(self._keys))
        metrics.CREDENTIAL_SOURCES_OK.labels("jwks").set(1)
        return True

    async def run(self) -> None:
        """Keep the set of a URL young."""
        while not self._file:
            await asyncio.sleep(REFRESH_S if await self._refreshed() else AGAIN_S)


@asynccontextmanager
async def open_keys(source: str) -> AsyncIterator[SigningKeys]:
    """The keys of a file or URL, kept up to date during the block. Raises StartupError for a file without keys; a URL
    that does not answer yet is asked again and again."""
    keys = SigningKeys(source)
    if not is_url(source):
        await keys.read()
        metrics.CREDENTIAL_SOURCES_OK.labels("jwks").set(1)
    async with running(keys.run()):
        yield keys


async def _fetched(url: str) -> bytes:
    """What stands at a URL. Raises StartupError, which does not quote what came."""
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    try:
        # Redirects are not followed: keys are trusted because of where they come from.
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise StartupError(f"{_SETTING}: {url} answers {response.status}")
            content = bytearray()
            async for part in response.content.iter_chunked(65_536):
                content += part
                if len(content) > LARGEST_BYTES:
                    raise StartupError(f"{_SETTING}: {url} answers with more than {LARGEST_BYTES >> 10} KiB")
            return bytes(content)
    except TimeoutError:
        raise StartupError(f"{_SETTING}: {url} has not answered within {FETCH_S:g} s") from None
    except aiohttp.ClientError as error:
        raise StartupError(f"{_SETTING}: {url} cannot be reached ({type(error).__name__})") from None
