"""Sources made of other things: an episode file, and a weighted mixture of sources."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from finemem_env.data.schema import read_episodes
from finemem_env.data.source import DRAW_BOUND, Source, SourceConfig, episode_rng
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.types import Competency, Episode

__all__ = ["FileSource", "MixtureSource"]


@lru_cache(maxsize=8)
def _read(path: Path, stamp: tuple[int, int]) -> tuple[Episode, ...]:
    """Parsed once per process and state of the file; `stamp` = (mtime in ns, bytes)."""
    return tuple(read_episodes(path))


class FileSource:
    """The episodes of one file, as they were written: it has no splits and ignores packing.

    Raises:
        ConfigError: packing or difficulty options, which a finished episode cannot follow.
        DataError: a file that breaks the schema.
    """

    def __init__(self, path: Path, config: SourceConfig) -> None:
        if config.num_chunks is not None or config.chunk_tokens is not None or config.difficulty:
            raise ConfigError(
                f"source {str(path)!r} is an episode file: num_chunks, chunk_tokens and difficulty "
                "were fixed when it was built."
            )
        stat = path.stat()
        self.name = str(path)
        self._episodes = _read(path.absolute(), (stat.st_mtime_ns, stat.st_size))
        self._index = {episode.episode_id: i for i, episode in enumerate(self._episodes)}
        self.size: int | None = len(self._episodes)
        self.competencies: frozenset[Competency] = frozenset(
            episode.competency for episode in self._episodes
        )

    def episode(self, index: int) -> Episode:
        """Episode `index` in file order."""
        if not 0 <= index < len(self._episodes):
            raise ConfigError(
                f"{self.name}: episode index {index} is out of range; the file has "
                f"{len(self._episodes)} episodes."
            )
        return self._episodes[index]

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode of the file, each with the same chance."""
        return self._episodes[int(rng.integers(len(self._episodes)))]

    def get(self, episode_id: str) -> Episode:
        """The episode with this id."""
        if episode_id not in self._index:
            raise ConfigError(nearest(f"episode id in {self.name}", episode_id, self._index))
        return self._episodes[self._index[episode_id]]


class MixtureSource:
    """Draws a component by weight, then one of its episodes; ids stay the component's."""

    def __init__(self, parts: Sequence[tuple[Source, float]], split: str) -> None:
        self._sources = [source for source, _ in parts]
        weights = np.array([weight for _, weight in parts], dtype=np.float64)
        self._bounds = np.cumsum(weights / weights.sum())
        self._split = split
        self.name = "+".join(source.name for source in self._sources)
        self.size: int | None = None
        self.competencies: frozenset[Competency] = frozenset().union(
            *(source.competencies for source in self._sources)
        )

    def episode(self, index: int) -> Episode:
        """Episode `index`: component and episode are functions of (split, index, names)."""
        if not 0 <= index < DRAW_BOUND:
            raise ConfigError(f"{self.name}: episode index {index} is out of range.")
        return self.draw(episode_rng(self.name, self._split, index))

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode of a component chosen by weight."""
        chosen = int(np.searchsorted(self._bounds, rng.random(), side="right"))
        return self._sources[min(chosen, len(self._sources) - 1)].draw(rng)

    def get(self, episode_id: str) -> Episode:
        """The episode with this id, from whichever component has it."""
        for source in self._sources:
            try:
                return source.get(episode_id)
            except (ConfigError, DataError):
                continue
        raise ConfigError(f"unknown episode id {episode_id!r} in the mixture {self.name}.")
