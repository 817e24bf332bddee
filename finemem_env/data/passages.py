"""What the packed sources share: from passages to chunks, and from answer spans to evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from finemem_env.data.dialogue import READING, dates, dialogue_chunk
from finemem_env.data.packing import (
    CHUNK_TOKENS,
    NUM_CHUNKS,
    Packed,
    Passage,
    cached_counter,
    deal_questions,
    draw_targets,
    pack,
    sentence_spans,
)
from finemem_env.data.source import BaseSource, SourceConfig, SourceSpec, episode_rng
from finemem_env.errors import ConfigError
from finemem_env.types import Chunk, Episode, Evidence, Question


@dataclass(frozen=True, slots=True)
class Layout:
    """Where every passage went: `places[passage]` lists (chunk, start, end) of its pieces."""

    chunks: tuple[Packed, ...]
    texts: Mapping[int, str]
    places: Mapping[int, tuple[tuple[int, int, int], ...]]

    @classmethod
    def of(cls, passages: Sequence[Passage], chunks: tuple[Packed, ...]) -> Layout:
        """The layout of `chunks`, made of `passages`."""
        places: dict[int, list[tuple[int, int, int]]] = {}
        for step, chunk in enumerate(chunks):
            for piece in chunk.pieces:
                places.setdefault(piece.passage, []).append((step, piece.start, piece.end))
        texts = {number: passages[number].text for number in places}
        return cls(chunks, texts, {number: tuple(pieces) for number, pieces in places.items()})

    @property
    def passages(self) -> Iterable[int]:
        """Numbers of the passages that are in some chunk, in order."""
        return self.places.keys()

    def evidence(self, passage: int, start: int, end: int) -> tuple[Evidence, ...]:
        """The sentences of `passage` that [start, end) touches; () unless all are in a chunk."""
        sentences = []
        for first, last in sentence_spans(self.texts.get(passage, "")):
            if first < end and start < last:
                step = self._chunk(passage, first, last)
                if step is None:
                    return ()
                sentences.append(Evidence(step, self.texts[passage][first:last]))
        return tuple(sentences)

    def _chunk(self, passage: int, first: int, last: int) -> int | None:
        for step, start, end in self.places.get(passage, ()):
            if start <= first and last <= end:
                return step
        return None


class PassageSource(BaseSource):
    """A source packed from passages; 10 chunks of U(100, 2048) tokens unless told otherwise.

    Under the chunking "mem-alpha" every chunk is wrapped in a dated dialogue.
    """

    separator = "\n\n"
    chunk_tokens: ClassVar[tuple[int, int]] = CHUNK_TOKENS
    openings: ClassVar[Sequence[str]] = READING

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self.count = cached_counter(config.count_tokens)
        self.num_chunks = config.num_chunks or NUM_CHUNKS
        self.chosen: Mapping[str, object] = {}  # about the episode being built, for its metadata

    def targets(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Target size in tokens of every chunk of one episode."""
        return draw_targets(rng, self.num_chunks, self.config.token_range(self.chunk_tokens))

    def pack(self, passages: Iterable[Passage], targets: Sequence[int]) -> Layout:
        """Fill the targets, reading no more of `passages` than needed.

        Raises:
            ConfigError: `passages` do not fill them.
        """
        read: list[Passage] = []

        def reading() -> Iterable[Passage]:
            for passage in passages:
                read.append(passage)
                yield passage

        packed = pack(reading(), targets, self.count, self.separator)
        if len(packed) < len(targets):
            raise ConfigError(
                f"{self.name}: split {self.config.split!r} has text for {len(packed)} chunks of "
                f"this size, not for num_chunks={len(targets)}; ask for fewer or smaller chunks."
            )
        return Layout.of(read, packed)

    def extractive(
        self,
        rng: np.random.Generator,
        index: int,
        layout: Layout,
        questions: Sequence[Question],
        metadata: Mapping[str, object] | None = None,
    ) -> Episode:
        """An episode whose `questions`, with evidence, are dealt out to the chunks and the end."""
        reserved, final = deal_questions(rng, questions, len(layout.chunks))
        texts = [chunk.text for chunk in layout.chunks]
        return self.compose(index, texts, final, reserved, metadata)

    def compose(
        self,
        index: int,
        texts: Sequence[str],
        final: Sequence[Question],
        reserved: Sequence[Sequence[Question]] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> Episode:
        """Episode `index` from chunk texts, final questions and the questions of each chunk."""
        (competency,) = self.competencies
        if not final:
            raise ConfigError(
                f"{self.name}: these chunks hold too few questions for a final one; ask for more "
                "or larger chunks."
            )
        return Episode(
            episode_id=self.episode_id(index),
            competency=competency,
            source=self.name,
            chunks=dated_chunks(self._wrapped(index, texts), dates(len(texts)), reserved),
            questions=tuple(final),
            metadata={
                "split": self.config.split,
                "index": index,
                **self.chosen,
                **(metadata or {}),
            },
        )

    def _wrapped(self, index: int, texts: Sequence[str]) -> Sequence[str]:
        if self.config.chunking != "mem-alpha":
            return texts
        rng = episode_rng(f"{self.name}/dialogue", self.config.split, index)
        return [
            dialogue_chunk(text, day, rng, self.openings)
            for text, day in zip(texts, dates(len(texts)), strict=True)
        ]


def dated_chunks(
    texts: Iterable[str], days: Sequence[str], questions: Sequence[Sequence[Question]] = ()
) -> tuple[Chunk, ...]:
    """Chunks c0, c1, … with their days and questions."""
    return tuple(
        Chunk(f"c{i}", text, day, tuple(questions[i]) if questions else ())
        for i, (text, day) in enumerate(zip(texts, days, strict=True))
    )
