"""What a session tells, on its way to the writer: the last place where it waits inside the service."""

from collections import deque

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.events import Event, Interrupted, Media, SpokenText
from avatar_service.media.types import SpeechChunk

EVENTS = 64
"""Events that may wait: a little more than the second of media with which a turn begins."""
MEDIA_BYTES = 4 << 20
"""Media that may wait, less than one frame beyond: 1.3 s of raw frames of 512 x 512 would be 26 MB, and none of it
could be taken back from the socket. Compressed frames never come near."""


class Responses(Channel[Event]):
    """A channel with a limit in bytes too. Once a turn is interrupted, its media that still wait are not sent."""

    def __init__(self) -> None:
        super().__init__("responses", EVENTS)
        self._now = clock.reader()
        self._notes: deque[tuple[float, int]] = deque()
        """When each of the events that wait came, and how many bytes of media it has."""
        self._media_bytes = 0
        """Media that wait."""

    @property
    def waiting_s(self) -> float:
        """For how long the event that is received next has waited; 0 while nothing waits."""
        return self._now() - self._notes[0][0] if self._notes else 0.0

    async def send(self, item: Event) -> None:
        """Append an event, waiting for room. Raises ChannelClosed if the channel is closed."""
        if isinstance(item, Interrupted):
            self._discard_media(item.turn_id)
        await super().send(item)
        size = _media_bytes(item)
        self._notes.append((self._now(), size))
        self._media_bytes += size

    @property
    def _is_full(self) -> bool:
        return len(self._items) >= self.capacity or self._media_bytes >= MEDIA_BYTES

    def _pop(self) -> Event:
        item = super()._pop()
        self._media_bytes -= self._notes.popleft()[1]
        return item

    def _discard_media(self, turn_id: int) -> None:
        """Take out what is seen and heard of a turn: its end comes next, for which there is room then."""
        waiting = list(zip(self._items, self._notes, strict=True))
        kept = [
            (item, note)
            for item, note in waiting
            if not (isinstance(item, Media | SpokenText) and item.turn_id == turn_id)
        ]
        self._items = deque(item for item, _ in kept)
        self._notes = deque(note for _, note in kept)
        self._media_bytes = sum(size for _, size in self._notes)
        self._wake_senders(len(waiting) - len(kept))


def _media_bytes(event: Event) -> int:
    if not isinstance(event, Media):
        return 0
    packet = event.packet
    return len(packet.pcm if isinstance(packet, SpeechChunk) else packet.image)
