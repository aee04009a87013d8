"""The full-size engine against the way in which MuseTalk itself renders: same weights, batch, threads and device.

The weights are random, made in memory: they change no time. Upstream's loop is written here from its description: the
networks as diffusers makes them, every frame copied to the host by itself, the face pasted into the whole picture with
Pillow. Neither side computes audio features or encodes a picture. On a CPU, times are CPU time and both sides run in
turns, so that other work on the machine meets both alike.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.report import Figure
from inference import cpu, cuda_graphs
from inference.audio_features import AudioFeatures
from inference.compositor import Paste, paste
from inference.config import FACE_SIZE, MUSETALK_V15, WINDOW_TOKENS
from inference.cuda_graphs import buckets
from inference.decoder import WHOLE_FACE, DecoderChoice
from inference.networks import build_unet, build_vae
from inference.painter import MouthPainter, Precision
from inference.speedups import channels_last, fold_timestep, merge_upsampling, use_onednn
from inference.weights import Model, build_taesd

Pixels = NDArray[np.uint8]

# Multiplications and additions of a frame, 1e9. "merged": less what merge_upsampling does not compute.
UNET_GFLOP, KL_GFLOP, TAESD_GFLOP = 177.8, 622.2, 35.3
MERGED_UNET_GFLOP, MERGED_KL_GFLOP = 9.4, 96.6

FRAME_SIZE = 512
BOX = (128, 160, 128 + FACE_SIZE, 160 + FACE_SIZE)
CROP = (64, 96, 448, 480)  # upstream blends in a square 1.5 times as large as the face
MASK = (150, 240, 60, 196)  # rows and columns of the face that the mouth's mask covers
CPU_GOAL, GPU_GOAL, GPU_TAESD_GOAL = 1.1, 3.0, 8.0


@dataclass(frozen=True, slots=True)
class Work:
    """One batch: what goes in, and the picture that the faces are pasted into."""

    latents: Tensor  # [B, 8, 32, 32]
    tokens: Tensor  # [B, 50, 384]
    picture: Pixels  # [512, 512, 3]
    mask: Pixels  # [256, 256] of the face


def full_size_figures(device: torch.device, batch: int, repeats: int) -> list[Figure]:
    """Upstream's loop, the engine and its taesd tier on one device, in milliseconds a frame and as ratios."""
    gpu = device.type == "cuda"
    precision: Precision = "fp16" if gpu else "fp32"
    plain, work = random_model(device), make_work(batch)
    ours = deepcopy(plain)  # one U-Net for both decoders
    engines = {choice: Renderer(ours, device, batch, precision, choice) for choice in choices()}
    upstream = UpstreamLoop(plain, device, torch.float16 if gpu else torch.float32)
    runs: dict[str, Callable[[], list[Pixels]]] = {"upstream": lambda: upstream.render(work)}
    runs |= {choice: _bound(engine, work) for choice, engine in engines.items()}
    with torch.inference_mode():
        shown = {name: run() for name, run in runs.items()}  # warm
        times = {name: list[float]() for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                with_malloc_of_glibc(name == "upstream")
                times[name].append(1_000 * timed(run, gpu) / batch)
        peaks = peak_gflops(device, precision)
    base = statistics.median(times["upstream"])
    figures = [Figure(f"{device.type}, upstream's loop, a frame, batches of {batch}", base, "ms")]
    goals = {"own": GPU_GOAL if gpu else CPU_GOAL, "taesd": GPU_TAESD_GOAL if gpu else None}
    for choice in choices():
        ratio = statistics.median(a / b for a, b in zip(times["upstream"], times[choice], strict=True))
        frame_ms = statistics.median(times[choice])
        name = f"{device.type}, full-size engine {precision}, decoder={choice}"
        figures.append(Figure(f"{name}, a frame", frame_ms, "ms", base))
        figures.append(Figure(f"{name}: upstream's time / ours", ratio, "x", 1.0, goals[choice], "higher"))
        share = 100 * done_gflop(choice) / (frame_ms / 1_000) / max(peaks.values())
        figures.append(Figure(f"{name}: share of the roofline", share, "%", None, None, "higher"))
    figures += [Figure(f"{device.type}, measured peak, {name}", value, "GFLOP/s") for name, value in peaks.items()]
    difference = max(int(np.abs(a.astype(np.int16) - b).max()) for a, b in zip(*_pair(shown), strict=True))
    goal = None if gpu else 1.0  # fp16 moves pixels further with every other kernel
    return [
        *figures,
        Figure(f"{device.type}, largest difference from upstream's pixels", difference, "of 255", 0, goal),
    ]


def step_figures(batch: int) -> Iterator[Figure]:
    """What each rewrite brings on a CPU: U-Net and decoder, a frame, each step on top of those before."""
    model, work = random_model(torch.device("cpu")), make_work(batch)
    decoder = nn.Sequential(model.vae.get_submodule("post_quant_conv"), model.vae.get_submodule("decoder"))
    steps: list[tuple[str, Callable[[nn.Module], object]]] = [
        ("plain", lambda network: with_malloc_of_glibc(True)),
        ("freed memory kept", lambda network: with_malloc_of_glibc(False)),
        ("channels last", channels_last),
        ("timestep folded", lambda network: fold_timestep(network) if network is model.unet else None),
        ("upsampling merged", _merged),
        ("linear layers by oneDNN", use_onednn),
    ]
    with torch.inference_mode():
        timestep = torch.tensor([0])
        denoised = model.unet(work.latents, timestep, encoder_hidden_states=work.tokens).sample
        calls: dict[str, tuple[nn.Module, Callable[[], object]]] = {
            "U-Net": (model.unet, lambda: model.unet(work.latents, timestep, encoder_hidden_states=work.tokens)),
            "decoder": (decoder, lambda: decoder(denoised)),
        }
        for step, rewrite in steps:
            for part, (network, call) in calls.items():
                rewrite(network)
                call()
                best = min(timed(call, False) for _ in range(2))
                yield Figure(f"cpu, {part}, {step}", 1_000 * best / batch, "ms")


def _merged(network: nn.Module) -> None:
    merge_upsampling(network)
    channels_last(network)


def choices() -> tuple[DecoderChoice, ...]:
    """The decoders that are measured."""
    return ("own", "taesd")


def done_gflop(choice: DecoderChoice) -> float:
    """What the engine computes for a frame."""
    decoder = KL_GFLOP - MERGED_KL_GFLOP if choice == "own" else TAESD_GFLOP
    return UNET_GFLOP - MERGED_UNET_GFLOP + decoder


class UpstreamLoop:
    """MuseTalk's own way: plain networks, frame by frame to the host, Pillow over the whole picture."""

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        self._unet = nn.Module.to(model.unet, device, dtype)
        self._vae = nn.Module.to(model.vae, device, dtype)
        self._scale, self._device, self._dtype = model.config.latent_scale, device, dtype
        self._timestep = torch.tensor([0], device=device)

    def render(self, work: Work) -> list[Pixels]:
        """The frames of a batch."""
        latents, tokens = (each.to(self._device, self._dtype) for each in (work.latents, work.tokens))
        denoised = self._unet(latents, self._timestep, encoder_hidden_states=tokens).sample
        decode = cast(Callable[[Tensor], object], self._vae.decode)
        decoded = cast(Tensor, decode(denoised / self._scale).sample)  # type: ignore[attr-defined]  # diffusers' output
        faces = (decoded / 2 + 0.5).clamp(0, 1)  # [B, 3, 256, 256]
        return [self._paste(face, work) for face in faces]

    @staticmethod
    def _paste(face: Tensor, work: Work) -> Pixels:
        pixels = (face.detach().cpu().permute(1, 2, 0).float().numpy() * 255).round().astype(np.uint8)
        x1, y1, x2, y2 = BOX
        resized = cv2.resize(pixels, (x2 - x1, y2 - y1))
        body = Pillow.fromarray(work.picture.copy())
        around = body.crop(CROP)
        around.paste(Pillow.fromarray(resized), (x1 - CROP[0], y1 - CROP[1]))
        mask = np.zeros((CROP[3] - CROP[1], CROP[2] - CROP[0]), np.uint8)
        mask[y1 - CROP[1] : y2 - CROP[1], x1 - CROP[0] : x2 - CROP[0]] = work.mask
        body.paste(around, CROP[:2], Pillow.fromarray(mask))
        return np.asarray(body)


class Renderer:
    """The engine's networks and compositing."""

    def __init__(
        self, model: Model, device: torch.device, batch: int, precision: Precision, choice: DecoderChoice
    ) -> None:
        self._painter = MouthPainter(model, device, buckets(device.type, batch), precision, choice)

    def render(self, work: Work) -> list[Pixels]:
        """The frames of a batch."""
        mouths = self._painter.paint(work.latents, work.tokens, [WHOLE_FACE] * len(work.latents))
        where = Paste(BOX, WHOLE_FACE, work.mask)
        return [paste(work.picture, mouth, where, 1.0) for mouth in mouths]


def random_model(device: torch.device) -> Model:
    """MuseTalk 1.5 and TAESD with random weights that keep values of a usual size."""
    with torch.device("meta"):
        unet, vae = cast(nn.Module, build_unet(MUSETALK_V15)), cast(nn.Module, build_vae(MUSETALK_V15))
        taesd = build_taesd()
    vae.register_module("encoder", nn.Identity())
    torch.manual_seed(0)
    for network in (unet, vae, taesd):
        network.to_empty(device=device).requires_grad_(False).eval()
        for module in network.modules():
            _fill(module)
    return Model(MUSETALK_V15, AudioFeatures(MUSETALK_V15.whisper), unet, vae, "", taesd)


def _fill(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        bound = float(module.weight[0].numel()) ** -0.5  # torch's own first values
        module.weight.uniform_(-bound, bound)
        if module.bias is not None:
            module.bias.uniform_(-bound, bound)
    elif isinstance(module, nn.GroupNorm | nn.LayerNorm):
        module.weight.fill_(1)
        module.bias.fill_(0)


def make_work(batch: int) -> Work:
    """Random latents and windows, a random picture, and a mask with soft edges."""
    generator, draw = torch.Generator().manual_seed(1), np.random.default_rng(1)
    mask = np.zeros((FACE_SIZE, FACE_SIZE), np.uint8)
    mask[MASK[0] : MASK[1], MASK[2] : MASK[3]] = 255
    return Work(
        torch.randn(batch, 8, 32, 32, generator=generator),
        torch.randn(batch, WINDOW_TOKENS, MUSETALK_V15.whisper.width, generator=generator),
        draw.integers(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8),
        cv2.GaussianBlur(mask, (21, 21), 0).astype(np.uint8),
    )


def peak_gflops(device: torch.device, precision: Precision) -> dict[str, float]:
    """What this machine does at most: a large matrix product, and a convolution of the decoder's shape."""
    dtype = torch.float16 if precision == "fp16" else torch.float32
    size = 8_192 if device.type == "cuda" else 2_048
    square = torch.randn(size, size, device=device, dtype=dtype)
    x = torch.randn(1, 512, 64, 64, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(512, 512, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    calls: dict[str, tuple[float, Callable[[], object]]] = {
        "matrix product": (2.0 * size**3, lambda: square @ square),
        "convolution": (2.0 * 9 * 512 * 512 * 64 * 64, lambda: functional.conv2d(x, weight, padding=1)),
    }
    return {name: work / 1e9 / _best(call, device.type == "cuda") for name, (work, call) in calls.items()}


def with_malloc_of_glibc(own: bool) -> None:
    """glibc's own limits, as they stand once they have adapted themselves to large tensors; or the engine's."""
    if own:
        cpu.keep_freed_memory(64 << 20, (32 << 20,))
    else:
        cpu.keep_freed_memory(cpu.TRIM_THRESHOLD_BYTES, cpu.MMAP_THRESHOLDS_BYTES)


def timed(call: Callable[[], object], gpu: bool) -> float:
    """Seconds of one call: on a CPU those that this process used, on a GPU those that passed."""
    clock = time.perf_counter if gpu else time.process_time
    if gpu:
        torch.cuda.synchronize()
    started = clock()
    call()
    if gpu:
        torch.cuda.synchronize()
    return clock() - started


def _best(call: Callable[[], object], gpu: bool) -> float:
    call()
    return min(timed(call, gpu) for _ in range(5))


def _bound(engine: Renderer, work: Work) -> Callable[[], list[Pixels]]:
    return lambda: engine.render(work)


def _pair(shown: dict[str, list[Pixels]]) -> tuple[list[Pixels], list[Pixels]]:
    return shown["upstream"], shown["own"]


def measure(threads: int, batch: int, repeats: int) -> list[Figure]:
    """All full-size figures of this machine, those of its GPU included where it has one."""
    cpu.tune(threads)
    figures = full_size_figures(torch.device("cpu"), batch, repeats)
    if torch.cuda.is_available():
        cuda_graphs.tune()
        figures += full_size_figures(torch.device("cuda"), max(batch, 8), 10 * repeats)
    return figures
