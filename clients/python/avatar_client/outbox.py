"""What was sent and is not acknowledged: sent again if the stream breaks.

User audio is kept until `audio_received` passes it, a text or `say` until a turn with its `request_id` has begun, an
update until `config_updated`, an interrupt until `interrupted`. Results of tools are of no use on another stream, where
the chat model is asked again. Reports of play-out do not pass here, since an old one is worth nothing.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from avatar.v1 import ConverseRequest, UserAudio
from avatar_client.errors import TooMuchWaiting
from avatar_client.events import AudioReceived, ConfigUpdated, Event, Interrupted, Notice, TurnStarted
from avatar_client.facts import AudioEncoding

MOST_AUDIO_S: Final = 90.0
"""User audio that is kept: the longest utterance, which is acknowledged at its end, and half a minute of outage."""
MOST_REQUESTS: Final = 64
"""Requests other than audio that are kept."""
JOINED_BYTES: Final = 32_000
"""Longest message of audio that is sent again; the contract takes up to 64,000 bytes."""
OPUS_RATE_HZ, OPUS_PACKET_SAMPLES = 48_000, 960
SAMPLE_BYTES: Final[dict[str, int]] = {"LINEAR16": 2, "MULAW": 1}


@dataclass(slots=True)
class _Entry:
    """A request and where it belongs: `start` counts the samples of user audio before it, `samples` its own."""

    number: int
    kind: str
    request: ConverseRequest
    start: int
    samples: int

    @property
    def end(self) -> int:
        return self.start + self.samples


class Outbox:
    """Requests in the order in which they were made: those that wait to be sent, and those that may have to be again.

    Audio beyond 90 s is dropped, the oldest first. Not for two threads at a time.
    """

    def __init__(self, encoding: AudioEncoding, rate_hz: int, position_s: float = 0.0) -> None:
        """Keep audio of `encoding` at `rate_hz`, `position_s` of which the service has already."""
        self._encoding = encoding
        self._rate_hz = OPUS_RATE_HZ if encoding == "OPUS" else rate_hz
        self._position = round(position_s * self._rate_hz)
        self._number = 0
        self._waiting: deque[_Entry] = deque()
        self._sent_speech: deque[_Entry] = deque()  # audio and the marks of utterances
        self._sent: dict[int, _Entry] = {}  # the others, by number
        self._kept_samples = 0

    @property
    def audio_s(self) -> float:
        """User audio that is kept."""
        return self._kept_samples / self._rate_hz

    @property
    def waits(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._waiting)

    @property
    def waiting_s(self) -> float:
        """User audio that waits to be sent."""
        return sum(entry.samples for entry in self._waiting) / self._rate_hz

    @property
    def is_answered(self) -> bool:
        """Whether nothing waits to be sent, and nothing that was sent for its answer."""
        return not self._waiting and not self._sent

    def add(self, request: ConverseRequest) -> None:
        """Put a request at the end. Raises TooMuchWaiting."""
        kind = request.WhichOneof("payload") or ""
        samples = self._samples(request.audio.data) if kind == "audio" else 0
        if kind != "audio" and sum(entry.kind != "audio" for entry in self._waiting) >= MOST_REQUESTS:
            raise TooMuchWaiting(f"the connection is broken and {MOST_REQUESTS} requests wait for it: send no more")
        self._number += 1
        self._waiting.append(_Entry(self._number, kind, request, self._position, samples))
        self._position += samples
        self._kept_samples += samples
        self._drop_oldest()

    def take(self) -> ConverseRequest | None:
        """The next request to send, audio joined to what follows it; None if there is none."""
        if not self._waiting:
            return None
        entry = self._take()
        if entry.kind != "audio" or self._encoding == "OPUS":
            return entry.request
        pieces, size = [entry.request.audio.data], len(entry.request.audio.data)
        while self._waiting and self._waiting[0].kind == "audio":
            size += len(self._waiting[0].request.audio.data)
            if size > JOINED_BYTES:
                break
            pieces.append(self._take().request.audio.data)
        return entry.request if len(pieces) == 1 else ConverseRequest(audio=UserAudio(data=b"".join(pieces)))

    def note(self, event: Event) -> None:
        """Let go of what an event acknowledges."""
        match event:
            case AudioReceived(offset_s=offset_s):
                self._acknowledge_audio(offset_s)
            case TurnStarted(request_id=request_id) if request_id:
                self._settle(entry for entry in self._sent.values() if _request_id(entry.request) == request_id)
            case ConfigUpdated():
                self._settle([entry for entry in self._sent.values() if entry.kind == "config_update"][:1])
            case Interrupted(reason="BARGE_IN" | "REQUESTED"):  # which drops what waited to be said
                self._settle(entry for entry in self._sent.values() if entry.kind in ("say", "interrupt"))
            case Notice(reason="REQUEST_IGNORED"):
                self._settle([entry for entry in self._sent.values() if entry.kind == "interrupt"][:1])
            case Notice(reason="SAY_QUEUE_FULL"):  # it names none, and the last one was too many
                self._settle([entry for entry in self._sent.values() if entry.kind == "say"][-1:])

    def rewind(self, offset_s: float) -> None:
        """Make everything wait again that is not acknowledged; of the audio, what lies behind `offset_s`."""
        speech = [entry for entry in (*self._sent_speech, *self._waiting) if _is_speech(entry)]
        others = [entry for entry in (*self._sent.values(), *self._waiting) if _outlives_a_stream(entry)]
        speech = self._from(speech, round(offset_s * self._rate_hz))
        self._sent_speech.clear()
        self._sent.clear()
        self._waiting = deque(sorted((*speech, *others), key=lambda entry: entry.number))
        self._kept_samples = sum(entry.samples for entry in self._waiting)
        # The service's count holds: audio that was dropped here never reached it.
        self._position = round(offset_s * self._rate_hz)
        for entry in self._waiting:
            entry.start = self._position
            self._position += entry.samples

    def _take(self) -> _Entry:
        entry = self._waiting.popleft()
        if _is_speech(entry):
            self._sent_speech.append(entry)
        elif entry.kind != "tool_results":
            self._sent[entry.number] = entry
            if len(self._sent) > MOST_REQUESTS:
                del self._sent[next(iter(self._sent))]
        return entry

    def _acknowledge_audio(self, offset_s: float) -> None:
        offset = round(offset_s * self._rate_hz)
        while (
            self._sent_speech and self._sent_speech[0].end <= offset and not self._opens(self._sent_speech[0], offset)
        ):
            self._kept_samples -= self._sent_speech.popleft().samples

    def _opens(self, entry: _Entry, offset: int) -> bool:
        """Whether `entry` begins an utterance just at `offset`, so that its audio is all still to be acknowledged."""
        return entry.kind == "utterance_started" and entry.start == offset

    def _from(self, speech: list[_Entry], offset: int) -> list[_Entry]:
        """What of `speech` lies behind `offset`."""
        kept: list[_Entry] = []
        for entry in speech:
            if entry.kind == "audio":
                if entry.end > offset:
                    kept.append(self._cut(entry, offset))
            elif entry.start > offset or (entry.start == offset and (kept or entry.kind == "utterance_started")):
                kept.append(entry)
        return kept

    def _cut(self, entry: _Entry, offset: int) -> _Entry:
        """`entry` without the samples before `offset`; a packet of Opus stays whole."""
        if entry.start >= offset or self._encoding == "OPUS":
            return entry
        gone = offset - entry.start
        data = entry.request.audio.data[gone * SAMPLE_BYTES[self._encoding] :]
        request = ConverseRequest(audio=UserAudio(data=data))
        return _Entry(entry.number, entry.kind, request, offset, entry.samples - gone)

    def _settle(self, entries: Iterable[_Entry]) -> None:
        for entry in list(entries):
            del self._sent[entry.number]

    def _drop_oldest(self) -> None:
        while self._kept_samples > MOST_AUDIO_S * self._rate_hz:
            if self._sent_speech:
                oldest = self._sent_speech.popleft()
            else:
                oldest = next(entry for entry in self._waiting if entry.kind == "audio")
                self._waiting.remove(oldest)
            self._kept_samples -= oldest.samples

    def _samples(self, data: bytes) -> int:
        if self._encoding == "OPUS":
            return OPUS_PACKET_SAMPLES
        return len(data) // SAMPLE_BYTES[self._encoding]


def _is_speech(entry: _Entry) -> bool:
    return entry.kind in ("audio", "utterance_started", "utterance_ended")


def _outlives_a_stream(entry: _Entry) -> bool:
    return not _is_speech(entry) and entry.kind != "tool_results"


def _request_id(request: ConverseRequest) -> str:
    """The name under which a turn answers the request; empty if none does."""
    return request.text.request_id or request.say.request_id
