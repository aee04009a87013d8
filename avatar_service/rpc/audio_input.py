"""The audio messages of one stream, decoded."""

from avatar_service import metrics
from avatar_service.errors import InvalidArgument
from avatar_service.media.wire_audio import AudioDecoder, MalformedAudio
from avatar_service.rpc.media_from_proto import WireAudio

MESSAGE_BYTES = 64_000
"""Most bytes of audio in one message, as the contract says."""


class AudioInput:
    """Decodes what one client sends as `audio`."""

    def __init__(self, wire: WireAudio) -> None:
        self._decoder = AudioDecoder(wire.encoding, wire.rate_hz)

    def pcm(self, data: bytes) -> bytes:
        """Mono 16-bit PCM at the rate of the format. Raises InvalidArgument for too many
        bytes, and for such as are none of its encoding."""
        if not data:
            raise InvalidArgument("audio.data", "holds 0 bytes; give at least one sample")
        if len(data) > MESSAGE_BYTES:
            raise InvalidArgument(
                "audio.data", f"holds {len(data)} bytes, {MESSAGE_BYTES} at most; send several messages"
            )
        try:
            pcm = self._decoder.decode(data)
        except MalformedAudio as error:
            raise InvalidArgument("audio.data", f"{error}") from error
        metrics.RECEIVED_AUDIO.inc(len(pcm) / (2 * self._decoder.rate_hz))
        return pcm
