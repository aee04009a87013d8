"""What a session tells, on its way to the writer: the last place where it waits inside the service."""

from avatar_service.channel import Channel
from avatar_service.events import Event, Interrupted, Media, SpokenText
from avatar_service.media.types import Frame, SpeechChunk

EVENTS = 64
"""Events that may wait: a little more than the second of media with which a turn begins."""
MEDIA_BYTES = 4 << 20
"""Media that may wait, less than one frame beyond: 1.3 s of raw frames of 512 x 512 would be 26 MB, and none of it
could be taken back from the socket. Compressed frames never come near."""


class Responses(Channel[Event]):
    """A channel with a limit in bytes too. Once a turn is interrupted, its media that still wait are not sent."""

    def __init__(self) -> None:
        super().__init__("responses", EVENTS)

    async def send(self, item: Event) -> None:
        """Append an event, waiting for room. Raises ChannelClosed if the channel is closed."""
        if isinstance(item, Interrupted):
            self.discard(lambda waiting: isinstance(waiting, Media | SpokenText) and waiting.turn_id == item.turn_id)
        await super().send(item)

    @property
    def _is_full(self) -> bool:
        return super()._is_full or sum(map(_media_bytes, self._items)) >= MEDIA_BYTES


def _media_bytes(event: Event) -> int:
    match event:
        case Media(_, Frame(image=data)) | Media(_, SpeechChunk(pcm=data)):
            return len(data)
        case _:
            return 0
