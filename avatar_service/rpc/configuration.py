"""The configuration of one conversation over its life: as it was asked for, and as updates change it."""

from avatar.v1 import ConfigUpdate, ConverseConfig
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.config_from_proto import ConfigParser, Conversation
from avatar_service.rpc.effective_conversation import effective_conversation
from avatar_service.session.inputs import ConfigChanged

ROOT = "config_update"


class Configuration:
    """What a conversation was asked for with every update so far, and what follows from it."""

    def __init__(self, asked: ConverseConfig, parser: ConfigParser) -> None:
        """Raises ClientError for a field that is wrong or not served."""
        self.asked = asked
        """As the client has it, no default filled in: all that is needed to go on elsewhere."""
        self.conversation: Conversation = parser.parse(asked)
        self._parser = parser

    @property
    def told(self) -> ConverseConfig:
        """The configuration in force, for the client."""
        return effective_conversation(self.conversation, self.asked)

    def update(self, update: ConfigUpdate) -> ConfigChanged:
        """Take in what a client changes. Raises ClientError, and changes nothing, if it cannot be."""
        asked = _merged(self.asked, update)
        kept = None if update.avatar else self.conversation.session.avatar
        conversation = self._parser.parse(asked, ROOT, kept)
        _check_avatar(self.conversation, conversation)
        self.asked, self.conversation = asked, conversation
        return ConfigChanged(conversation.session, self.told)


def _merged(asked: ConverseConfig, update: ConfigUpdate) -> ConverseConfig:
    """What is set replaces the whole of what was, what is absent stays."""
    merged = ConverseConfig()
    merged.CopyFrom(asked)
    if update.HasField("system_prompt"):
        merged.system_prompt = update.system_prompt
    if update.avatar:
        merged.avatar = update.avatar
    if update.HasField("voice"):
        merged.voice.CopyFrom(update.voice)
    if update.HasField("turn_taking"):
        merged.turn_taking.CopyFrom(update.turn_taking)
    if update.HasField("chat"):
        merged.chat.CopyFrom(update.chat)
    if update.HasField("tools"):
        merged.tools.CopyFrom(update.tools)
    if update.HasField("transcription"):
        merged.transcription.CopyFrom(update.transcription)
    return merged


def _check_avatar(before: Conversation, after: Conversation) -> None:
    old, new = before.session.avatar, after.session.avatar
    if (old.width, old.height, old.fps) != (new.width, new.height, new.fps):
        raise InvalidArgument(
            f"{ROOT}.avatar",
            f"has {new.width} by {new.height} pixels and {new.fps} fps; give one of {old.width} by {old.height} "
            f"and {old.fps} fps, or begin a new session",
        )
