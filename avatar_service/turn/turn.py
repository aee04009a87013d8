"""What one turn is given and what it leaves behind."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from opentelemetry.trace import INVALID_SPAN, Span

from avatar_service.engines.base import ChatDelta, ChatOptions, Message, TranscriptionOptions, Voice
from avatar_service.errors import EngineError
from avatar_service.events import Failure, Outcome, Source, TurnCompleted
from avatar_service.media.frame_codec import JPEG, FrameFormat
from avatar_service.media.heard import Heard, Spoken
from avatar_service.media.play_out import PlayOut
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Utterance
from avatar_service.stages.animate import Rendering
from avatar_service.stages.interleave import Interleaving
from avatar_service.stages.spans import DEFAULT_POLICY, AvatarLoop, SpanPolicy
from avatar_service.stages.think import Reply
from avatar_service.stages.tool_call_ids import ToolCallIds
from avatar_service.timings import Timings
from avatar_service.turn.early import Early


@dataclass(frozen=True, slots=True)
class UserInput:
    """What a turn answers: utterances, or text."""

    source: Source
    utterances: tuple[Utterance, ...] = ()
    texts: tuple[str, ...] = ()
    """Transcripts of the first utterances that are known already, because their own turn was broken off."""
    text: str = ""
    request_id: str = ""
    remembered: bool = True
    """Whether the chat model learns of it."""
    ended_at_s: float | None = None
    """Moment of the user's last sound on the loop's clock; None where nothing was spoken."""
    tool_messages: tuple[Message, ...] = ()
    """The assistant's calls and what they returned, after the conversation so far; with Source.TOOL_RESULTS alone."""
    resumes_turn_id: int = 0
    """The turn whose unheard rest `text` is; 0 if none."""
    unfinished: bool = False
    """Whether the chat model writes on after that rest."""

    early: Early | None = None
    """What is understood of the last utterance already, and maybe a reply to that."""

    def take_early(
        self, prompt: Sequence[Message], options: ChatOptions, timings: Timings
    ) -> AsyncGenerator[ChatDelta, None] | None:
        """The reply that was begun early, if it answers this prompt; another one is discarded."""
        completion = self.early.take_completion(prompt, options, timings) if self.early else None
        if completion is None:
            self.discard_early()
        return completion

    def discard_early(self) -> None:
        """Let go of what was begun early and is not used."""
        if self.early:
            self.early.discard()

    @property
    def recited(self) -> bool:
        """Whether the text, if any, is what the avatar says, rather than what it answers."""
        return self.source in (Source.SAY, Source.FIRST_MESSAGE, Source.FALSE_BARGE_IN, Source.RESUME)


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
    frames: FrameFormat = JPEG
    """How frames are encoded on the wire."""


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How turns of a conversation go; a change takes effect with the next turn."""

    system_prompt: str
    chat: ChatOptions
    voice: Voice
    transcription: TranscriptionOptions
    media: MediaSettings
    apology: str
    """What is said where no reply can be had."""


async def nothing_to_keep() -> None:
    """What is not resumed need not be saved."""


@dataclass(slots=True)
class VideoState:
    """What a stream's client was told of its video, over all turns."""

    is_lost: bool = False


