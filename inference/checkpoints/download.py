"""Downloading published files: resumed where they broke off, never taken without their size and checksum being right.

A file grows under the name ``NAME.part`` and gets its name only when it is whole. Its checksum is the one on record;
where there is none, the one that the hub tells of files in its large-file storage (``X-Linked-Etag``).
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self, TypeVar

import httpx2

from inference.checkpoints.manifest import PublishedFile
from inference.weights import WeightsError, file_sha256

HEAD_REDIRECTS = 5  # of a renamed repository; one to another host is where the content lies, and ends the search
BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)  # worth another attempt, as every 5xx is
NO_HEAD = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
AGAIN = "run the command again, it goes on where it stopped"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to bear with a bad connection."""

    connect_s: float = 10.0
    silence_s: float = 60.0  # without a byte
    attempts: int = 6  # in a row of which none brought ``worth_bytes``
    worth_bytes: int = 1 << 20
    first_wait_s: float = 1.0  # doubled from attempt to attempt
    longest_wait_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        return min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file before it is fetched."""

    size: int | None  # bytes
    sha256: str | None


class Broken(Exception):
    """A connection that did not hold, or a server that is busy: another attempt may do."""


class Downloads:
    """Files from one endpoint, one after the other; to be used as a context manager."""

    def __init__(self, endpoint: str, patience: Patience = Patience()) -> None:
        """``endpoint``: as ``https://huggingface.co``, or a mirror of it."""
        self._endpoint = endpoint
        self._patience = patience
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(patience.silence_s, connect=patience.connect_s),
            headers={"Accept-Encoding": "identity"},  # a packed answer would have neither our size nor our ranges
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def facts(self, file: PublishedFile) -> Facts:
        """Size and checksum of a file, from the record and from the endpoint.

        Raises WeightsError if the endpoint does not have the file, or has another one than the record tells of.
        """
        offered = self._persistently(file, lambda: self._ask(file))
        for what, recorded, found in (("bytes", file.size, offered.size), ("sha256", file.sha256, offered.sha256)):
            if None not in (recorded, found) and recorded != found:
                raise WeightsError(
                    f"{file.url(self._endpoint)}: is offered with {what} {found}, on record is {recorded}: "
                    "not the published file; name another --endpoint"
                )
        return Facts(file.size or offered.size, file.sha256 or offered.sha256)

    def fetch(self, file: PublishedFile, facts: Facts, path: Path, progress: Callable[[int], None]) -> None:
        """Fetch a file to ``path``, or leave it where it is there already.

        ``progress`` is told how many bytes are there, whenever that changes. Raises WeightsError.
        """
        if path.is_file() and _is_right(path, facts):
            progress(path.stat().st_size)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        self._persistently(file, lambda: self._receive(file, facts, part, progress), lambda: _size(part))
        self._check(file, facts, part)
        part.replace(path)

    def _persistently(
        self, file: PublishedFile, attempt: Callable[[], Result], done: Callable[[], int] = lambda: 0
    ) -> Result:
        """Try until it works, or too many attempts in a row brought nothing beyond what was ``done`` before."""
        failures, best = 0, done()
        while True:
            try:
                return attempt()
            except Broken as error:
                failures = 0 if done() >= best + self._patience.worth_bytes else failures + 1
                best = max(best, done())
                if failures >= self._patience.attempts:
                    raise WeightsError(
                        f"{file.url(self._endpoint)}: {error}, {failures} attempts in a row; "
                        f"check the network or name another --endpoint; {AGAIN}"
                    ) from error
            time.sleep(self._patience.wait_s(failures))

    def _ask(self, file: PublishedFile) -> Facts:
        """What the endpoint tells of a file; a mirror that does not answer HEAD tells nothing."""
        url = httpx2.URL(file.url(self._endpoint))
        for _ in range(HEAD_REDIRECTS):
            with self._answer("HEAD", url) as response:
                if response.status_code in NO_HEAD:
                    return Facts(None, None)
                location = response.headers.get("Location", "")
                if not response.is_redirect or httpx2.URL(location).is_absolute_url:
                    return _facts(response)
            url = url.join(location)
        raise WeightsError(f"{file.url(self._endpoint)}: redirected {HEAD_REDIRECTS} times; name another --endpoint")

    def _receive(self, file: PublishedFile, facts: Facts, part: Path, progress: Callable[[int], None]) -> None:
        """One attempt to bring ``part`` to its full size."""
        start = _size(part)
        if facts.size is not None and start == facts.size:
            return progress(start)
        if facts.size is not None and start > facts.size:
            part.unlink()
            start = 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._answer("GET", httpx2.URL(file.url(self._endpoint)), headers) as response:
            start = _start(response, start, part)
            _check_length(response, facts, start)
            with part.open("r+b" if start else "wb") as out:
                out.seek(start)
                progress(start)
                for block in response.iter_raw():
                    out.write(block)
                    progress(out.tell())
                    if facts.size is not None and out.tell() > facts.size:
                        raise WeightsError(
                            f"{response.request.url}: sends more than the expected {facts.size} bytes: not the "
                            "published file; name another --endpoint"
                        )
        if facts.size is not None and _size(part) < facts.size:
            raise Broken(f"broke off at {_size(part)} of {facts.size} bytes")

    @contextmanager
    def _answer(self, method: str, url: httpx2.URL, headers: Mapping[str, str] = {}) -> Iterator[httpx2.Response]:
        """An answer that is worth reading; raises Broken or WeightsError."""
        try:
            with self._client.stream(method, url, headers=headers, follow_redirects=method == "GET") as response:
                _refuse_status(url, response)
                yield response
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise WeightsError(f"{url}: {error}; --endpoint must begin with https://") from error
        except httpx2.TransportError as error:
            raise Broken(str(error) or type(error).__name__) from error
        except httpx2.RequestError as error:
            raise WeightsError(f"{url}: {error}; name another --endpoint") from error

    def _check(self, file: PublishedFile, facts: Facts, part: Path) -> None:
        """Compare the checksum; a part that is not right would never become so and is deleted."""
        if facts.sha256 is None:
            return
        found = file_sha256(part)
        if found != facts.sha256:
            part.unlink()
            raise WeightsError(
                f"{file.url(self._endpoint)}: sha256 is {found}, expected {facts.sha256}; what was fetched of it is "
                "deleted; run the command again, or name another --endpoint"
            )


