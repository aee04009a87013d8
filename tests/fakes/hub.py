"""A hub of model files over HTTP, as far as downloads know it, which can be told to fail as real ones do.

Like the real one it answers for a file with a redirect to where the content lies, and tells size and checksum of large
files on the way.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTENT = "/content"


@dataclass(slots=True)
class Faults:
    """What goes wrong from here on. Each number counts down to 0."""

    cut_after: list[int] = field(default_factory=list)  # each next answer ends after so many bytes
    busy: int = 0  # answers 503 so often
    ignore_range: bool = False
    wrong_range: int = 0  # answers so often with the range from 0
    no_rest: int = 0  # answers 416 so often
    no_head: bool = False
    status: int = 0  # answers always with this
    content: bytes | None = None  # instead of the file's
    size: int | None = None  # told instead of the content's
    no_size: bool = False
    checksums: bool = True  # whether checksums are told
    moved: bool = False  # the repository has another name
    endless: bool = False  # every redirect leads to the next


@dataclass(slots=True)
class Hub:
    """The server's state: files by their path, and what it was asked."""

    endpoint: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    asked: list[str] = field(default_factory=list)  # method, path and range


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_port}")
        server.hub = hub  # type: ignore[attr-defined]  # a server is the only thing that a handler is given
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:  # the name is the server's
        """Facts alone."""
        if self._hub().faults.no_head:
            return self._empty(405)
        self._answer(body=False)

    def do_GET(self) -> None:  # the name is the server's
        """The file, or a part of it."""
        self._answer(body=True)

    def _hub(self) -> Hub:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        return hub

    def _answer(self, body: bool) -> None:
        hub = self._hub()
        faults = hub.faults
        hub.asked.append(" ".join([self.command, self.path, self.headers.get("Range", "")]).strip())
        path = self.path.removeprefix(CONTENT).removeprefix("/moved")
        if faults.status:
            return self._empty(faults.status)
        if faults.busy:
            faults.busy -= 1
            return self._empty(503)
        if path not in hub.files:
            return self._empty(404)
        content = hub.files[path] if faults.content is None else faults.content
        if not self.path.startswith(CONTENT):
            return self._redirect(path, content)
        self._content(content, body)

    def _redirect(self, path: str, content: bytes) -> None:
        faults = self._hub().faults
        self.send_response(302)
        if faults.endless or (faults.moved and not self.path.startswith("/moved")):
            self.send_header("Location", f"/moved{path}")
        else:
            if not faults.no_size:
                self.send_header("X-Linked-Size", str(len(content) if faults.size is None else faults.size))
            if faults.checksums:
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Location", f"{self._hub().endpoint}{CONTENT}{path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _content(self, content: bytes, body: bool) -> None:
        faults = self._hub().faults
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        ranged = "Range" in self.headers and not faults.ignore_range
        if ranged and faults.no_rest:
            faults.no_rest -= 1
            return self._empty(416)
        if faults.wrong_range and ranged:
            faults.wrong_range -= 1
            start = 0
        start = start if ranged else 0
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if not faults.no_size:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent = content[start:]
        if faults.cut_after:
            sent = sent[: faults.cut_after.pop(0)]
            self.close_connection = True
        if faults.no_size:
            self.close_connection = True
        if body:
            self.wfile.write(sent)

    def _empty(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
