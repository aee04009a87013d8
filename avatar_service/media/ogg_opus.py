"""Opus in Ogg as it streams in to PCM, its words where they were before they were encoded (RFC 3533, RFC 7845)."""

from avatar_service.media.wire_audio import OPUS_RATE_HZ, AudioDecoder, AudioEncoding, MalformedAudio

PAGE_HEADER_BYTES = 27
"""Length of a page's header before its table of segments."""
LAST_PAGE = 4
"""Bit of a page that is a stream's last: its position tells where the voice ends."""
LARGEST_PACKET_BYTES = 1_048_576
"""Longest packet that is put together; one of sound has at most 61,298 bytes, but one of tags may hold a picture."""


class OggOpusDecoder:
    """Decodes one Ogg Opus stream, split anywhere, to mono 16-bit PCM at 48 kHz."""

    rate_hz = OPUS_RATE_HZ

    def __init__(self) -> None:
        self._decoder = AudioDecoder(AudioEncoding.OPUS, OPUS_RATE_HZ)
        self._bytes = bytearray()
        self._segments: list[int] = []
        """Lengths of the segments that the current page still has."""
        self._packet = bytearray()
        self._headers = 2
        """Packets without sound that still come first: OpusHead and OpusTags."""
        self._skip = 0
        """Samples of the encoder's delay that are still to be dropped."""
        self._decoded = 0
        self._page_end = 0
        """Position of the current page's end on the stream's clock, which need not begin at 0."""
        self._clock_start: int | None = None
        self._last_page = False

    def push(self, data: bytes) -> bytes:
        """The PCM of the packets that are complete with these bytes. Raises MalformedAudio if they are not Ogg Opus."""
        self._bytes += data
        pieces: list[bytes] = []
        while self._segments or self._begin_page():
            size = self._segments[0] if self._segments else 0
            if len(self._bytes) < size:
                break
            self._packet += self._take(size)
            if len(self._packet) > LARGEST_PACKET_BYTES:
                raise MalformedAudio(f"the Ogg stream holds a packet of more than {LARGEST_PACKET_BYTES} bytes")
            # A packet ends with a segment shorter than 255 bytes, in this page or a later one.
            if self._segments and self._segments.pop(0) < 255:
                packet, self._packet = bytes(self._packet), bytearray()
                pieces.append(self._read(packet))
            if not self._segments and self._decoded and self._clock_start is None:
                self._clock_start = max(0, self._page_end - self._decoded)
        return b"".join(pieces)

    def flush(self) -> bytes:
        """Nothing is held back: a packet that was cut off cannot be decoded."""
        return b""

    def _begin_page(self) -> bool:
        """Read the next page's header, if it is complete."""
        if not self._bytes.startswith(b"OggS"[: len(self._bytes)]):
            raise MalformedAudio("the stream is not Ogg: a page does not begin with OggS")
        if len(self._bytes) < PAGE_HEADER_BYTES or len(self._bytes) < PAGE_HEADER_BYTES + self._bytes[26]:
            return False
        header = self._take(PAGE_HEADER_BYTES)
        self._last_page = bool(header[5] & LAST_PAGE)
        self._page_end = int.from_bytes(header[6:14], "little", signed=True)
        self._segments = list(self._take(header[26]))
        return True

    def _take(self, size: int) -> bytes:
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        return taken

    def _read(self, packet: bytes) -> bytes:
        if self._headers == 2:
            if not packet.startswith(b"OpusHead") or len(packet) < 19:
                raise MalformedAudio("the Ogg stream holds no Opus: it does not begin with OpusHead")
            self._skip = int.from_bytes(packet[10:12], "little")
        if self._headers:
            self._headers -= 1
            return b""
        pcm = self._decoder.decode(packet)
        begin, self._decoded = self._decoded, self._decoded + len(pcm) // 2
        end = self._decoded
        if self._last_page:
            end = min(end, self._page_end - (self._clock_start or 0))
        return pcm[2 * max(0, self._skip - begin) : 2 * max(0, end - begin)]
