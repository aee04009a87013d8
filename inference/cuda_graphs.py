"""Batches of few, fixed sizes, and one CUDA graph for each.

A U-Net pass is some 1,500 kernels; started one by one from Python they take longer than they run. A captured graph
starts them at once, but only with the shapes and the memory that it was captured with. So batches have the sizes of
``buckets``, each with input and output buffers of its own, and a smaller batch is filled up with rows of zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CAPTURE_WARM_UPS = 3  # passes before a capture, in which cuDNN chooses its kernels; PyTorch's documentation asks for it


class Batch(NamedTuple):
    """Rows ``first`` to ``first + rows`` of a list, to be run as a batch of ``bucket`` rows."""

    first: int
    rows: int
    bucket: int


def buckets(device_type: str, max_batch: int) -> tuple[int, ...]:
    """The sizes of batches, ascending: on CUDA powers of two and ``max_batch``; elsewhere all, as filling up costs."""
    if device_type != "cuda":
        return tuple(range(1, max_batch + 1))
    return (*(2**power for power in range((max_batch - 1).bit_length())), max_batch)


def batches(rows: int, sizes: Sequence[int]) -> Iterator[Batch]:
    """How many rows are run: in batches of the largest size, and the rest in the smallest that holds it."""
    for first in range(0, rows, sizes[-1]):
        count = min(sizes[-1], rows - first)
        yield Batch(first, count, next(size for size in sizes if size >= count))


def filled_up(tensor: Tensor, rows: int) -> Tensor:
    """The tensor with rows of zeros up to this many."""
    if len(tensor) == rows:
        return tensor
    return torch.cat([tensor, tensor.new_zeros(rows - len(tensor), *tensor.shape[1:])])


def tune() -> None:
    """Process-wide: let cuDNN measure its kernels once a shape, and keep fp32 convolutions in fp32 (not TF32)."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False


@dataclass(frozen=True, slots=True)
class Captured:
    """A graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    latents: Tensor
    tokens: Tensor
    pixels: Tensor  # on the device; the graphs share a pool, so it holds only until another one runs
    host: Tensor  # page-locked


class CudaGraphs:
    """A pass of the networks, captured once for each number of rows. Belongs to one thread."""

    def __init__(self, network: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> None:
        """``network``: latents [B, 8, 32, 32] and tokens [B, 50, C] on ``device`` to uint8 pixels [B, h, w, 3]."""
        self._network = network
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._captured: dict[int, Captured] = {}

    def run(self, latents: Tensor, tokens: Tensor) -> NDArray[np.uint8]:
        """The pixels on the host. The array is valid until the next call; the first call of a size captures."""
        with torch.cuda.device(self._device):
            if len(latents) not in self._captured:
                self._captured[len(latents)] = self._capture(latents, tokens)
            captured = self._captured[len(latents)]
            captured.latents.copy_(latents)
            captured.tokens.copy_(tokens)
            captured.graph.replay()
            captured.host.copy_(captured.pixels, non_blocking=True)
            torch.cuda.current_stream().synchronize()
            pixels: NDArray[np.uint8] = captured.host.numpy()
            return pixels

    def _capture(self, latents: Tensor, tokens: Tensor) -> Captured:
        latents, tokens = latents.to(self._device, copy=True), tokens.to(self._device, copy=True)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # not in torch's annotations
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_WARM_UPS):
                self._network(latents, tokens)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            pixels = self._network(latents, tokens)
        return Captured(graph, latents, tokens, pixels, torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True))
