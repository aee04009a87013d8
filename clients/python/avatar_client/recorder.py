"""Recording a stream to an MP4 file: what was seen and heard, and nothing of what was interrupted."""

from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc

from avatar_client.audio_file import as_samples
from avatar_client.errors import ServiceFault
from avatar_client.events import Audio, Event, Frame, Interrupted, Media, Resumed, SegmentCompleted, TurnCompleted
from avatar_client.facts import MediaFormat
from avatar_client.frames import FrameDecoder
from avatar_client.mp4 import Mp4File

LONGEST_LEAD_S: Final = 5.0
"""How far the contract lets media be ahead of play-out: what is older can no longer be interrupted."""


class Recorder:
    """Writes the media of a stream to an MP4 file, turn after turn without a gap: H.264, and AAC at 48 kHz.

    Idle frames are recorded between the turns, with silence, for as long as they were shown. Give it every event, as it
    comes. A turn's media are kept back while they can still be interrupted, at most the last 5 s of them: of an
    interrupted turn the file holds what was played. Blocking; for one thread at a time.
    """

    def __init__(self, path: Path | str, media: MediaFormat) -> None:
        """Open `path` for a stream whose media are as `media` says.

        Raises FileError for a place that cannot be written, and ServiceFault if the stream has no frames.
        """
        if media.width < 1 or media.height < 1:
            message = "the service sends no frames in this stream, so there is nothing to record"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message)
        self.path = Path(path)
        self._file = Mp4File(self.path, media.frame_rate, media.width, media.height, media.sample_rate_hz)
        self._decoder = FrameDecoder(media.frame_encoding, media.width, media.height)
        self._waiting: deque[Media] = deque()
        self._captions: dict[int, str] = {}
        self._turn_id = 0
        self._idle_index = -1  # of the last idle frame, -1 within a turn

    @property
    def duration_s(self) -> float:
        """Length of what is written so far."""
        return self._file.duration_s

    def __enter__(self) -> Self:
        """Return the recorder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, with what there is."""
        self.close()

    def add(self, event: Event) -> None:
        """Take in an event: media are written, the rest of an interrupted turn is dropped."""
        match event:
            case Frame(turn_id=0) if not self._waiting:
                self._write(event)
            case Audio() | Frame():
                self._waiting.append(event)
                while self._is_settled(self._waiting[0], event):
                    self._write(self._waiting.popleft())
            case Interrupted(turn_id=turn_id, played_s=played_s):
                self._drop_unplayed(turn_id, played_s)
            case Resumed(turn_id=turn_id, played_s=played_s):
                self._drop_unplayed(turn_id, played_s)
                self._write_all()
            case TurnCompleted() | SegmentCompleted():
                self._write_all()

    def set_caption(self, turn_id: int, caption: str) -> None:
        """Show `caption` in the pictures of a turn, whose media are still to come."""
        self._captions[turn_id] = caption

    def close(self) -> None:
        """Write what is left, finish the file and give it its name; without any frame there is no file."""
        self._write_all()
        self._file.close()

    def _is_settled(self, media: Media, newest: Media) -> bool:
        """Whether `media` can no longer be interrupted now that `newest` has come."""
        return media.turn_id == newest.turn_id and media.offset_s < newest.offset_s - LONGEST_LEAD_S

    def _write_all(self) -> None:
        while self._waiting:
            self._write(self._waiting.popleft())

    def _drop_unplayed(self, turn_id: int, played_s: float) -> None:
        """Forget what waits of the turns up to `turn_id`, all but the first `played_s` of that one."""
        self._waiting = deque(media for media in self._waiting if _was_played(media, turn_id, played_s))

    def _write(self, media: Media) -> None:
        picture = self._decoder.decode(media) if isinstance(media, Frame) else None
        if isinstance(media, Frame) and media.turn_id == 0:
            if media.index <= self._idle_index or self._idle_index < 0:
                self._file.begin_turn()
            self._idle_index = media.index
            if picture is not None:
                self._file.add_idle_frame(media.index, picture)
            return
        self._idle_index = -1
        if media.turn_id != self._turn_id:
            self._turn_id = media.turn_id
            self._file.begin_turn(self._captions.pop(media.turn_id, ""))
        if isinstance(media, Audio):
            self._file.add_audio(as_samples(media.pcm))
        elif picture is not None:
            self._file.add_frame(media.index, picture)


def _was_played(media: Media, turn_id: int, played_s: float) -> bool:
    """Whether media are to be kept when turn `turn_id` is stopped at `played_s`."""
    if media.turn_id == 0 or media.turn_id > turn_id:
        return True
    return media.turn_id < turn_id or media.offset_s < played_s
