"""The engine: render requests of many sessions in one batch.

An engine belongs to one thread. It holds the networks, the loaded avatars and their decoded frames, each cache with a
limit in bytes; it keeps nothing of a session, so any engine can take any request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference import cpu, cuda_graphs
from inference.audio_features import Span
from inference.avatar_bundle import BundleError, Image
from inference.avatar_store import AVATARS_DIR, Avatar, AvatarStore
from inference.byte_cache import ByteCache
from inference.compositor import Paste, paste
from inference.config import MAX_FRAMES, START_MEL_MAX, span_samples
from inference.cuda_graphs import buckets
from inference.decoder import DecoderChoice
from inference.painter import MouthPainter, Precision
from inference.requests import InvalidRequest, RenderError, RenderRequest, RenderResult
from inference.speedups import use_onednn
from inference.weights import NANO_DIR, Model

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits and choices of an engine."""

    device: str = "auto"  # a torch device, or "auto": CUDA where there is one
    precision: Precision | Literal["auto"] = "auto"  # of U-Net and decoder; "auto": fp16 on CUDA, else fp32
    decoder: DecoderChoice = "own"
    threads: int = 1  # of one torch operation, for the whole process; small convolutions gain little from more
    max_batch: int | Literal["auto"] = "auto"  # frames in one pass of the networks; "auto": 16 on CUDA, else 8
    jpeg_quality: int = 80
    avatar_cache_bytes: int = 512 * MEBIBYTE
    frame_cache_bytes: int = 96 * MEBIBYTE  # decoded source frames: a loop of 100 at 512x512 fits

    @classmethod
    def parse(cls, device: str, parameters: Mapping[str, str]) -> Self:
        """Read the parameters of a Triton model; raises ValueError naming the one that is not as it must be."""
        precision = _one_of(parameters, "precision", ("auto", "fp32", "fp16", "bf16"))
        decoder = _one_of(parameters, "decoder", ("own", "taesd"))
        return cls(
            device=device,
            precision=cast(Precision | Literal["auto"], precision),
            decoder=cast(DecoderChoice, decoder),
            threads=_number(parameters, "threads", 1, 1_024),
            max_batch="auto" if parameters.get("max_batch") == "auto" else _number(parameters, "max_batch", 1, 64),
            jpeg_quality=_number(parameters, "jpeg_quality", 1, 100),
        )


@dataclass(slots=True)
class Job:
    """An accepted request on its way through the stages of ``Engine.render``."""

    request: RenderRequest
    avatar: Avatar
    mel_max: float
    tokens: Tensor | None = None  # [F, 50, C], filled by _listen
    mouths: dict[int, NDArray[np.uint8]] = field(default_factory=dict)  # by position in the request, filled by _paint

    def source(self, position: int) -> int:
        """The avatar's source frame at a position of the request."""
        return self.avatar.bundle.info.frame_at(self.request.frame_index[position])

    def positions_to_paint(self) -> list[int]:
        """The frames with a mouth weight above 0."""
        return [i for i, weight in enumerate(self.request.mouth_weight) if weight > 0]


