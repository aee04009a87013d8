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


PAUSE_S = 6 * WINDOW_S
"""Silence after which an utterance may be over, 192 ms: longer than the gaps within words, and early enough to save
time. Whole windows: a pause is seen at the end of one."""
ECHO_SURER, ECHO_SUREST = 0.3, 0.95
"""By how much surer a voice must be while the avatar speaks into the microphone too, and what is always enough. What an
echo canceller leaves is judged as doubtful speech; a user near the microphone is judged above 0.9."""
ECHO_LONGER = 2
"""How many times as long it must last: what is left of an echo comes in bursts of single syllables, about 0.2 s."""
HYSTERESIS = 0.15
"""By how much less sure a voice may be to go on than to begin."""


class Change(Enum):
    """What a window changed."""

    STARTED = auto()
    PAUSED = auto()
    """The user is silent, and may have finished."""
    WENT_ON = auto()
    """The user had not."""
    STOPPED = auto()


class Endpointer:
    """Follows one microphone. After STARTED, `start_s` is set; after STOPPED, `end_s` too."""

    def __init__(self, settings: EndpointingSettings, *, manual: bool = False, heard_s: float = 0.0) -> None:
        """With `manual` the client marks utterances; voices decide nothing. `heard_s` is where time begins."""
        self.settings = settings
        self.suppresses = False
        """Whether a voice may be the avatar's own echo, and so must be surer and last longer."""
        self.manual = manual
        self._heard_s = heard_s
        self._candidate_s: float | None = None
        self._speech_s = 0.0
        self._last_speech_s = heard_s
        self._longer_silence_s = 0.0
        self.speaking = False
        self.pauses = False
        """Whether the user is silent after words within an utterance."""
        self.has_voice = False
        """Whether a voice was heard in the last utterance; where the client marks them there may be none."""
        self.was_too_long = False
        """Whether the last utterance was ended because of its length."""
        self.speech_from_s = heard_s
        """Where the voice begins, or the client's mark lies; `start_s` lies the prefix before it."""
        self.start_s = heard_s
        self.end_s = heard_s

    def configure(self, settings: EndpointingSettings, *, manual: bool) -> None:
        """Judge by these settings from now on. Where the mode changes, no utterance may be open."""
        if manual != self.manual:
            self._candidate_s = None
        self.settings, self.manual = settings, manual

    def begin(self, at_s: float) -> Change | None:
        """The client says that an utterance begins here."""
        if self.speaking or not self.manual:
            return None
        self.start_s = max(at_s - self.settings.prefix_s, self.end_s)
        self.speech_from_s = self._last_speech_s = at_s
        return self._start()

    def end(self, at_s: float) -> Change | None:
        """The client says that the utterance is over here."""
        return self._stop(at_s) if self.speaking and self.manual else None

    def wait_longer(self, silence_s: float) -> None:
        """Let this pause last so long, if that is longer, before it ends the utterance."""
        self._longer_silence_s = silence_s if self.pauses else 0.0

    def push(self, probability: float) -> Change | None:
        """Take in the next window's probability; return what it changed."""
        begin_s = self._heard_s
        self._heard_s += WINDOW_S
        listens = not self.manual or (self.speaking and self._heard_s > self.speech_from_s)
        if listens and probability >= self._level:
            if self._candidate_s is None:
                self._candidate_s, self._speech_s = begin_s, 0.0
            self._speech_s += WINDOW_S
            self._last_speech_s = self._heard_s
            self.has_voice = self.speaking
        if self.speaking:
            return self._while_speaking()
        return None if self._candidate_s is None else self._while_candidate()

    def stop(self) -> Change | None:
        """End the utterance now, as when the microphone is gone."""
        return self._stop(self._heard_s) if self.speaking else None

    @property
    def needed_from_s(self) -> float:
        """From where on audio may still belong to an utterance; what lies before can be forgotten."""
        if self.speaking:
            return self.start_s
        begin_s = self._heard_s if self._candidate_s is None else self._candidate_s
        return max(begin_s - self.settings.prefix_s, self._heard_s - self.settings.longest_s, self.end_s)

    @property
    def _level(self) -> float:
        """From which probability on the next window is speech."""
        level = self.settings.threshold
        if self.suppresses and not self.manual:
            level = max(level, min(level + ECHO_SURER, ECHO_SUREST))
        return level - (HYSTERESIS if self._candidate_s is not None else 0.0)

    def _while_candidate(self) -> Change | None:
        if self._speech_s >= self.settings.minimum_speech_s * (ECHO_LONGER if self.suppresses else 1):
            assert self._candidate_s is not None
            self.speech_from_s = self._candidate_s
            self.start_s = max(self._candidate_s - self.settings.prefix_s, self.end_s)
            return self._start()
        if self._silence_s >= self.settings.silence_s:
            self._candidate_s = None
        return None

    def _while_speaking(self) -> Change | None:
        self.was_too_long = self._heard_s - self.start_s >= self.settings.longest_s
        ends = not self.manual and self._silence_s >= max(self.settings.silence_s, self._longer_silence_s)
        if self.was_too_long or ends:
            return self._stop(self._heard_s)
        if not self.has_voice or self.pauses == (self._silence_s > PAUSE_S - WINDOW_S / 2):
            return None
        self.pauses, self._longer_silence_s = not self.pauses, 0.0
        return Change.PAUSED if self.pauses else Change.WENT_ON

    def _start(self) -> Change:
        self.speaking, self.was_too_long = True, False
        self.has_voice = not self.manual
        return Change.STARTED

    def _stop(self, at_s: float) -> Change:
        self.speaking = self.pauses = False
        self._longer_silence_s = 0.0
        self._candidate_s = None
        self.end_s = at_s
        self._last_speech_s = min(self._last_speech_s, at_s) if self.has_voice else at_s
        return Change.STOPPED

    @property
    def _silence_s(self) -> float:
        return self._heard_s - self._last_speech_s

    @property
    def last_speech_s(self) -> float:
        """End of the last window that held speech."""
        return self._last_speech_s
