"""What the service adds to its vendors' time: ``python -m benchmarks.latency``.

The sandbox replays the same answers at the same times: transcript after 500 ms; a reply of 40 tokens, evenly from 350
to 1000 ms, whose first clause ends at the eighth; speech after 150 ms, then at four times real time. Everything else
runs as it is: a client in real time, the service in a process of its own, the SDKs, Silero, nano in Triton. The next
question is asked while the avatar speaks, so that every turn but the last is a barge-in.

Own overhead is what a turn took beyond the critical path of these times: closing silence, transcription, first clause,
first byte of speech, the voice that the first render request needs, and that request's rendering. The carriage of the
request to Triton and back counts as our own: it is measured by requests that render nothing.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from elevenlabs.client import AsyncElevenLabs
from rich.console import Console
from rich.table import Table

from avatar.v1 import ChatConfig, ConverseConfig, TranscriptionConfig
from avatar_client import AsyncAvatarClient, Frame, Interrupted, TurnCompleted
from avatar_client.conversation import AsyncConversation
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.engines.base import RenderRequest
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.local.child_process import ChildCommand, ChildProcess
from avatar_service.local.sandbox import SandboxAddress, running_sandbox
from avatar_service.local.triton import TritonServer, TritonServerSettings
from avatar_service.log import set_up
from avatar_service.sandbox.replay import Replay
from avatar_service.settings import Settings
from avatar_service.stages.endpointing import PAUSE_S, EndpointingSettings
from avatar_service.stages.spans import DEFAULT_POLICY
from benchmarks.report import OUT, Figure, write_report
from benchmarks.waterfall import Bar, draw

SCRIPT = Path(__file__).parent / "data" / "latency.json"
REPLAY = Replay.load(SCRIPT)
QUESTION = REPLAY.transcript
CLAUSE_TOKEN = 7
TRANSCRIPTION_S = 0.5
SPEECH_S = 0.15
SPEECH_RATE = 4.0
RATE_HZ = 16_000
PIECE_S = 0.02
SILENCE_S = EndpointingSettings().silence_s
MINIMUM_SPEECH_S = EndpointingSettings().minimum_speech_s
SPOKEN_FOR_S = 0.1
"""How long the avatar speaks before the next question begins."""
TURN_LIMIT_S = 30.0
VOICED = 0.02
"""Level from which a sample of the question counts as voice, of full scale."""
WARM_UP = 3
"""Turns that are not counted: connections open, caches fill."""


@dataclass(slots=True)
class Turns:
    """What was measured of the turns of one setting, in milliseconds."""

    metrics: list[Any] = field(default_factory=list)
    frame_seen_ms: list[float] = field(default_factory=list)
    """From the end of the voice at the client to the first frame there."""
    barge_in_ms: list[float] = field(default_factory=list)
    """From the onset of the voice at the client to `interrupted` there."""


class Microphone:
    """Sends silence, and the question whenever it is asked, in real time."""

    def __init__(self, conversation: AsyncConversation, question: bytes) -> None:
        samples = np.abs(np.frombuffer(question, np.int16)) > VOICED * 32_768
        voiced = np.flatnonzero(samples)
        self._conversation = conversation
        self._question = question
        self._onset_s, self._end_s = voiced[0] / RATE_HZ, (voiced[-1] + 1) / RATE_HZ
        self._waiting = b""
        self.onset_at_s = self.ended_at_s = 0.0

    def ask(self) -> None:
        """Begin the question with the next piece."""
        now_s = time.perf_counter()
        self._waiting = self._question
        self.onset_at_s, self.ended_at_s = now_s + self._onset_s, now_s + self._end_s

    async def run(self) -> None:
        """Send until cancelled."""
        size = 2 * round(PIECE_S * RATE_HZ)
        due_s = time.perf_counter()
        while True:
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            await self._conversation.send_pcm(piece.ljust(size, b"\0"))
            due_s += PIECE_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))


@asynccontextmanager
async def service(sandbox: SandboxAddress, triton: TritonServer) -> Any:
    """The service in a process of its own; its address."""
    env = {
        "OPENAI_API_KEY": sandbox.key,
        "OPENAI_BASE_URL": sandbox.openai_base_url,
        "ELEVENLABS_API_KEY": sandbox.key,
        "ELEVENLABS_BASE_URL": sandbox.elevenlabs_base_url,
        "AVATAR_TRITON_ADDRESS": triton.grpc_address,
        "AVATAR_METRICS_LISTEN": "",
    }
    argv = (str(Path(sys.executable).with_name("avatar-service")), "serve", "--listen", "127.0.0.1:0")
    async with ChildProcess(ChildCommand("service", argv, env)) as child:

        async def serving() -> bool:
            return any("serving on" in line for line in child.log)

        await child.wait_ready(serving)
        (line,) = [line for line in child.log if "serving on" in line]
        yield line.rpartition(" ")[2]


async def spoken(sandbox: SandboxAddress, text: str) -> bytes:
    """The question as the sandbox's voice says it: 16-bit mono at 16 kHz."""
    vendor = AsyncElevenLabs(api_key=sandbox.key, base_url=sandbox.elevenlabs_base_url)
    voice = Settings.load(env_file=None).elevenlabs.voice_id
    pieces: Any = vendor.text_to_speech.stream(voice, text=text, output_format="pcm_16000")
    async with aclosing(pieces):
        return b"".join([piece async for piece in pieces])


