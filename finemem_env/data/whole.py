"""What the sources share whose episodes are told whole: nothing is left out to fit the chunks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from finemem_env.data.packing import (
    Passage,
    draw_targets,
    pack,
    sentence_spans,
    split_evenly,
)
from finemem_env.data.passages import Layout, PassageSource
from finemem_env.data.source import AutoTokens, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError

_BLANK_LINE = re.compile(r"\n\s*\n")


def unwrapped(text: str) -> str:
    """`text` with its hard-wrapped lines joined; blank lines stay, as single ones.

    A line break ends a sentence for every reader here, and these publishers break lines anywhere.
    """
    paragraphs = (" ".join(paragraph.split()) for paragraph in _BLANK_LINE.split(text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


class WholeSource(PassageSource):
    """A source whose episode is one whole text, cut between its passages.

    In `num_chunks` (default 10) chunks of about equal size, or fewer when there are fewer passages;
    with `chunk_tokens` in as many chunks of that size as it takes.

    Raises:
        ConfigError: both num_chunks and chunk_tokens, which a given text can seldom follow.
    """

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.num_chunks is not None and config.chunk_tokens is not None:
            raise ConfigError(
                f"source {self.name!r} gives whole texts: choose num_chunks or chunk_tokens, "
                "not both."
            )

    def cut(self, rng: np.random.Generator, passages: Sequence[Passage]) -> Layout:
        """The layout of all `passages`, nothing left out."""
        if self.config.chunk_tokens is None:
            return Layout.of(
                passages, split_evenly(passages, self.num_chunks, self.count, self.separator)
            )
        return self.fill(rng, passages)

    def fill(self, rng: np.random.Generator, passages: Sequence[Passage]) -> Layout:
        """The layout of all `passages` in as many chunks of a size as it takes."""
        most = sum(len(sentence_spans(passage.text)) for passage in passages)
        targets = draw_targets(rng, most, self._bounds(passages))
        return Layout.of(passages, pack(passages, targets, self.count, self.separator))

    def _bounds(self, passages: Sequence[Passage]) -> tuple[int, int]:
        """(min, max) tokens of a chunk; what "auto" chose goes into the episode's metadata."""
        config = self.config
        if not isinstance(config.chunk_tokens, AutoTokens):
            return config.token_range(self.chunk_tokens)
        size = sum(self.count(passage.block) for passage in passages)
        chosen = config.chunk_tokens.choose(size)
        self.chosen = {"chunk_tokens": chosen}
        return chosen, chosen