def _facts(response: httpx2.Response) -> Facts:
    """What the headers of an answer tell; a redirect has no size of its own."""
    headers = response.headers
    size = headers.get("X-Linked-Size") or ("" if response.is_redirect else headers.get("Content-Length")) or ""
    sha256 = re.fullmatch(r'"?([0-9a-f]{64})"?', headers.get("X-Linked-Etag") or "")
    return Facts(int(size) if size.isdecimal() else None, sha256[1] if sha256 else None)


def _refuse_status(url: httpx2.URL, response: httpx2.Response) -> None:
    status = response.status_code
    if status in NO_HEAD and response.request.method == "HEAD":
        return
    if status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Broken(f"the server answered {status} {response.reason_phrase}")
    if status >= HTTPStatus.BAD_REQUEST and status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise WeightsError(f"{url}: the server answered {status} {response.reason_phrase}; name another --endpoint")


def _start(response: httpx2.Response, asked: int, part: Path) -> int:
    """Where the answer's bytes belong: where it was asked for, or at 0 if the server knows no ranges."""
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
        raise Broken("the server has no bytes beyond those fetched; they are deleted")
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
        part.unlink(missing_ok=True)
        raise Broken("the server sent another range than it was asked for")
    return asked


def _check_length(response: httpx2.Response, facts: Facts, start: int) -> None:
    length = response.headers.get("Content-Length", "")
    if facts.size is not None and length.isdecimal() and start + int(length) != facts.size:
        raise WeightsError(
            f"{response.request.url}: sends {start + int(length)} bytes, expected {facts.size}: not the published "
            "file; name another --endpoint"
        )


def _is_right(path: Path, facts: Facts) -> bool:
    """Whether a file that is there already is the one that is wanted; without a checksum its size must tell."""
    if facts.size is not None and path.stat().st_size != facts.size:
        return False
    return facts.size is not None if facts.sha256 is None else file_sha256(path) == facts.sha256


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