async def ask(address: str, question: bytes, turns: int, *, early: bool) -> Turns:
    """Ask the question so often, and measure the answers."""
    measured = Turns()
    config = ConverseConfig(transcription=TranscriptionConfig(early=early), chat=ChatConfig(max_output_tokens=64))
    async with (
        AsyncAvatarClient(address) as client,
        client.converse(config) as conversation,
        asyncio.TaskGroup() as tasks,
    ):
        microphone = Microphone(conversation, question)
        sending = tasks.create_task(microphone.run())
        microphone.ask()
        turn_id = ended = 0
        async with asyncio.timeout((turns + WARM_UP) * TURN_LIMIT_S):
            async for event in conversation:
                match event:
                    case Frame() if event.turn_id > turn_id:
                        turn_id = event.turn_id
                        if ended >= WARM_UP:
                            measured.frame_seen_ms.append(1_000 * (time.perf_counter() - microphone.ended_at_s))
                        if ended >= turns + WARM_UP:
                            break
                        asyncio.get_running_loop().call_later(SPOKEN_FOR_S, microphone.ask)
                    case Interrupted() if ended >= WARM_UP:
                        measured.barge_in_ms.append(1_000 * (time.perf_counter() - microphone.onset_at_s))
                    case TurnCompleted():
                        ended += 1
                        if ended > WARM_UP:
                            measured.metrics.append(event.metrics)
        sending.cancel()
    return measured


async def carriage_ms(address: str, avatar: str) -> float:
    """What a render request of usual size takes on its way: one that shows the avatar's own pictures."""
    frames = DEFAULT_POLICY.first_frames
    triton = Settings.load(env_file=None).triton.model_copy(update={"address": address})
    request = RenderRequest(
        avatar=avatar,
        span=np.zeros(DEFAULT_POLICY.left_context + frames * 640 + DEFAULT_POLICY.look_ahead, np.int16),
        span_start=-DEFAULT_POLICY.left_context,
        frame_indices=tuple(range(frames)),
        frame_starts=tuple(DEFAULT_POLICY.left_context + 640 * index for index in range(frames)),
        mouth_weights=(0.0,) * frames,
        mel_max=0.5,
    )
    took: list[float] = []
    async with TritonLipSync(triton) as lip_sync:
        for _ in range(50):
            began_s = time.perf_counter()
            await lip_sync.render(request)
            took.append(1_000 * (time.perf_counter() - began_s))
    return statistics.median(took)


def critical_path(*, early_s: float | None, render_ms: float) -> list[Bar]:
    """A turn in which the service takes no time; `early_s` is how far into the closing silence transcription starts."""
    silence_ms = 1_000 * SILENCE_S
    voice_ms = (DEFAULT_POLICY.first_frames * 40 + 1_000 * DEFAULT_POLICY.look_ahead / RATE_HZ) / SPEECH_RATE
    moment = silence_ms if early_s is None else 1_000 * early_s
    bars = [Bar("closing silence", 0.0, silence_ms), Bar("speech to text", moment, moment + 1_000 * TRANSCRIPTION_S)]
    moment = max(silence_ms, bars[-1].end_ms)
    for name, duration_s in (
        ("chat: first token", REPLAY.token_s(0)),
        ("chat: first clause", REPLAY.token_s(CLAUSE_TOKEN) - REPLAY.token_s(0)),
        ("speech: first byte", SPEECH_S),
        ("speech: voice to render", voice_ms / 1_000),
        ("lip-sync: rendering", render_ms / 1_000),
    ):
        bars.append(Bar(name, moment, moment + 1_000 * duration_s))
        moment += 1_000 * duration_s
    return bars


