"""Process-wide settings that torch and OpenCV need to run well on a CPU."""

import ctypes

import cv2
import torch

# mallopt's parameters (glibc's malloc.h) and values: tensors stay in the heap and the heap is not given back after each
# of them, which would cost a page fault for every 4 KiB. nano decodes a face in 7.0 ms this way instead of 9.9 ms, the
# published autoencoder, whose tensors have 32 MiB a frame, in 3.0 s instead of 3.8 s.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
TRIM_THRESHOLD_BYTES = 1 << 30  # the most free heap that is kept
MMAP_THRESHOLDS_BYTES = (1 << 30, 32 << 20)  # the second is the limit of glibc before 2.35; it refuses a higher one


def tune(threads: int) -> None:
    """Set the threads of one operation of torch or OpenCV, and keep freed memory for the next one (glibc only)."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    keep_freed_memory(TRIM_THRESHOLD_BYTES, MMAP_THRESHOLDS_BYTES)


def keep_freed_memory(trim_bytes: int, mmap_bytes: tuple[int, ...]) -> None:
    """Set how much free heap malloc keeps, and from what size on it maps memory of its own: the first that it takes."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, trim_bytes)
        any(libc.mallopt(M_MMAP_THRESHOLD, threshold) for threshold in mmap_bytes)
