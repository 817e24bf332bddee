"""Mono WAV of 16 bits with the standard library."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

from finemem_env.errors import DataError


def write_wav(samples: NDArray[np.int16], rate: int) -> bytes:
    """A mono WAV of `samples`, shape (n,), at `rate` samples a second; same in, same out."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def read_wav(data: bytes) -> tuple[NDArray[np.int16], int]:
    """Samples, shape (n,), and rate of a mono WAV of 16 bits.

    Raises:
        DataError: another WAV, or none.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise wave.Error("another number of channels or bits")
            return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()
    except (wave.Error, EOFError, ValueError) as error:
        raise DataError(f"WAV: expected 16-bit mono, found {error}.") from error
