"""What a frame of the lip-sync engine costs: ``python -m benchmarks.engine``.

In-process figures are CPU time of one thread, which other work on the machine disturbs little; so is "per core". The
bare loop runs the same networks on the same batch as torch and diffusers come, before the engine tunes anything.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from avatar_service.local.triton import TritonServer, TritonServerSettings
from benchmarks import full_size
from benchmarks.report import Figure, write_report
from inference.audio_features import Span
from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.compositor import Paste, paste, paste_region, to_pixels
from inference.config import FRAME_SAMPLES, MAX_FRAMES, SPAN_LEFT_SAMPLES, START_MEL_MAX, span_samples
from inference.engine import Engine
from inference.painter import MouthPainter
from inference.requests import RenderRequest
from inference.weights import NANO_DIR, Model

CPU = torch.device("cpu")
GOAL_MS = 22.0  # of a frame, whole path, one core: 25 fps with an eighth to spare
GOAL_FPS = 25.0
REQUEST_MEDIA_MS = 1_000 * MAX_FRAMES * FRAME_SAMPLES / 16_000  # 320: what one request of 8 frames shows
REQUESTS = 30


def cpu_ms(call: Callable[[], object], rounds: int = 3, repeats: int = 8) -> float:
    """CPU milliseconds of one call: the best of some rounds."""
    call()
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            call()
        best = min(best, (time.process_time() - started) / repeats)
    return 1_000 * best


def span(frames: int) -> Span:
    """Noise of speech's level: the time does not depend on what is said."""
    samples = np.random.default_rng(0).normal(0, 1_000, span_samples(frames)).astype(np.int16)
    return Span(samples, tuple(SPAN_LEFT_SAMPLES + FRAME_SAMPLES * i for i in range(frames)), START_MEL_MAX)


def request(avatar: str, frames: int) -> RenderRequest:
    """A usual request, every frame painted."""
    audio = span(frames)
    return RenderRequest(
        avatar, audio.samples, 0, tuple(range(frames)), audio.frame_starts, (1.0,) * frames, START_MEL_MAX
    )


@torch.inference_mode()
def bare_loop_ms(model: Model, avatar: AvatarBundle) -> float:
    """Networks alone, as they come: encoder, U-Net, whole faces decoded, to pixels; milliseconds a frame."""
    latents, timestep, audio = avatar.latents[:MAX_FRAMES], torch.tensor([0]), span(MAX_FRAMES)

    def loop() -> object:
        tokens = model.audio.windows([audio])[0].tokens
        denoised = model.unet(latents, timestep, encoder_hidden_states=tokens).sample
        return to_pixels(model.vae.get_submodule("decoder")(denoised)).numpy()

    return cpu_ms(loop) / len(latents)


@torch.inference_mode()
def part_figures(model: Model, avatar: AvatarBundle) -> list[Figure]:
    """CPU time of each part, a frame, in requests of 8 frames."""
    painter, region = (
        MouthPainter(model, CPU, range(1, MAX_FRAMES + 1)),
        paste_region(avatar.mouth_region(), avatar.info.boxes),
    )
    latents, audio = avatar.latents[:MAX_FRAMES], span(MAX_FRAMES)
    tokens = model.audio.windows([audio])[0].tokens
    denoised = painter.denoise(latents, tokens)
    (mouth, *_) = painter.paint(latents, tokens, [region] * len(latents))
    image, where = avatar.image(0), Paste(avatar.info.boxes[0], region, avatar.mask(0))
    frames = len(latents)
    parts = {
        "audio features": cpu_ms(lambda: model.audio.windows([audio])) / frames,
        "U-Net": cpu_ms(lambda: painter.denoise(latents, tokens)) / frames,
        "decoder": cpu_ms(lambda: painter.decode(denoised, region)) / frames,
        "blend": cpu_ms(lambda: paste(image, mouth, where, 1.0)),
        "JPEG encode": cpu_ms(lambda: simplejpeg.encode_jpeg(image, 80, colorspace="RGB", colorsubsampling="420")),
        "JPEG decode (cached)": cpu_ms(lambda: avatar.image(0)),
    }
    return [Figure(f"{name}, a frame", value, "ms") for name, value in parts.items()]


def engine_figures(engine: Engine, avatar: str, bare_ms: float) -> list[Figure]:
    """The whole path in-process."""
    eight, four, idle = request(avatar, 8), request(avatar, 4), replace(request(avatar, 8), mouth_weight=(0.0,) * 8)
    frame_ms = cpu_ms(lambda: engine.render([eight])) / 8
    return [
        Figure("bare loop of the same networks, a frame", bare_ms, "ms"),
        Figure("whole path, a frame, requests of 8", frame_ms, "ms", bare_ms, GOAL_MS),
        Figure("whole path, a frame, requests of 4", cpu_ms(lambda: engine.render([four])) / 4, "ms", bare_ms),
        Figure("bare loop / whole path", bare_ms / frame_ms, "x", 1.0, 1.1, "higher"),
        Figure("frames a second, one core, in-process", 1_000 / frame_ms, "fps", 1_000 / bare_ms, GOAL_FPS, "higher"),
        Figure("idle request of 8 frames", cpu_ms(lambda: engine.render([idle])), "ms"),
    ]


