"""`TextSpace`: a Gymnasium text space that is correct for real text and in every vector mode.

Stock `gymnasium.spaces.Text` holds a list of its characters, and under `AsyncVectorEnv` with its
default shared memory returns the same stale string for ever. Here the characters are all of
Unicode, without a list of them, so that an observation flattens to its code points; and there are
shared-memory handlers of its own.
"""

from __future__ import annotations

import copy
import multiprocessing
import string
import sys
from collections.abc import Iterator, Sequence, Set
from ctypes import c_int32, c_uint8
from functools import cache
from typing import Any, TypeVar, overload

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_differing_spaces
from gymnasium.vector.utils.shared_memory import (
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

_SAMPLES = (
    '[{{"op":"INSERT","content":"{text}"}}]',
    '[{{"op":"UPDATE","id":"{number}","content":"{text}"}}]',
    '[{{"op":"DELETE","id":"{number}"}}]',
    '[{{"op":"SKIP"}}]',
)
_ALPHABET = string.ascii_letters + string.digits + " .,"
_MAX_SAMPLE = 40  # characters of random text in a sample
_Space = TypeVar("_Space", bound=spaces.Space[Any])


class _Characters(Sequence[str], Set[str]):
    """Every code point: what a tuple and a frozenset of them would be, without the 100 MB."""

    def __len__(self) -> int:
        return sys.maxunicode + 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        points = range(len(self))[index]
        return tuple(map(chr, points)) if isinstance(points, range) else chr(points)

    def __contains__(self, x: object) -> bool:
        return isinstance(x, str) and len(x) == 1

    def __iter__(self) -> Iterator[str]:
        return map(chr, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Characters)

    __hash__ = None  # type: ignore[assignment]


_CHARACTERS = _Characters()


class TextSpace(spaces.Text):
    """Strings of `min_length` to `max_length` characters, whatever the characters are.

    `sample` returns a well-formed memory operation three times in four and random text otherwise.
    Flattened, a text is its code points, int32, padded with 0x110000.
    """

    def __init__(self, max_length: int, *, min_length: int = 0, seed: int | None = None) -> None:
        super().__init__(max_length, min_length=min_length, charset=_ALPHABET, seed=seed)

    @property
    def character_set(self) -> Any:  # noqa: ANN401 - Gymnasium says frozenset
        """All of Unicode, lone surrogates included."""
        return _CHARACTERS

    @property
    def character_list(self) -> Any:  # noqa: ANN401 - Gymnasium says tuple
        """All of Unicode in order."""
        return _CHARACTERS

    @property
    def characters(self) -> str:
        """All of Unicode as one text of 1.1 million characters, made when it is asked for."""
        return _all_characters()

    def character_index(self, char: str) -> np.int32:
        """The code point."""
        return np.int32(ord(char))

    def contains(self, x: Any) -> bool:  # noqa: ANN401 - Gymnasium's signature
        """Whether `x` is a string of allowed length."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:  # noqa: ANN401
        """A memory operation (3 in 4) or random text (1 in 4), at most `max_length` long.

        Raises:
            ValueError: a mask was given; characters of a `TextSpace` cannot be masked.
        """
        if mask is not None or probability is not None:
            raise ValueError(
                "TextSpace.sample takes no mask: its samples are operations, not characters."
            )
        rng = self.np_random
        size = int(rng.integers(max(1, self.min_length), _MAX_SAMPLE))
        text = "".join(_ALPHABET[i] for i in rng.integers(len(_ALPHABET), size=size))
        if rng.random() < 0.75:
            template = _SAMPLES[rng.integers(len(_SAMPLES))]
            text = template.format(text=text, number=int(rng.integers(10)))
        return text[: self.max_length]

    def __repr__(self) -> str:
        return f"TextSpace({self.min_length}, {self.max_length})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TextSpace)
            and self.min_length == other.min_length
            and self.max_length == other.max_length
        )

    __hash__ = None  # type: ignore[assignment]


@cache
def _all_characters() -> str:
    return "".join(_CHARACTERS)


def fork_space(space: _Space) -> _Space:
    """A copy that samples what this one will, whichever is asked first.

    Args:
        space: one of texts, or a batch of them.
    """
    held: list[spaces.Space[Any]] = [space]
    if isinstance(space, spaces.Tuple):
        held += space.spaces
    for one in held:
        _ = one.np_random  # made on first use: now, so that both copies hold the same
    return copy.deepcopy(space)


class _SharedText(Sequence[str]):
    """Live view of the observations in shared memory; a deep copy is a tuple of str.

    `AsyncVectorEnv` reads shared memory once, at construction, and deep-copies what it read on
    every step: so the reading must happen on access.
    """

    def __init__(self, memory: tuple[Any, Any], n: int) -> None:
        self._lengths, self._bytes = (part.get_obj() for part in memory)
        self._n = n
        self._size = len(self._bytes) // n

    def _read(self, index: int) -> str:
        start = index * self._size
        return bytes(self._bytes[start : start + self._lengths[index]]).decode("utf-8")

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return tuple(self)[index] if isinstance(index, slice) else self._read(range(self._n)[index])

    def __iter__(self) -> Iterator[str]:
        return (self._read(index) for index in range(self._n))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, object]) -> tuple[str, ...]:
        return tuple(self)


@batch_differing_spaces.register(TextSpace)
def _batch_differing(texts: Sequence[TextSpace]) -> spaces.Tuple[Any]:  # type: ignore[misc]
    """Texts of different lengths as a batch: one space each, as Gymnasium has it for `Text`."""
    return spaces.Tuple(map(copy.deepcopy, texts), seed=copy.deepcopy(texts[0].np_random))


@create_shared_memory.register(TextSpace)
def _create(space: TextSpace, n: int = 1, ctx: Any = multiprocessing) -> tuple[Any, Any]:  # noqa: ANN401
    """Buffers: (n int32 byte lengths, n·4·max_length uint8 bytes), UTF-8 taking ≤ 4 bytes each."""
    return ctx.Array(c_int32, n), ctx.Array(c_uint8, n * 4 * space.max_length)


@read_from_shared_memory.register(TextSpace)
def _read(space: TextSpace, shared_memory: tuple[Any, Any], n: int = 1) -> _SharedText:
    return _SharedText(shared_memory, n)


@write_to_shared_memory.register(TextSpace)
def _write(space: TextSpace, index: int, value: str, shared_memory: tuple[Any, Any]) -> None:
    lengths, buffer = (part.get_obj() for part in shared_memory)
    data = value.encode("utf-8", "replace")
    start = index * 4 * space.max_length
    lengths[index] = len(data)
    memoryview(buffer).cast("B")[start : start + len(data)] = data