def report(name: str, turns: Turns, early_s: float | None, carriage: float) -> list[Figure]:
    """The figures of one setting, and its waterfall as a table and a picture."""
    rendered = [max(0.0, metrics.first_render_time_ms - carriage) for metrics in turns.metrics]
    paths = [critical_path(early_s=early_s, render_ms=render)[-1].end_ms for render in rendered]
    frame = [metrics.time_to_first_frame_ms for metrics in turns.metrics]
    audio = [metrics.time_to_first_audio_ms for metrics in turns.metrics]
    decided = [metrics.time_to_first_frame_ms - metrics.endpointing_time_ms for metrics in turns.metrics]
    own = {
        "first frame": [took - path for took, path in zip(frame, paths, strict=True)],
        "first audio": [took - path for took, path in zip(audio, paths, strict=True)],
    }
    bars = critical_path(early_s=early_s, render_ms=statistics.median(rendered))
    bars.append(
        Bar("the service itself", bars[-1].end_ms, bars[-1].end_ms + statistics.median(own["first frame"]), True)
    )
    draw(f"From the user's last sound to the first frame: {name}, median of {len(frame)} turns", bars, picture(name))
    show(name, bars)
    goal_ms = 1_350 if early_s is None else 1_050
    interrupted = [
        metrics.interruption_time_ms for metrics in turns.metrics if metrics.interruption_time_ms is not None
    ]
    onset = [took - 1_000 * MINIMUM_SPEECH_S for took in turns.barge_in_ms]
    figures = [Figure(f"{name}: decision to first frame, p50", statistics.median(decided), "ms", goal=goal_ms)]
    for what, values in own.items():
        figures.append(Figure(f"{name}: own share of {what}, p50", percentile(values, 0.5), "ms", goal=60))
        figures.append(Figure(f"{name}: own share of {what}, p99", percentile(values, 0.99), "ms", goal=150))
    return [
        *figures,
        Figure(f"{name}: last sound to first frame at the client, p50", percentile(turns.frame_seen_ms, 0.5), "ms"),
        Figure(f"{name}: barge-in, decision to last byte, worst", max(interrupted), "ms", goal=100),
        Figure(f"{name}: barge-in, onset to `interrupted` beyond minimum speech, p50", percentile(onset, 0.5), "ms"),
        Figure(f"{name}: the same, p99", percentile(onset, 0.99), "ms", goal=250),
    ]


def picture(name: str) -> Path:
    """Where a setting's waterfall is drawn."""
    return OUT / f"latency-{name}.svg"


def show(name: str, bars: Sequence[Bar]) -> None:
    """Print the waterfall as a table."""
    table = Table("part", "from", "to", "ms", title=f"{name}: from the user's last sound")
    for bar in bars:
        table.add_row(bar.name, f"{bar.begin_ms:.0f}", f"{bar.end_ms:.0f}", f"{bar.end_ms - bar.begin_ms:.0f}")
    Console().print(table)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies."""
    return float(np.quantile(np.array(values), share))


async def main(turns: int, only: str) -> None:
    """Start everything, measure both settings, or one alone, and report."""
    set_up("WARNING", "console")
    delays = ("--transcription-delay", f"{TRANSCRIPTION_S}", "--speech-delay", f"{SPEECH_S}")
    options = ("--replay", str(SCRIPT), *delays, "--speech-rate", f"{SPEECH_RATE:g}")
    settings = Settings.load(env_file=None)
    avatars = (settings.server.avatars, settings.preparation.folder)
    avatar = Catalogue.of(settings.server, settings.preparation).get("")
    async with (
        running_sandbox(*options) as sandbox,
        TritonServer(TritonServerSettings(avatars_dirs=avatars)) as triton,
        service(sandbox, triton) as address,
    ):
        question = await spoken(sandbox, QUESTION)
        carriage = await carriage_ms(triton.grpc_address, avatar.key)
        figures = [Figure("render request without rendering, p50", carriage, "ms")]
        for setting, early_s in (("plain", None), ("early", PAUSE_S)):
            if only in ("", setting):
                measured = await ask(address, question, turns, early=early_s is not None)
                figures += report(setting, measured, early_s, carriage)
    write_report("latency", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200, help="turns of each setting (default 200: about 20 minutes)")
    parser.add_argument("--only", choices=("plain", "early"), default="", help="one setting alone")
    given = parser.parse_args()
    asyncio.run(main(given.turns, given.only))
