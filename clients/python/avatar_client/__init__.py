"""Python client of the avatar service.

    with AvatarClient("127.0.0.1:50051") as client, client.converse() as conversation:
        conversation.send_text("How far is the moon?")
        conversation.end_input()
        for event in conversation:
            match event:
                case ReplyText(text=text):
                    print(text, end="")

`AsyncAvatarClient` is the same for asyncio. `Recorder` writes what comes to MP4, `PlayOut` tells what is to be shown
and heard at a moment, `talk` holds a whole conversation from a file or a text.
"""

import avatar_client._grpc_log  # noqa: F401  # before all that imports gRPC
from avatar_client.animation import AsyncAnimation
from avatar_client.audio_file import AudioFile
from avatar_client.client import AsyncAvatarClient
from avatar_client.conversation import AsyncConversation
from avatar_client.credentials import tls_credentials
from avatar_client.errors import (
    AlreadyExists,
    AvatarClientError,
    FileError,
    InvalidRequest,
    LimitReached,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotOffered,
    PreparationFailed,
    ServiceError,
    ServiceFault,
    SoundError,
    StreamEnded,
    TakenOver,
    TimedOut,
    TooMuchWaiting,
    Unavailable,
)
from avatar_client.events import (
    AnimateEvent,
    AnimateStarted,
    Audio,
    AudioReceived,
    ConfigUpdated,
    ConnectionLost,
    ConverseEvent,
    Event,
    Frame,
    GoAway,
    Interrupted,
    Media,
    Notice,
    ReplyFinished,
    ReplyText,
    Resumed,
    SegmentCompleted,
    SegmentFinished,
    SegmentStarted,
    SessionStarted,
    SpeakEvent,
    SpeakStarted,
    SpeechStarted,
    SpeechStopped,
    SpokenText,
    StateChanged,
    ToolCalls,
    ToolCallsCancelled,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_client.facts import (
    Avatar,
    FaceBox,
    Limits,
    MediaFormat,
    Model,
    PreparationReport,
    ServerInfo,
    Status,
    ToolCall,
    TurnMetrics,
    Usage,
    Voice,
    VoiceSettings,
)
from avatar_client.frames import FrameDecoder
from avatar_client.play_out import Due, PlayOut, PlayOutClock
from avatar_client.recorder import Recorder
from avatar_client.recording import AsyncRecorder
from avatar_client.speech import AsyncSpeech
from avatar_client.sync_client import AvatarClient
from avatar_client.sync_streams import Animation, Conversation, Speech
from avatar_client.talk import TalkResult, talk
from avatar_client.tools import Tool
from avatar_client.turns import TurnResult

__all__ = [
    "AlreadyExists",
    "AnimateEvent",
    "AnimateStarted",
    "Animation",
    "AsyncAnimation",
    "AsyncAvatarClient",
    "AsyncConversation",
    "AsyncRecorder",
    "AsyncSpeech",
    "Audio",
    "AudioFile",
    "AudioReceived",
    "Avatar",
    "AvatarClient",
    "AvatarClientError",
    "ConfigUpdated",
    "ConnectionLost",
    "Conversation",
    "ConverseEvent",
    "Due",
    "Event",
    "FaceBox",
    "FileError",
    "Frame",
    "FrameDecoder",
    "GoAway",
    "Interrupted",
    "InvalidRequest",
    "LimitReached",
    "Limits",
    "Media",
    "MediaFormat",
    "Model",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "NotOffered",
    "Notice",
    "PlayOut",
    "PlayOutClock",
    "PreparationFailed",
    "PreparationReport",
    "Recorder",
    "ReplyFinished",
    "ReplyText",
    "Resumed",
    "SegmentCompleted",
    "SegmentFinished",
    "SegmentStarted",
    "ServerInfo",
    "ServiceError",
    "ServiceFault",
    "SessionStarted",
    "SoundError",
    "SpeakEvent",
    "SpeakStarted",
    "Speech",
    "SpeechStarted",
    "SpeechStopped",
    "SpokenText",
    "StateChanged",
    "Status",
    "StreamEnded",
    "TakenOver",
    "TalkResult",
    "TimedOut",
    "TooMuchWaiting",
    "Tool",
    "ToolCall",
    "ToolCalls",
    "ToolCallsCancelled",
    "Transcript",
    "TurnCompleted",
    "TurnMetrics",
    "TurnResult",
    "TurnStarted",
    "Unavailable",
    "Usage",
    "Voice",
    "VoiceSettings",
    "talk",
    "tls_credentials",
]
