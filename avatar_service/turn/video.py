"""Whether the client of a stream sees lip-synced frames: it is told once when they are lost and once when they are
back, however many turns lie between.
"""

from avatar_service.channel import Sender
from avatar_service.errors import EngineError
from avatar_service.events import Event, Notice
from avatar_service.log import get_logger
from avatar_service.turn.failure import failure_of
from avatar_service.turn.turn import Turn

log = get_logger(__name__)


class VideoNotices:
    """What the rendering of a turn leads to; `turn.video` remembers it for the turns after."""

    def __init__(self, turn: Turn, out: Sender[Event]) -> None:
        self._turn = turn
        self._out = out

    async def lost(self, error: EngineError) -> None:
        """A request failed: the turn is degraded. Told and logged only if the last one did not."""
        turn = self._turn
        if "VIDEO_LOST" not in turn.degraded_by:
            turn.degraded_by.append("VIDEO_LOST")
        if not turn.video.is_lost:
            turn.video.is_lost = True
            log.warning("engine_failed", **error.facts)
            message = "The voice goes on, frames are held."
            notice = Notice("VIDEO_LOST", message, turn.turn_id, stage=error.stage, failure=failure_of(error))
            await self._out.send(notice)

    async def rendered(self) -> None:
        """A request was answered with a moving mouth: told if the one before was not."""
        turn = self._turn
        if turn.video.is_lost:
            turn.video.is_lost = False
            log.info("engine_back", stage="animate")
            await self._out.send(Notice("VIDEO_RESTORED", "Frames come again.", turn.turn_id, stage="animate"))
