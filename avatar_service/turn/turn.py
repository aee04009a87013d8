"""What one turn is given and what it leaves behind."""

from dataclasses import dataclass, field
from fractions import Fraction

from avatar_service.engines.base import ChatOptions, TranscriptionOptions, Voice
from avatar_service.events import Failure, Outcome, Source, TurnCompleted
from avatar_service.media.heard import SpokenSentence, heard_text
from avatar_service.media.play_out import PlayOut
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Utterance
from avatar_service.stages.animate import Rendering
from avatar_service.stages.interleave import Interleaving
from avatar_service.stages.spans import DEFAULT_POLICY, AvatarLoop, SpanPolicy
from avatar_service.stages.think import Reply
from avatar_service.timings import Timings


@dataclass(frozen=True, slots=True)
class UserInput:
    """What a turn answers: utterances, or text."""

    source: Source
    utterances: tuple[Utterance, ...] = ()
    text: str = ""
    request_id: str = ""
    remembered: bool = True
    """Whether the chat model learns of it."""
    ended_at_s: float | None = None
    """Moment of the user's last sound on the loop's clock; None where nothing was spoken."""

    @property
    def recited(self) -> bool:
        """Whether the text is what the avatar says, rather than what it answers."""
        return self.source in (Source.SAY, Source.FIRST_MESSAGE)


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """How the media of a stream are made and sent."""

    avatar_key: str
    loop_length: int
    fps: Fraction
    rate_hz: int
    """Sample rate of the voice that the client gets."""
    lead_s: float
    unpaced: bool = False
    """Whether media go out as fast as they are made: no frame is held, and `lead_s` means nothing."""
    audio_only: bool = False
    """Whether there are no frames."""
    codec_delay_s: float = 0.0
    """By how much the voice's encoding on the wire delays it: as much silence follows its end."""
    spans: SpanPolicy = DEFAULT_POLICY
    """How much sound the lips are moved by."""


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How turns of a conversation go; a change takes effect with the next turn."""

    system_prompt: str
    chat: ChatOptions
    voice: Voice
    transcription: TranscriptionOptions
    media: MediaSettings


@dataclass(slots=True)
class Turn:
    """One turn while it runs. Stages fill in what became of it; `completed` sums it up."""

    turn_id: int
    user_input: UserInput
    media: MediaSettings
    loop_index: int = 0
    skipped: bool = False
    degraded_by: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Transcripts of the first of its utterances; the others have none yet."""
    reply: Reply = field(default_factory=Reply)
    spoken: list[SpokenSentence] = field(default_factory=list)
    rendering: Rendering = field(default_factory=Rendering)
    interleaving: Interleaving = field(default_factory=Interleaving)
    play_out: PlayOut = field(init=False)
    timings: Timings = field(default_factory=Timings)

    def __post_init__(self) -> None:
        self.play_out = PlayOut(unpaced=self.media.unpaced)

    @property
    def timeline(self) -> Timeline:
        """The clock of this turn's media."""
        return Timeline(self.media.rate_hz, self.media.fps)

    @property
    def loop(self) -> AvatarLoop:
        """The avatar, from the picture that was last seen."""
        return AvatarLoop(self.media.avatar_key, self.media.loop_length, self.loop_index)

    @property
    def next_loop_index(self) -> int:
        """The picture of the loop after the last that was seen; of an unpaced turn everything sent counts as seen."""
        seen_s = self.play_out.sent_s if self.media.unpaced else self.play_out.position_s
        return self.loop_index + self.timeline.chunks_in(round(1000 * seen_s))

    @property
    def heard_text(self) -> str:
        """What of the reply was played so far."""
        return heard_text(self.spoken, self.play_out.position_s)

    def completed(self, *, interrupted: bool = False, failure: Failure | None = None) -> TurnCompleted:
        """The turn's one closing event."""
        return TurnCompleted(
            turn_id=self.turn_id,
            outcome=self._outcome(interrupted, failure),
            generated_text=self.reply.text,
            heard_text=self.heard_text,
            timings=self.timings,
            failure=failure,
            degraded_by=tuple(self.degraded_by),
            transcribed_s=sum(utterance.duration_s for utterance in self.user_input.utterances),
            prompt_tokens=self.reply.prompt_tokens,
            completion_tokens=self.reply.completion_tokens,
            spoken_characters=sum(len(sentence.text) for sentence in self.spoken),
            frames_sent=self.interleaving.sent,
            frames_held=self.interleaving.held,
            frames_rendered=self.rendering.rendered,
            starved_s=self.play_out.stalled_s,
            media_s=self.play_out.sent_s,
            audio_only=self.media.audio_only,
        )

    def _outcome(self, interrupted: bool, failure: Failure | None) -> Outcome:
        if failure:
            return Outcome.FAILED
        if interrupted:
            return Outcome.INTERRUPTED
        return Outcome.SKIPPED if self.skipped else Outcome.COMPLETED