@dataclass(slots=True)
class Turn:
    """One turn while it runs. Stages fill in what became of it; `completed` sums it up."""

    turn_id: int
    user_input: UserInput
    media: MediaSettings
    loop_index: int = 0
    """The picture of the avatar's loop that its first frame shows; settled by `begin`."""
    begin_loop: Callable[[], int] | None = None
    """Ends the idle frames and says at which picture the turn goes on; None where it is `loop_index`."""
    skipped: bool = False
    degraded_by: list[str] = field(default_factory=list)
    texts: list[str] = field(init=False)
    """Transcripts of the first of its utterances; the others have none yet."""
    reply: Reply = field(default_factory=Reply)
    spoken: Spoken = field(default_factory=Spoken)
    rendering: Rendering = field(default_factory=Rendering)
    interleaving: Interleaving = field(default_factory=Interleaving)
    voice_lost: EngineError | None = None
    """Why no more voice came, though there was more to say."""
    retries: int = 0
    """Requests to engines that were repeated."""
    frames_shed: int = 0
    """Frames that were ready but not sent because the client read too slowly."""
    video: VideoState = field(default_factory=VideoState)
    """The stream's, so that what one turn has lost can come back in another."""
    play_out: PlayOut = field(init=False)
    timings: Timings = field(default_factory=Timings)
    keep: Callable[[], Awaitable[None]] = nothing_to_keep
    """Saves what became of the turn so far, so that it survives its stream; never fails."""
    tool_call_ids: ToolCallIds = field(default_factory=ToolCallIds)
    """The session's, so that names of calls stay unique in it."""
    span: Span = INVALID_SPAN
    """What traces and metrics know it by."""
    _heard_s: float | None = field(init=False, default=None)
    _seen_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.texts = list(self.user_input.texts)
        self.play_out = PlayOut(unpaced=self.media.unpaced)

    @property
    def said(self) -> str:
        """What the user said, as far as it is understood; nothing where the text is the avatar's."""
        if self.user_input.recited:
            return ""
        return self.user_input.text or " ".join(filter(None, self.texts))

    @property
    def answers_nothing(self) -> bool:
        """Whether all that was said was no words."""
        return bool(self.user_input.utterances) and not self.said

    @property
    def timeline(self) -> Timeline:
        """The clock of this turn's media."""
        return Timeline(self.media.rate_hz, self.media.fps)

    def begin(self) -> AvatarLoop:
        """The avatar, from where in its loop the turn begins. Called before the turn's first render request and before
        its first media, whichever comes first: from then on no idle frame is sent."""
        if self.begin_loop:
            self.loop_index, self.begin_loop = self.begin_loop(), None
        return AvatarLoop(self.media.avatar_key, self.media.loop_length, self.loop_index)

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called: from then on the turn, not the idle avatar, is what is seen."""
        return self.begin_loop is None

    @property
    def next_loop_index(self) -> int:
        """The picture of the loop after the last that was seen; of an unpaced turn everything sent counts as seen."""
        seen_s = self.play_out.position_s if self._seen_s is None else self._seen_s
        seen_s = self.play_out.sent_s if self.media.unpaced else seen_s
        return self.loop_index + self.timeline.chunks_in(round(1000 * seen_s))

    def stop_hearing(self) -> None:
        """Let nothing more count as heard or seen: the client was told to stop. Again when it has told where it did."""
        if self._heard_s is None or self.play_out.is_stopped:
            self._heard_s, self._seen_s = self.play_out.heard_s, self.play_out.position_s

    @property
    def heard_s(self) -> float:
        """How much of its media counts as heard."""
        return self.play_out.heard_s if self._heard_s is None else self._heard_s

    @property
    def heard(self) -> Heard:
        """What of the reply was heard so far, and what was not."""
        return self.spoken.heard(self.heard_s)

    @property
    def delivered_text(self) -> str:
        """What the user got of the reply, in a turn that came to its end: what was heard, and where the voice was lost
        all of it, as text."""
        return self.reply.text.strip() if self.voice_lost else self.heard.text

    def require_voice(self) -> None:
        """Raise the EngineError by which the voice was lost, if it was: the turn has failed, after all else of it."""
        if self.voice_lost:
            raise self.voice_lost

    def completed(self, *, interrupted: bool = False, failure: Failure | None = None) -> TurnCompleted:
        """The turn's one closing event."""
        heard = self.heard
        return TurnCompleted(
            turn_id=self.turn_id,
            outcome=self._outcome(interrupted, failure),
            generated_text=self.reply.text,
            heard_text=heard.text,
            heard_estimated=heard.estimated or not self.play_out.is_reported,
            timings=self.timings,
            failure=failure,
            degraded_by=tuple(self.degraded_by),
            transcribed_s=self._transcribed_s,
            prompt_tokens=self.reply.prompt_tokens,
            completion_tokens=self.reply.completion_tokens,
            spoken_characters=sum(map(len, self.spoken.sentences)),
            frames_sent=self.interleaving.sent - self.frames_shed,
            frames_held=self.interleaving.held,
            frames_shed=self.frames_shed,
            frames_rendered=self.rendering.rendered,
            retries=self.retries,
            starved_s=self.play_out.stalled_s,
            media_s=self.play_out.sent_s,
            audio_only=self.media.audio_only,
        )

    @property
    def _transcribed_s(self) -> float:
        """User audio that the engine was given: not what was known before, and not silence."""
        given = self.user_input
        silent = given.early is not None and given.early.began_s is None
        utterances = given.utterances[len(given.texts) : -1 if silent else None]
        return sum(utterance.duration_s for utterance in utterances)

    def _outcome(self, interrupted: bool, failure: Failure | None) -> Outcome:
        if failure:
            return Outcome.FAILED
        if interrupted:
            return Outcome.INTERRUPTED
        if self.reply.tool_calls:
            return Outcome.AWAITING_TOOLS
        return Outcome.SKIPPED if self.skipped else Outcome.COMPLETED
