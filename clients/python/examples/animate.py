"""Have an avatar speak with the voice in a file: `python animate.py voice.mp3`. The same with asyncio."""

import asyncio
import sys
from pathlib import Path

from avatar_client import AsyncAvatarClient, AsyncRecorder


async def main(voice: Path) -> None:
    """Write `talking.mp4`."""
    async with (
        AsyncAvatarClient("127.0.0.1:50051") as client,
        client.animate(voice, unpaced=True) as animation,
        AsyncRecorder("talking.mp4", animation.media) as video,
    ):
        async for event in animation:
            await video.add(event)


if len(sys.argv) != 2:
    sys.exit("give the file with the voice: python animate.py voice.mp3")
asyncio.run(main(Path(sys.argv[1])))
