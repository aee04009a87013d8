"""Process-wide settings that torch needs to run well on a CPU."""

import ctypes
import ctypes.util

import torch

# mallopt's parameters (glibc's malloc.h) and values: tensors of some megabytes stay in the heap and the heap is not
# given back after each of them. Decoding a face takes 7.0 ms this way; with glibc's defaults 9.9 ms, the rest of it
# page faults.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
TRIM_THRESHOLD_BYTES = 512 << 20  # the most free heap that is kept
MMAP_THRESHOLD_BYTES = 32 << 20  # glibc's own upper limit


def tune(threads: int) -> None:
    """Set the number of threads of one torch operation and keep freed memory for the next one (glibc only)."""
    torch.set_num_threads(threads)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
