"""What the service must never tell, and a search for it in everything that it leaves behind.

    private = Private.of("day1")                    # words and sound that occur nowhere else
    with listening() as told:                       # logs at DEBUG in both formats, libraries' too; spans
        ...                                         # a session in which they are said, quoted, refused
    assert private.found_in(told.text) == []
    assert private.found_in(told.libraries)         # the libraries did speak of them, so the search can find them

Words are looked for as they are and in the forms in which programs write them down; sound by any of its parts.
"""

import base64
import io
import json
import logging
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from avatar_service import log, metrics
from tests.measuring import OPEN_METRICS
from tests.spans import Spans, recorded_spans

LIBRARIES = (
    "aiohttp",
    "asyncio",
    "elevenlabs",
    "grpc",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "openai",
    "opentelemetry",
    "redis",
    "tenacity",
    "tritonclient",
    "urllib3",
    "websockets",
)
"""Loggers of what the service is built on."""
PART = 12
"""Bytes of sound that are enough to tell where they come from."""


@dataclass(frozen=True, slots=True)
class Private:
    """Words that nobody but the user, the model, a vendor or an operator's key has, and sound that is nobody else's."""

    key: str
    """A vendor's key."""
    transcript: str
    """Said by the user."""
    reply: str
    """Written by the model."""
    prompt: str
    """The operator's own words for the model."""
    body: str
    """In what a vendor answers to a request that fails."""
    sound: bytes
    """16-bit PCM, of the user or of the voice."""

    @classmethod
    def of(cls, name: str) -> "Private":
        """A set of its own for each name."""
        sound = np.random.default_rng(list(name.encode())).integers(-3000, 3000, 600).astype("<i2").tobytes()
        transcript, reply, prompt, body = (f"{name}{word}" for word in ("heliotrope", "vermilion", "cerulean", "ochre"))
        return cls(f"sk-{name}4711secret", transcript, reply, prompt, body, sound)

    def found_in(self, text: str) -> list[str]:
        """Which of them a text holds, in whatever form."""
        lowered = text.lower()
        words = {name: getattr(self, name) for name in ("key", "transcript", "reply", "prompt", "body")}
        found = [name for name, word in words.items() if any(form.lower() in lowered for form in _of_word(word))]
        return found + (["sound"] if any(form.lower() in lowered for form in _of_sound(self.sound)) else [])


@dataclass(frozen=True, slots=True)
class Told:
    """What was told in a block of `listening`."""

    formats: tuple[io.StringIO, io.StringIO]
    unfiltered: io.StringIO
    spans: Spans

    @property
    def logs(self) -> str:
        """Every line of the log, as JSON and for people."""
        return "".join(stream.getvalue() for stream in self.formats)

    @property
    def text(self) -> str:
        """Logs, spans and metrics."""
        spans = "".join(span.to_json(indent=0) for span in self.spans.all)
        return self.logs + spans + metrics.exposition(OPEN_METRICS)[0].decode()

    @property
    def libraries(self) -> str:
        """What libraries told their loggers, of which the service's log takes no more than it must."""
        return self.unfiltered.getvalue()


@contextmanager
def listening() -> Iterator[Told]:
    """Hear all that the service tells during the block, with the loggers of its libraries at DEBUG."""
    unfiltered, formats = io.StringIO(), (io.StringIO(), io.StringIO())
    with ExitStack() as stack:
        stack.enter_context(log.restored())
        log.set_up("DEBUG", "console", formats[0])
        (people,) = logging.getLogger().handlers
        log.set_up("DEBUG", "json", formats[1])
        logging.getLogger().addHandler(people)
        for name in LIBRARIES:
            stack.enter_context(_turned_up(logging.getLogger(name), logging.StreamHandler(unfiltered)))
        yield Told(formats, unfiltered, stack.enter_context(recorded_spans()))


@contextmanager
def _turned_up(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _of_word(word: str) -> Iterator[str]:
    yield word
    yield urllib.parse.quote(word, safe="")
    yield json.dumps(word)[1:-1]
    yield word.encode().hex()
    yield from _base64(word.encode())


def _of_sound(sound: bytes) -> Iterator[str]:
    """The forms of each stretch of sound that is long enough; the forms of bytes at any offset in base64."""
    for begin in range(0, len(sound) - PART, PART):
        part = sound[begin : begin + PART]
        yield part.hex()
        yield repr(part)[2:-1]
        yield json.dumps(part.decode("latin-1"))[1:-1]
        yield from _base64(part)
        numbers = [str(number) for number in np.frombuffer(part, "<i2")]
        yield ", ".join(numbers)
        yield " ".join(numbers)


def _base64(content: bytes) -> Iterator[str]:
    """What is always the same of it, wherever it stands in what is encoded."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content)
        first, last = (0, 2, 3)[before], len(encoded) - (4 if (before + len(content)) % 3 else 0)
        yield encoded[first:last].decode()
