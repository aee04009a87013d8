"""The one clock of the service: that of the running event loop, which tests can own."""

import asyncio


def now() -> float:
    """Seconds on the running loop's clock; only differences mean anything."""
    return asyncio.get_running_loop().time()
