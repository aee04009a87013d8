"""When the user speaks and when they have finished: a state machine over voice activity, with no clock of its own.

Time is counted in received audio, so a recording can be fed at any speed and gives the same utterances.
"""

from dataclasses import dataclass
from enum import Enum, auto

WINDOW_S = 512 / 16_000
"""Seconds of audio behind one probability."""


@dataclass(frozen=True, slots=True)
class EndpointingSettings:
    """How speech is told from silence; defaults are those of the field."""

    threshold: float = 0.5
    """Probability from which a window is speech; speech goes on down to 0.15 below it."""
    prefix_s: float = 0.3
    """Audio kept from before the first speech."""
    minimum_speech_s: float = 0.25
    """Speech shorter than this is noise."""
    silence_s: float = 0.5
    """Silence that ends an utterance."""
    longest_s: float = 60.0
    """Length at which an utterance is ended whatever follows."""


class Change(Enum):
    """What a window changed."""

    STARTED = auto()
    STOPPED = auto()


class Endpointer:
    """Follows one microphone. After STARTED, `start_s` is set; after STOPPED, `end_s` too."""

    def __init__(self, settings: EndpointingSettings) -> None:
        self._settings = settings
        self._heard_s = 0.0
        self._candidate_s: float | None = None
        self._speech_s = 0.0
        self._last_speech_s = 0.0
        self.speaking = False
        self.speech_from_s = 0.0
        """Where the voice begins; `start_s` lies the prefix before it."""
        self.start_s = 0.0
        self.end_s = 0.0

    def push(self, probability: float) -> Change | None:
        """Take in the next window's probability; return what it changed."""
        begin_s = self._heard_s
        self._heard_s += WINDOW_S
        level = self._settings.threshold - (0.15 if self._candidate_s is not None else 0.0)
        if probability >= level:
            if self._candidate_s is None:
                self._candidate_s, self._speech_s = begin_s, 0.0
            self._speech_s += WINDOW_S
            self._last_speech_s = self._heard_s
        if self._candidate_s is None:
            return None
        return self._while_speaking() if self.speaking else self._while_candidate()

    def stop(self) -> Change | None:
        """End the utterance now, as when the microphone is gone."""
        return self._stop() if self.speaking else None

    @property
    def needed_from_s(self) -> float:
        """From where on audio may still belong to an utterance; what lies before can be forgotten."""
        if self.speaking:
            return self.start_s
        begin_s = self._heard_s if self._candidate_s is None else self._candidate_s
        return max(begin_s - self._settings.prefix_s, self._heard_s - self._settings.longest_s)

    def _while_candidate(self) -> Change | None:
        if self._speech_s >= self._settings.minimum_speech_s:
            assert self._candidate_s is not None
            self.speaking = True
            self.speech_from_s = self._candidate_s
            self.start_s = max(self._candidate_s - self._settings.prefix_s, self.end_s)
            return Change.STARTED
        if self._silence_s >= self._settings.silence_s:
            self._candidate_s = None
        return None

    def _while_speaking(self) -> Change | None:
        too_long = self._heard_s - self.start_s >= self._settings.longest_s
        return self._stop() if too_long or self._silence_s >= self._settings.silence_s else None

    def _stop(self) -> Change:
        self.speaking = False
        self._candidate_s = None
        self.end_s = self._heard_s
        return Change.STOPPED

    @property
    def _silence_s(self) -> float:
        return self._heard_s - self._last_speech_s

    @property
    def last_speech_s(self) -> float:
        """End of the last window that held speech."""
        return self._last_speech_s
