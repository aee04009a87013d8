"""Lines that a person types, and Ctrl-C, beside an event loop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

READ_BYTES = 65_536


async def read_lines(descriptor: int) -> AsyncIterator[str]:
    """The lines of a terminal, a pipe or a file, without their ends, until it is closed or Ctrl-D comes."""
    waiting = b""
    while data := await _read(descriptor):
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if waiting:
        yield waiting.decode(errors="replace")


async def _read(descriptor: int) -> bytes:
    """The next bytes, as soon as there are some; none at the end."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    try:
        loop.add_reader(descriptor, _set, readable)
    except PermissionError:  # a regular file, which is always readable and cannot be waited for
        return os.read(descriptor, READ_BYTES)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, READ_BYTES)


def _set(readable: "asyncio.Future[None]") -> None:
    if not readable.done():
        readable.set_result(None)


@contextmanager
def on_ctrl_c(pressed: Callable[[], None]) -> Iterator[None]:
    """Call `pressed` in the running loop at each Ctrl-C, in the place of KeyboardInterrupt."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, pressed)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
