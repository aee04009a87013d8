"""A service process with scripted engines, for tests to stop or to kill: prints its address, ends with its input."""

import asyncio
import sys
from pathlib import Path

from avatar_service.cli.running import run
from avatar_service.log import set_up
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.service.calls import Fakes, serving

STORY = "The moon is near. It turns with us, so that one face is all we see. The other is dark. Men walked there."


async def main(avatars: str, redis_url: str) -> None:
    """Serve until standard input closes, as it does when whoever started this has ended."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    fakes = Fakes(
        chat=FakeChat(Reply(STORY, 0.02, 0.3)),
        speech=FakeSpeech(ttfb_s=0.05, rate=4.0, seconds_per_character=0.03),
        lip_sync=FakeLipSync(render_s=0.005),
    )
    async with serving(Path(avatars), fakes, sessions={"redis_url": redis_url}, stop_grace_s=10.0) as server:
        print(server.address, flush=True)  # noqa: T201  # its parent reads it
        await ended.wait()


if __name__ == "__main__":
    set_up("INFO", "console")
    run(main(*sys.argv[1:]))
