"""A real server on a free port with the fakes behind it, and a `Converse` call as a test holds it."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from avatar.v1 import (
    AnimateConfig,
    AnimateRequest,
    AnimateResponse,
    AvatarServiceStub,
    ConverseConfig,
    ConverseRequest,
    ConverseResponse,
    Interrupt,
    Say,
    SegmentAudio,
    SegmentEnded,
    SpeakRequest,
    SpeakResponse,
    UserAudio,
    UserText,
)
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.store import AvatarStore
from avatar_service.engines.base import Engines
from avatar_service.rpc.server import running_server
from avatar_service.settings import (
    AccessSettings,
    LimitSettings,
    PreparationSettings,
    ServerSettings,
    SessionSettings,
    Settings,
)
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.faces import FakeFaces
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber
from tests.fakes.voice_activity import FakeVoiceActivity, pcm_of_probability
from tests.service.responses import Responses

if TYPE_CHECKING:
    from avatar.v1.avatar_service_pb2_grpc import AvatarServiceAsyncStub  # exists for type checkers alone

SPEECH_THEN_SILENCE = ((0.0, 0.4), (1.0, 0.8), (0.0, 0.7))
"""User audio with one utterance: (probability of speech, seconds)."""
DESCRIBED = {
    "display_name": "Ada",
    "width": 512,
    "height": 512,
    "fps": 25.0,
    "loop": "ping-pong",
    "boxes": [[128, 128, 384, 384]] * 6,
    "tier": "nano",
    "vae_sha256": "0" * 64,
    "sha256": "1" * 64,
}
"""An avatar.json as inference/avatar_bundle.py writes it, but for the id."""


def write_avatars(store: Path, *ids: str) -> Path:
    """A directory of avatar descriptions."""
    for avatar_id in ids:
        (store / avatar_id).mkdir(parents=True)
        (store / avatar_id / "avatar.json").write_text(json.dumps({"id": avatar_id} | DESCRIBED))
    return store


@dataclass
class Fakes:
    """The engines of one server."""

    transcriber: FakeTranscriber = field(default_factory=FakeTranscriber)
    chat: FakeChat = field(default_factory=lambda: FakeChat(Reply("Hello there.", 0.01, 0.01)))
    speech: FakeSpeech = field(default_factory=lambda: FakeSpeech(ttfb_s=0.01, rate=50.0, seconds_per_character=0.02))
    lip_sync: FakeLipSync = field(default_factory=FakeLipSync)
    voice_activity: FakeVoiceActivity = field(default_factory=FakeVoiceActivity)
    faces: FakeFaces = field(default_factory=FakeFaces)

    @property
    def engines(self) -> Engines:
        return Engines(self.voice_activity, self.transcriber, self.chat, self.speech, self.lip_sync, self.faces)

    @property
    def idle(self) -> bool:
        """Whether no vendor call is open."""
        return self.chat.running == self.speech.running == 0


@dataclass
class Server:
    """A running server and a channel to it."""

    address: str
    channel: grpc.aio.Channel
    fakes: Fakes
    running: AsyncExitStack

    async def stop(self) -> None:
        """Stop serving, as SIGTERM does."""
        await self.running.aclose()

    @property
    def stub(self) -> "AvatarServiceAsyncStub":
        """The generated client."""
        return AvatarServiceStub(self.channel)

    @property
    def health(self) -> Any:
        """The client of the health service, which is not typed."""
        return health_pb2_grpc.HealthStub(self.channel)

    def converse(self) -> "Call":
        """Open a stream."""
        call: Any = self.stub.Converse  # typed as if the requests had to be given beforehand
        return Call(call())

    def animate(self) -> "AnimateCall":
        """Open a stream of the caller's own voice."""
        call: Any = self.stub.Animate
        return AnimateCall(call())

    def speak(self, text: str, **fields: Any) -> Responses[SpeakResponse]:
        """Have a text spoken."""
        return Responses(self.stub.Speak(SpeakRequest(text=text, **fields)))


