"""API keys: long random words, of which this server knows the hashes alone.

    {"id": "shop-1", "tenant": "shop", "sha256": "9f86...", "expires": "2027-01-01T00:00:00Z"}

A key is 256 random bits. A plain SHA-256 is right for it: nobody can try so many, and slow hashes such as bcrypt, which
passwords need because they can be guessed, would give whoever sends wrong keys a way to keep the server busy.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from avatar_service import clock, metrics
from avatar_service.access.identity import TENANT, Identity, Proof
from avatar_service.access.refusals import expired, invalid
from avatar_service.access.watched_file import WatchedFiles
from avatar_service.errors import StartupError
from avatar_service.log import get_logger

log = get_logger(__name__)

PREFIX = "avk_"
"""How every key begins, so that scanners of repositories find one that was left there."""
KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SETTING = "AVATAR_API_KEYS"
_FIELDS = {"id", "tenant", "sha256", "expires", "revoked"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as the file has it; `expires_s` in seconds since 1970, None: never."""

    key_id: str
    tenant: str
    sha256: bytes
    expires_s: float | None = None
    revoked: bool = False


def new_key() -> str:
    """A key that nobody has."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def line_of(key_id: str, tenant: str, key: str, expires: str = "") -> str:
    """The line of the file for a key. Raises StartupError for what the file could not hold."""
    fields = {"id": key_id, "tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()}
    line = json.dumps(fields | ({"expires": expires} if expires else {}))
    parse_keys(line)
    return line


def parse_keys(text: str, name: str = "the line") -> tuple[Entry, ...]:
    """The keys of a file: a JSON object a line, empty lines and those that begin with # left out.

    Raises StartupError naming the line, never showing it.
    """
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                entries.append(_entry(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                wrong = f"has no {error}" if isinstance(error, KeyError) else _told(error)
                raise StartupError(f"{_SETTING}: line {number} of {name} {wrong}") from None
    counts = Counter(entry.key_id for entry in entries)
    if twice := {key_id for key_id, count in counts.items() if count > 1}:
        raise StartupError(f"{_SETTING}: {name} has the id {min(twice)!r} more than once")
    return tuple(entries)


def _told(error: Exception) -> str:
    return str(error) if type(error) is ValueError else "is no JSON object as `avatar-service key` prints it"


def _entry(fields: dict[str, object]) -> Entry:
    key_id, tenant, sha256 = (str(fields[name]) for name in ("id", "tenant", "sha256"))
    expires, revoked = fields.get("expires"), fields.get("revoked", False)
    for is_right, wrong in (
        (fields.keys() <= _FIELDS, f"has a field other than {', '.join(sorted(_FIELDS))}"),
        (_ID.fullmatch(key_id), "has an `id` that is not 1 to 63 letters, digits, dots, hyphens and underscores"),
        (TENANT.fullmatch(tenant), "has a `tenant` that is not 1 to 100 letters, digits and ._:|@-"),
        (_SHA256.fullmatch(sha256), "has a `sha256` that is not 64 hexadecimal digits"),
        (isinstance(revoked, bool), "has a `revoked` that is not true or false"),
    ):
        if not is_right:
            raise ValueError(wrong)
    return Entry(key_id, tenant, bytes.fromhex(sha256), _moment(expires), revoked is True)


def _moment(expires: object) -> float | None:
    if expires is None:
        return None
    try:
        moment = datetime.fromisoformat(str(expires))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("has an `expires` that is no time with its zone, such as 2027-01-01T00:00:00Z")
    return moment.timestamp()


class ApiKeys:
    """The keys of a file, which is read again when it changes; if it is wrong then, the last good one goes on."""

    def __init__(self, path: str) -> None:
        """Read the file. Raises StartupError."""
        self._path = Path(path)
        self._file = WatchedFiles(_SETTING, self._path)
        self._entries = self._read()
        self._sourced(ok=True)

    def identify(self, key: str) -> Identity:
        """Whose key it is. Raises Unauthenticated."""
        self._read_if_changed()
        # Every entry is compared, and each in the same time, so that the time of an answer tells nothing of the hashes.
        given, found = hashlib.sha256(key.encode()).digest(), None
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, given):
                found = entry
        if found is None:
            raise invalid(Proof.KEY, "unknown")
        if found.revoked:
            raise invalid(Proof.KEY, "revoked", subject=found.key_id, tenant=found.tenant)
        if found.expires_s is not None and found.expires_s <= clock.wall():
            raise expired(Proof.KEY, subject=found.key_id, tenant=found.tenant)
        return Identity(found.tenant, found.key_id, Proof.KEY, found.expires_s)

    def _read(self) -> tuple[Entry, ...]:
        (content,) = self._file.contents()
        try:
            return parse_keys(content.decode(), str(self._path))
        except UnicodeDecodeError:
            raise StartupError(f"{_SETTING}: {self._path} is no text in UTF-8") from None

    def _read_if_changed(self) -> None:
        if not self._file.changed():
            return
        try:
            self._entries = self._read()
        except StartupError as error:
            log.error("credentials_not_read", source="api_keys", error=str(error))
            self._sourced(ok=False)
        else:
            log.info("credentials_read", source="api_keys", keys=len(self._entries))
            self._sourced(ok=True)

    def _sourced(self, *, ok: bool) -> None:
        metrics.CREDENTIAL_SOURCES_OK.labels("api_keys").set(ok)