def tensors(each: RenderRequest) -> list[InferInput]:
    """The request for Triton."""
    values = (
        ("AUDIO", "INT16", each.audio),
        ("AUDIO_START", "INT64", np.array([each.audio_start], np.int64)),
        ("AVATAR", "BYTES", np.array([each.avatar.encode()], np.object_)),
        ("FRAME_INDEX", "INT32", np.array(each.frame_index, np.int32)),
        ("FRAME_START", "INT32", np.array(each.frame_start, np.int32)),
        ("MOUTH_WEIGHT", "FP32", np.array(each.mouth_weight, np.float32)),
        ("MEL_MAX", "FP32", np.array([each.mel_max], np.float32)),
    )
    inputs = []
    for name, kind, data in values:
        tensor = InferInput(name, [1, len(data)], kind)
        tensor.set_data_from_numpy(data[None])
        inputs.append(tensor)
    return inputs


async def triton_figures(model_dir: Path, avatars_dir: Path, avatar: str) -> list[Figure]:
    """The whole path through a real Triton: one client that never waits, then two that speak in real time."""
    settings = TritonServerSettings(model_dir=model_dir, avatars_dirs=(avatars_dir,))
    inputs = tensors(request(avatar, MAX_FRAMES))
    async with TritonServer(settings) as server, InferenceServerClient(server.grpc_address) as client:
        for _ in range(3):
            await client.infer("musetalk", inputs)
        cpu_before = group_cpu_s(server.pid)
        waits = [await timed_infer(client, inputs) for _ in range(REQUESTS)]
        cpu_s = group_cpu_s(server.pid) - cpu_before
        frames = REQUESTS * MAX_FRAMES
        paced = sorted(await paced_sessions(client, inputs, sessions=2))
    return [
        Figure("whole path through Triton, a frame, CPU of its processes", 1_000 * cpu_s / frames, "ms", None, GOAL_MS),
        Figure("frames a second through Triton, one core", frames / cpu_s, "fps", None, GOAL_FPS, "higher"),
        Figure("request of 8 frames, wait p50", statistics.median(waits), "ms"),
        Figure("two sessions at 25 fps, request wait p50", statistics.median(paced), "ms", REQUEST_MEDIA_MS),
        Figure("two sessions at 25 fps, request wait p95", paced[int(0.95 * len(paced))], "ms", None, REQUEST_MEDIA_MS),
    ]


async def paced_sessions(client: InferenceServerClient, inputs: list[InferInput], sessions: int) -> list[float]:
    """Waits (ms) of sessions that each ask for 8 frames every 320 ms, their starts spread evenly."""

    async def session(delay_s: float) -> list[float]:
        loop = asyncio.get_running_loop()
        started = loop.time() + delay_s
        waits = []
        for i in range(REQUESTS):
            await asyncio.sleep(max(0.0, started + i * REQUEST_MEDIA_MS / 1_000 - loop.time()))
            waits.append(await timed_infer(client, inputs))
        return waits

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(session(i * REQUEST_MEDIA_MS / 1_000 / sessions)) for i in range(sessions)]
    return [wait for task in running for wait in task.result()]


async def timed_infer(client: InferenceServerClient, inputs: list[InferInput]) -> float:
    """One request; milliseconds until its answer."""
    started = time.perf_counter()
    await client.infer("musetalk", inputs)
    return 1_000 * (time.perf_counter() - started)


def group_cpu_s(pgid: int) -> float:
    """CPU seconds that the living processes of a group have used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text().rpartition(")")[2].split()
        if int(fields[2]) == pgid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def nano_figures(weights: Path, avatars: Path) -> list[Figure]:
    """All figures of a small model: the bare loop, the whole path, its parts, and through Triton."""
    avatar = AvatarBundle.load(min(path.parent for path in avatars.glob("*/avatar.json")))
    bare_ms = bare_loop_ms(Model.load(weights, CPU), avatar)
    engine = Engine.load(weights, [avatars])
    engine.warm_up()
    figures = engine_figures(engine, avatar.reference, bare_ms)
    figures += part_figures(Model.load(weights, CPU), avatar)
    return figures + asyncio.run(triton_figures(weights, avatars, avatar.reference))


def main() -> None:
    """Measure, print, write ``out/bench/engine.json``, and ``full-size.json``."""
    parser = argparse.ArgumentParser(description="What a frame of the lip-sync engine costs.")
    parser.add_argument("--weights", type=Path, default=NANO_DIR, help="weights folder (default: the bundled model)")
    parser.add_argument("--avatars", type=Path, default=AVATARS_DIR, help="bundles (default: the bundled avatars)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--nano-only", action="store_true", help="leave out the full-size networks (8 GB of memory)")
    only.add_argument("--full-size", action="store_true", help="the full-size networks alone, against upstream's loop")
    only.add_argument("--steps", action="store_true", help="what each rewrite of the full-size networks brings")
    parser.add_argument("--batch", type=int, default=2, help="frames of a full-size batch (default: 2; a GPU's: 8)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each full-size loop (default: 3)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.steps:
        write_report("full-size-steps", list(full_size.step_figures(arguments.batch)))
        return
    if not arguments.full_size:
        write_report("engine", nano_figures(arguments.weights, arguments.avatars))
    if not arguments.nano_only:
        write_report("full-size", full_size.measure(1, arguments.batch, arguments.repeats))


if __name__ == "__main__":
    main()
