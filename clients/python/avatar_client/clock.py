"""The client's clock: that of the running event loop, which in a real one is `time.monotonic`."""

import asyncio


def now() -> float:
    """Seconds of a monotonic clock."""
    return asyncio.get_running_loop().time()