class Engine:
    """MuseTalk on one device."""

    def __init__(
        self, model: Model, avatars_dirs: Sequence[Path], settings: EngineSettings, device: torch.device
    ) -> None:
        self._settings = settings
        cuda = device.type == "cuda"
        precision = ("fp16" if cuda else "fp32") if settings.precision == "auto" else settings.precision
        max_batch = (16 if cuda else 8) if settings.max_batch == "auto" else settings.max_batch
        self._audio = model.audio
        if device.type == "cpu":
            use_onednn(self._audio.encoder)
        self._painter = MouthPainter(model, device, buckets(device.type, max_batch), precision, settings.decoder)
        self._avatars = AvatarStore(avatars_dirs, settings.avatar_cache_bytes, model.vae_sha256)
        self._images: ByteCache[tuple[str, int], Image] = ByteCache(
            settings.frame_cache_bytes, lambda image: image.nbytes
        )

    @classmethod
    def load(
        cls,
        model_dir: Path = NANO_DIR,
        avatars_dirs: Sequence[Path] = (AVATARS_DIR,),
        settings: EngineSettings = EngineSettings(),
    ) -> Self:
        """Load the weights; avatars follow when they are first asked for.

        Raises WeightsError for the weights, and for a decoder that they do not have.
        """
        name = settings.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(name)
        cpu.tune(settings.threads)
        if device.type == "cuda":
            cuda_graphs.tune()
        return cls(Model.load(model_dir, device), avatars_dirs, settings, device)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Run every shape of the usual requests once, so that no request pays for torch's preparations."""
        self._painter.warm_up()
        for frames in (MAX_FRAMES // 2, MAX_FRAMES):
            self._audio.windows([Span(np.zeros(span_samples(frames), np.int16), (0,), START_MEL_MAX)])

    @torch.inference_mode()
    def render(self, requests: Sequence[RenderRequest]) -> list[RenderResult | RenderError]:
        """Answer each request, in order. A request that cannot be answered fails alone."""
        jobs = [self._accept(request) for request in requests]
        accepted = [job for job in jobs if isinstance(job, Job)]
        self._listen(accepted)
        self._paint(accepted)
        return [self._answer(job) if isinstance(job, Job) else job for job in jobs]

    def _accept(self, request: RenderRequest) -> Job | RenderError:
        """Check a request and find its avatar."""
        try:
            request.check()
            return Job(request, self._avatars.get(request.avatar), request.mel_max)
        except InvalidRequest as error:
            return RenderError(error.field, str(error))
        except BundleError as error:
            return RenderError("AVATAR", f"AVATAR: {error}")

    def _listen(self, jobs: Sequence[Job]) -> None:
        """Audio windows of the requests that paint anything."""
        speaking = [job for job in jobs if job.positions_to_paint()]
        for job, windows in zip(speaking, self._audio.windows([_span(job.request) for job in speaking]), strict=True):
            job.tokens, job.mel_max = windows.tokens, windows.mel_max

    def _paint(self, jobs: Sequence[Job]) -> None:
        """The mouths of all requests' frames, through shared passes of the networks."""
        todo = [(job, i) for job in jobs for i in job.positions_to_paint()]
        if not todo:
            return
        latents = torch.stack([job.avatar.bundle.latents[job.source(i)] for job, i in todo])  # [R, 8, 32, 32]
        tokens = torch.stack([job.tokens[i] for job, i in todo if job.tokens is not None])  # [R, 50, C]
        mouths = self._painter.paint(latents, tokens, [job.avatar.region for job, _ in todo])
        for (job, i), mouth in zip(todo, mouths, strict=True):
            job.mouths[i] = mouth

    def _answer(self, job: Job) -> RenderResult | RenderError:
        try:
            frames = tuple(self._frame(job, i) for i in range(len(job.request.frame_index)))
        except BundleError as error:
            return RenderError("AVATAR", f"AVATAR: {error}")
        return RenderResult(frames, job.mel_max, rendered=len(job.mouths))

    def _frame(self, job: Job, position: int) -> bytes:
        """One frame as the request wants it; an unpainted one is the source JPEG itself."""
        bundle, source = job.avatar.bundle, job.source(position)
        mouth, raw = job.mouths.get(position), job.request.format == "raw"
        if mouth is None and not raw:
            return bundle.frames[source]
        image = self._images.get((bundle.sha256, source), lambda: bundle.image(source))
        if mouth is not None:
            where = Paste(bundle.info.boxes[source], job.avatar.region, bundle.mask(source))
            image = paste(image, mouth, where, job.request.mouth_weight[position])
        if raw:
            return image.tobytes()
        jpeg: bytes = simplejpeg.encode_jpeg(
            image, self._settings.jpeg_quality, colorspace="RGB", colorsubsampling="420"
        )
        return jpeg


def _span(request: RenderRequest) -> Span:
    return Span(request.audio, request.frame_start, request.mel_max, request.audio_start)


def _one_of(parameters: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    value = parameters.get(name, choices[0])
    if value not in choices:
        raise ValueError(f"config.pbtxt: parameter {name} is {value!r}, not one of {', '.join(choices)}")
    return value


def _number(parameters: Mapping[str, str], name: str, lowest: int, highest: int) -> int:
    value = parameters.get(name, "")
    if not value.isdecimal() or not lowest <= int(value) <= highest:
        raise ValueError(f"config.pbtxt: parameter {name} is {value!r}, not a number from {lowest} to {highest}")
    return int(value)
