"""Async Python client of the avatar service.

    async with AvatarClient("127.0.0.1:50051") as client:
        async with client.converse() as conversation:
            await conversation.send_text("How far is the moon?")
            await conversation.end_input()
            async for response in conversation:
                ...

`talk` holds a whole conversation from a file or a text and records it; `Recorder` writes MP4 files.
"""

from avatar_client.client import AvatarClient
from avatar_client.conversation import Conversation
from avatar_client.errors import AvatarClientError, FileError, ServiceError
from avatar_client.recorder import Recorder
from avatar_client.talk import TalkResult, talk
from avatar_client.turns import TurnResult
from avatar_client.wav import WavAudio, read_wav

__all__ = [
    "AvatarClient",
    "AvatarClientError",
    "Conversation",
    "FileError",
    "Recorder",
    "ServiceError",
    "TalkResult",
    "TurnResult",
    "WavAudio",
    "read_wav",
    "talk",
]
