"""A scripted server in a thread of its own, for what blocks the test's own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.unit.client.scripted_service import Script, serving


@contextmanager
def server(script: Script) -> Iterator[str]:
    """Serve `script` for as long as the context lasts; yields the address."""
    address: list[str] = []
    ready, done = threading.Event(), threading.Event()

    async def main() -> None:
        async with serving(script) as bound:
            address.append(bound)
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.005)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="server")
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield address[0]
    finally:
        done.set()
        thread.join()
