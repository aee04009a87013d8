"""The same answers at the same times, whatever is asked: what a benchmark measures is then everything but the vendors.

Requests are checked and answers are encoded as ever; only the models stand still, and are not loaded. Speech is made
the first time that a text is asked for, and kept: by the voice model, or as a tone, for which nothing is loaded at all.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from avatar_service.sandbox.audio import TRANSCRIPTION_RATE_HZ, Samples
from avatar_service.sandbox.pacing import hold_first_byte
from avatar_service.sandbox.settings import MAX_DELAY_S
from avatar_service.sandbox.smollm import ReplyEnd, TextDelta
from avatar_service.sandbox.transcript import Hearing, Segment
from avatar_service.sandbox.worker import Cancelled


@dataclass(frozen=True, slots=True)
class Replay:
    """What is understood of every recording, and the reply to every conversation, token by token.

    Tokens leave evenly from ``first_token_s`` to ``last_token_s`` after the request.
    """

    transcript: str
    tokens: tuple[str, ...]
    first_token_s: float
    last_token_s: float
    speech: Literal["voice", "tone"] = "voice"

    def __post_init__(self) -> None:
        """Refuse what cannot be replayed; ``ValueError`` names the field and its range."""
        if not self.tokens or not all(isinstance(token, str) and token for token in self.tokens):
            raise ValueError("tokens must be a list of texts, none of them empty")
        if not 0.0 <= self.first_token_s <= self.last_token_s <= MAX_DELAY_S:
            raise ValueError(f"0 <= first_token_s <= last_token_s <= {MAX_DELAY_S:g} does not hold")
        if self.speech not in ("voice", "tone"):
            raise ValueError("speech must be 'voice' or 'tone'")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a JSON file with these fields. ``ValueError`` says what is wrong with it."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(**fields | {"tokens": tuple(fields["tokens"])})
        except (OSError, TypeError, KeyError) as error:
            names = ", ".join(cls.__slots__)
            raise ValueError(f"{path}: must be a JSON object with {names} ({error})") from error

    def transcribe(self, audio: Samples, hearing: Hearing, cancelled: Cancelled) -> Iterator[Segment]:
        """Yield what is understood of every recording, in the place of a model that listens."""
        del hearing, cancelled
        yield Segment(self.transcript, 0.0, len(audio) / TRANSCRIPTION_RATE_HZ, (), 0.0, 0.0, ())

    def token_s(self, index: int) -> float:
        """When a token leaves, in seconds after the request."""
        steps = max(1, len(self.tokens) - 1)
        return self.first_token_s + (self.last_token_s - self.first_token_s) * index / steps

    async def reply(self, received_s: float, said: str = "") -> AsyncGenerator[TextDelta | ReplyEnd, None]:
        """Yield the reply to a request that came at ``received_s`` (monotonic).

        ``said`` is what the assistant has said since the user's last words: a model that is to go on does not begin
        anew.
        """
        tokens = self.tokens[self._tokens_of(said) :]
        for index, token in enumerate(tokens):
            await hold_first_byte(received_s, self.token_s(index))
            yield TextDelta(token)
        yield ReplyEnd("stop", prompt_tokens=0, completion_tokens=len(tokens))

    def _tokens_of(self, said: str) -> int:
        """How many tokens these words are, spaces aside; 0 if the reply does not begin so."""
        letters = "".join(said.split())
        if not "".join("".join(self.tokens).split()).startswith(letters):
            return 0
        count = 0
        for token in self.tokens:
            if not letters:
                break
            letters = letters[len("".join(token.split())) :]
            count += 1
        return count
