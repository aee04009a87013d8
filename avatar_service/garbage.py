"""Python's garbage collector, set for a process that serves streams in real time.

What start-up made is never garbage, but each full collection looks at all of it: 0.1 s in which nothing is sent, every
few seconds at 80 streams. Cycles are rare while streams go on, so that it is enough to look for them a tenth as often.
What is left of a stream is one: about 800 objects, of which Python would let a million wait, and an encoder of H.264 of
7 MB, which Python does not see. So streams that have ended are collected by their number.
"""

import gc

NEW_OBJECTS = 10_000
"""Objects made and still there, after which the newest are looked at; Python's own choice is 700."""
STREAMS_TOGETHER = 10
"""Ended streams that are collected together: at most 70 MB of encoders. It takes 25 to 45 ms with 50 streams that speak
on, and 65 ms with fifty together."""


def settle() -> None:
    """Set everything there is apart from collection. Call it once, when the process is ready to serve."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


class EndedStreams:
    """Streams of the process that have ended and are not collected."""

    def __init__(self, together: int = STREAMS_TOGETHER) -> None:
        self._together = together
        self._waiting = 0

    def add(self) -> None:
        """Note that a stream has ended; each so-manieth time, collect those before it."""
        self._waiting += 1
        if self._waiting >= self._together:
            self._waiting = 0
            gc.collect()
