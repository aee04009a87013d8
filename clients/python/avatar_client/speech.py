"""One `Speak` call: a text spoken by an avatar."""

from avatar_client.events import SpeakEvent, SpeakStarted
from avatar_client.stream import MediaStream


class AsyncSpeech(MediaStream[SpeakStarted, SpeakEvent]):
    """An open `Speak` call: iterate over its events, which end with `TurnCompleted`."""
