"""Sources made of other things: an episode file, and a weighted mixture of sources."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finemem_env.data.files import Reading, parsed
from finemem_env.data.schema import read_episodes
from finemem_env.data.source import DRAW_BOUND, SPLITS, Source, SourceConfig, episode_rng
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.types import Competency, Episode

_HINT = "docs/own-data.md explains every field."


def _parse(path: Path, reading: Reading) -> tuple[Episode, ...]:
    return tuple(read_episodes(path, reading))


def _of_split(episodes: Sequence[Episode], split: str, path: Path) -> Sequence[Episode]:
    """The episodes of a split; all of them where no record names one."""
    named = Counter(str(episode.metadata.get("split")) for episode in episodes)
    known = sum(named[name] for name in SPLITS)
    if known == 0:
        return episodes
    if known < len(episodes):
        raise DataError(
            f"{path}: split: expected one in every record or in none, found it in {known} of "
            f"{len(episodes)}."
        )
    chosen = [episode for episode in episodes if episode.metadata["split"] == split]
    if not chosen:
        held = ", ".join(f"{name} ({named[name]})" for name in SPLITS if named[name])
        raise ConfigError(
            f"source {str(path)!r} has no episode of split {split!r}; it has {held}. Ask for "
            "one of these with split=…, or build the file with --split all."
        )
    return chosen


class FileSource:
    """The episodes of one file, as they were written; it ignores packing.

    Where the records say which split they belong to, a split holds those of that name; where none
    does, the file has no splits, and every split is the whole file.

    Raises:
        ConfigError: packing or difficulty options, which a finished episode cannot follow, or a
            split that the file lacks.
        DataError: a file that breaks the schema.
    """

    def __init__(self, path: Path, config: SourceConfig) -> None:
        if config.num_chunks is not None or config.chunk_tokens is not None or config.difficulty:
            raise ConfigError(
                f"source {str(path)!r} is an episode file: num_chunks, chunk_tokens and difficulty "
                "were fixed when it was built."
            )
        self.name = str(path)
        reading = Reading(_HINT, config.on_error == "skip")
        self._episodes = _of_split(parsed(_parse, path, reading), config.split, path)
        folder = f"{path.absolute().parent}{os.sep}"
        self.left_out = tuple(flaw.removeprefix(folder) for flaw in reading.flaws)
        self.has_splits = any(episode.metadata.get("split") in SPLITS for episode in self._episodes)
        self.has_media = any(chunk.media for episode in self._episodes for chunk in episode.chunks)
        self._index = {episode.episode_id: i for i, episode in enumerate(self._episodes)}
        self.size: int | None = len(self._episodes)
        self.competencies: frozenset[Competency] = frozenset(
            episode.competency for episode in self._episodes
        )

    @property
    def episodes(self) -> Sequence[Episode]:
        """Those of the split, in file order."""
        return self._episodes

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
        return self._episodes[self.choose(rng)]

    def choose(self, rng: np.random.Generator) -> int:
        """The index of the episode that `draw` gives."""
        return int(rng.integers(len(self._episodes)))

    def get(self, episode_id: str) -> Episode:
        """The episode with this id."""
        if episode_id not in self._index:
            raise ConfigError(nearest(f"episode id in {self.name}", episode_id, self._index))
        return self._episodes[self._index[episode_id]]


class MixtureSource:
    """Draws a component by weight, then one of its episodes; ids stay the component's."""

    def __init__(self, parts: Sequence[tuple[Source, float]], split: str) -> None:
        self.parts = tuple(source for source, _ in parts)
        weights = np.array([weight for _, weight in parts], dtype=np.float64)
        self._bounds = np.cumsum(weights / weights.sum())
        self._split = split
        self.name = "+".join(source.name for source in self.parts)
        self.size: int | None = None
        self.competencies: frozenset[Competency] = frozenset().union(
            *(source.competencies for source in self.parts)
        )

    def episode(self, index: int) -> Episode:
        """Episode `index`: component and episode are functions of (split, index, names)."""
        if not 0 <= index < DRAW_BOUND:
            raise ConfigError(f"{self.name}: episode index {index} is out of range.")
        return self.draw(episode_rng(self.name, self._split, index))

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode of a component chosen by weight."""
        chosen = int(np.searchsorted(self._bounds, rng.random(), side="right"))
        return self.parts[min(chosen, len(self.parts) - 1)].draw(rng)

    def get(self, episode_id: str) -> Episode:
        """The episode with this id, from whichever component has it."""
        for source in self.parts:
            try:
                return source.get(episode_id)
            except (ConfigError, DataError):
                continue
        raise ConfigError(f"unknown episode id {episode_id!r} in the mixture {self.name}.")
