"""Ends this process when the one that started it ends.

Triton's Python backend runs a model in a process of its own, which outlives a server that dies of a signal and keeps
its memory. PR_SET_PDEATHSIG cannot be used: it follows the thread that forked, and Triton's loader thread ends early.
"""

import os
import select
import threading


class ParentWatch:
    """Waits for the parent's end in a thread, from construction to ``close``."""

    def __init__(self) -> None:
        self._parent = os.pidfd_open(os.getppid())  # readable when that process has ended
        self._closing, self._close = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="parent-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        os.write(self._close, b"\0")
        self._thread.join()
        for descriptor in (self._parent, self._closing, self._close):
            os.close(descriptor)

    def _watch(self) -> None:
        ready, _, _ = select.select([self._parent, self._closing], [], [])
        if self._closing not in ready:
            os._exit(1)  # no clean-up: whoever would use its results is gone
