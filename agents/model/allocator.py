"""The C allocator of a process that trains on the CPU."""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # names of glibc's mallopt
_KEPT = 2**30  # bytes


def keep_memory() -> bool:
    """Let glibc keep what tensors free; whether it does.

    By default it gives large blocks back to the kernel, which hands them out again page by page and
    zeroed, in every update. Elsewhere, or with another allocator, nothing changes.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has none
        return False
    return all(mallopt(name, _KEPT) for name in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