def channel_to(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel, with TLS where there are credentials."""
    options = [("grpc.http2.bdp_probe", 0)]
    if credentials:
        return grpc.aio.secure_channel(address, credentials, options=options)
    return grpc.aio.insecure_channel(address, options=options)


@asynccontextmanager
async def serving(
    store: Path,
    fakes: Fakes | None = None,
    making: dict[str, Any] | None = None,
    sessions: dict[str, Any] | None = None,
    access: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    **settings: Any,
) -> AsyncIterator[Server]:
    """Serve the avatars of `store` on a free port, with these server settings, `sessions` for how long streams live and
    are resumed, `access` for who may call, `limits` for what they may send, and `making` for the avatars that users
    make; these lie in the folder `made` beside the store. `credentials` are those of the channel, where the port has
    TLS."""
    fakes = fakes or Fakes()
    server_settings = ServerSettings.model_validate({"listen": "127.0.0.1:0", "stop_grace_s": 1.0} | settings)
    preparation = PreparationSettings.model_validate({"store": str(store.parent / "made")} | (making or {}))
    loaded = replace(
        Settings.load(env_file=None),
        server=server_settings,
        preparation=preparation,
        sessions=SessionSettings.model_validate(sessions or {}),
        access=AccessSettings.model_validate(access or {}),
        limits=LimitSettings.model_validate(limits or {}),
    )
    catalogue = Catalogue.load(store, store=AvatarStore(preparation))
    async with AsyncExitStack() as running:
        address = await running.enter_async_context(running_server(loaded, fakes.engines, catalogue))
        async with channel_to(address, credentials) as channel:
            yield Server(address, channel, fakes, running)


class Call(Responses[ConverseResponse]):
    """One `Converse` stream."""

    async def send(self, **payload: Any) -> None:
        """Send one request, given as the field of its `oneof`."""
        await self.write(ConverseRequest(**payload))

    async def configure(self, **fields: Any) -> None:
        """Send the configuration and wait for the session."""
        await self.send(config=ConverseConfig(**fields))
        await self.until("session_started")

    async def text(self, text: str, request_id: str = "") -> None:
        """What the user types."""
        await self.send(text=UserText(text=text, request_id=request_id))

    async def say(self, text: str, **fields: Any) -> None:
        """What the avatar shall say."""
        await self.send(say=Say(text=text, **fields))

    async def interrupt(self) -> None:
        """Ask for silence."""
        await self.send(interrupt=Interrupt())

    async def speak(self, *stretches: tuple[float, float], rate_hz: int = 16_000, piece_s: float = 0.1) -> None:
        """Send user audio at once: stretches of (probability of speech, seconds)."""
        pcm = b"".join(pcm_of_probability(probability, seconds, rate_hz) for probability, seconds in stretches)
        piece = 2 * round(rate_hz * piece_s)
        for begin in range(0, len(pcm), piece):
            await self.send(audio=UserAudio(data=pcm[begin : begin + piece]))


class AnimateCall(Responses[AnimateResponse]):
    """One `Animate` stream."""

    async def send(self, **payload: Any) -> None:
        """Send one request, given as the field of its `oneof`."""
        await self.write(AnimateRequest(**payload))

    async def configure(self, **fields: Any) -> None:
        """Send the configuration and wait until the stream is ready."""
        await self.send(config=AnimateConfig(**fields))
        await self.until("animate_started")

    async def voice(self, data: bytes, *, message_bytes: int = 60_000) -> None:
        """Send voice as encoded, in messages of so many bytes."""
        for begin in range(0, len(data), message_bytes):
            await self.send(audio=SegmentAudio(data=data[begin : begin + message_bytes]))

    async def end_segment(self) -> None:
        """The segment is complete."""
        await self.send(segment_ended=SegmentEnded())

    async def interrupt(self, segment_id: int = 0) -> None:
        """Stop what is played."""
        await self.send(interrupt=Interrupt(turn_id=segment_id))
