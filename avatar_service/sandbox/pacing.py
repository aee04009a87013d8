"""When bytes may leave: first-byte delays and the drip of speech."""

import asyncio
import time


async def hold_first_byte(received_s: float, delay_s: float) -> None:
    """Wait until ``delay_s`` after ``received_s`` (monotonic); returns at once if the model took longer."""
    await asyncio.sleep(max(0.0, received_s + delay_s - time.monotonic()))


class Drip:
    """Paces media at ``rate`` times real time, counted from the first byte; ``rate`` None does not wait."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._started_s: float | None = None

    async def until_due(self, position_s: float) -> None:
        """Wait until the media that begins ``position_s`` after the first byte may leave."""
        if self._rate is None:
            return
        now_s = time.monotonic()
        if self._started_s is None:
            self._started_s = now_s
        await asyncio.sleep(max(0.0, self._started_s + position_s / self._rate - now_s))
