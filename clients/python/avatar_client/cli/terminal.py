"""Lines or keys that a person types, and Ctrl-C, beside an event loop."""

import asyncio
import os
import signal
import termios
import tty
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

READ_BYTES = 65_536
CTRL_D: Final = "\x04"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person types there, and to this program: one in the background must leave the terminal alone."""
    try:
        return stream.isatty() and os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except OSError:  # no file, or a terminal that is not this session's own
        return False


async def read_lines(descriptor: int) -> AsyncGenerator[str]:
    """The lines of a terminal, a pipe or a file, without their ends, until it is closed or Ctrl-D comes."""
    waiting = b""
    while data := await _read(descriptor):
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if waiting:
        yield waiting.decode(errors="replace")


async def read_keys(descriptor: int) -> AsyncGenerator[str]:
    """The keys that are pressed at a terminal, one by one, until it is closed or Ctrl-D is pressed.

    Meanwhile they are not shown. Ctrl-C interrupts as ever.
    """
    with _each_key(descriptor):
        while data := await _read(descriptor):
            for key in data.decode(errors="replace"):
                if key == CTRL_D:
                    return
                yield key


@contextmanager
def _each_key(descriptor: int) -> Iterator[None]:
    """Have a terminal hand over each key as it is pressed, and as it was afterwards."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSANOW)  # without throwing away what was typed already
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


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
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # the terminal was closed
        return b""


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
