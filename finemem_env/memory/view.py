"""What of the memory the manager sees: all, the most recent or the most relevant items.

Rendered items are cached, so a step renders only what it changed; the text itself is joined anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, Self

from finemem_env.media import shown_form
from finemem_env.memory.flat import Memory
from finemem_env.memory.hierarchical import CORE, CORE_ID, STORES
from finemem_env.memory.items import Change, Item, largest
from finemem_env.prompts import render_item
from finemem_env.prompts.observation import (
    CLIP_MARK,
    NumberedChunk,
    StoreLines,
    render_observation,
)
from finemem_env.retrieval import Retriever
from finemem_env.text import split_sentences
from finemem_env.text.lines import join_lines, paragraph_starts
from finemem_env.types import Chunk, Medium

_FRAME_TOKENS = 80  # tags, counts and the line about hidden items, generously


class _Line(NamedTuple):
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _ShownChunk:
    """What is shown of a chunk, and as what: its text, or its numbered sentences; and the size.

    `media` are the lines of its pictures and sounds, which `text` ends with; `chunk` None is the
    view after the last chunk.
    """

    text: str
    chunk: str | NumberedChunk | None
    tokens: int
    chars: int
    media: tuple[str, ...] = ()


_NOTHING = _ShownChunk("", None, 0, 0)


class ObservationView:
    """Renders observations of one episode under `memory_view` and the observation limits.

    Args:
        view: "all", "recent:K" (last written first chosen) or "relevant:K" (to the chunk).
        max_tokens: longest observation in tokens, None for no limit.
        max_chars: longest observation in characters.
        count_tokens: the episode's token counter.
        line_numbers: number the sentences of the chunk.
        media: name its pictures and sounds, so that operations can keep them.
    """

    def __init__(
        self,
        view: str,
        max_tokens: int | None,
        max_chars: int,
        count_tokens: Callable[[str], int],
        line_numbers: bool = False,
        media: bool = False,
    ) -> None:
        self._numbered, self._named = line_numbers, media
        self._kind, _, count = view.partition(":")
        self._count = int(count) if count else 0
        self._max_tokens = max_tokens
        self._max_chars = max_chars
        self._count_tokens = count_tokens
        self._lines: dict[int, _Line] = {}
        self._tokens = 0
        self._chars = 0

    def update(self, change: Change) -> None:
        """Follow one step's net change of the memory."""
        added = {item.id for item in change.added}
        for item in change.removed:
            line = self._lines[item.id]
            self._tokens -= line.tokens
            self._chars -= len(line.text) + 1
            if item.id not in added:
                del self._lines[item.id]
        for item in change.added:
            text = self._render_item(item)
            line = _Line(text, 0 if self._max_tokens is None else self._count_tokens(text))
            self._lines[item.id] = line
            self._tokens += line.tokens
            self._chars += len(text) + 1

    def fork(self) -> Self:
        """A copy that goes on apart from this one."""
        other = copy.copy(self)
        other._lines = dict(self._lines)
        return other

    def render(
        self,
        chunk: Chunk | None,
        chunk_tokens: int,
        index: int,
        total: int,
        memory: Memory,
        retriever: Retriever,
    ) -> str:
        """Observation for step `index`; `chunk` None is the view after the last chunk."""
        part = _NOTHING if chunk is None else self._part(chunk, chunk_tokens)
        return render_observation(
            chunk=part.chunk,
            chunk_index=index,
            num_chunks=total,
            time=None if chunk is None else chunk.time,
            lines=self._visible(self._choose(part, memory, retriever)),
            memory_items=len(memory),
            memory_tokens=memory.tokens,
            budget=memory.budget,
            media=part.media,
        )

    def lines(self, chunk: Chunk) -> tuple[str, ...] | None:
        """The numbered sentences of a chunk that are shown; None if there are no numbers."""
        part = self._lines_of(chunk.text, self._media(chunk)).chunk if self._numbered else None
        return part.sentences if isinstance(part, NumberedChunk) else None

    def media(self, chunk: Chunk) -> tuple[Medium, ...]:
        """The pictures and sounds of a chunk that are shown: the first ones, as many as fit."""
        return chunk.media[: len(self._media(chunk).media)]

    def _media(self, chunk: Chunk) -> _ShownChunk:
        """The media of a chunk, and their size."""
        shown = _NOTHING
        for medium in chunk.media:
            line = shown_form(medium, named=self._named)
            tokens = medium.tokens if self._named else 0
            if self._max_tokens is not None:
                tokens += self._count_tokens(line)
            size = shown.tokens + tokens, shown.chars + len(line) + 1
            if not self._fits(*size):
                break
            shown = _ShownChunk("", "", *size, (*shown.media, line))
        return shown

    def _part(self, chunk: Chunk, tokens: int) -> _ShownChunk:
        """What is shown of a chunk; `tokens` are those of its text and media."""
        media, text = self._media(chunk), chunk.text
        whole = len(media.media) == len(chunk.media)
        if self._numbered:
            part = self._lines_of(text, media)
            if isinstance(part.chunk, NumberedChunk) and not whole:
                part = self._size(replace(part.chunk, clipped=True))
        elif whole and self._fits(tokens, len(text) + media.chars):
            part = _ShownChunk(text, text, tokens - media.tokens, len(text))
        else:
            text = self._clip(text, media)
            part = _ShownChunk(text, text, self._count_tokens(text), len(text))
        if not media.media:
            return part
        told = "\n".join([part.text, *media.media])
        return _ShownChunk(
            told, part.chunk, part.tokens + media.tokens, part.chars + media.chars, media.media
        )

    def _lines_of(self, text: str, media: _ShownChunk) -> _ShownChunk:
        """The sentences of a chunk, without the last ones if they do not all fit beside `media`."""
        sentences = split_sentences(text)
        starts = paragraph_starts(text, sentences)
        whole = self._size(NumberedChunk(sentences, starts))
        if self._fits(whole.tokens + media.tokens, whole.chars + media.chars):
            return whole

        def clipped(kept: tuple[str, ...]) -> _ShownChunk:
            return self._size(NumberedChunk(kept, starts, clipped=True))

        def fits(kept: tuple[str, ...]) -> bool:
            part = clipped(kept)
            return self._fits(part.tokens + media.tokens, part.chars + media.chars)

        count = largest(len(sentences) - 1, lambda n: fits(sentences[:n]))
        if not count and sentences:  # the start of the first is better than nothing
            size = largest(len(sentences[0]), lambda n: fits((sentences[0][:n],)))
            begun = sentences[0][:size].strip()
            return clipped((begun,) if begun else ())
        return clipped(sentences[:count])

    def _size(self, chunk: NumberedChunk) -> _ShownChunk:
        body = chunk.body
        tokens = 0 if self._max_tokens is None else self._count_tokens(body)
        return _ShownChunk(join_lines(chunk.sentences), chunk, tokens, len(body))

    def _render_item(self, item: Item) -> str:
        return render_item(item.id, item.content)

    def _visible(self, shown: Iterable[int]) -> Sequence[str] | StoreLines:
        return [self._lines[item_id].text for item_id in shown]

    def _fits(self, tokens: int, chars: int) -> bool:
        within = self._max_tokens is None or tokens + _FRAME_TOKENS <= self._max_tokens
        return within and chars + 4 * _FRAME_TOKENS <= self._max_chars

    def _choose(self, chunk: _ShownChunk, memory: Memory, retriever: Retriever) -> Iterable[int]:
        if self._kind == "recent":
            newest = nlargest(self._count, memory.items(), key=attrgetter("step", "id"))
            ranked = [item.id for item in newest]
        elif self._kind == "relevant":
            ranked = retriever.search(chunk.text, self._count)
        else:
            ranked = list(self._lines)
        tokens = chunk.tokens + self._tokens
        chars = chunk.chars + self._chars
        if self._fits(tokens, chars):
            return ranked if self._kind == "all" else sorted(ranked)
        if self._kind == "all":
            ranked = self._by_relevance(chunk.text, retriever)
        return sorted(self._take(ranked, chunk.tokens, chunk.chars))

    def _by_relevance(self, chunk: str, retriever: Retriever) -> list[int]:
        ranked = retriever.search(chunk, len(self._lines))
        rest = set(self._lines) - set(ranked)
        return ranked + sorted(rest, reverse=True)

    def _take(self, ranked: list[int], tokens: int, chars: int) -> list[int]:
        taken = []
        for item_id in ranked:
            line = self._lines[item_id]
            if self._fits(tokens + line.tokens, chars + len(line.text) + 1):
                taken.append(item_id)
                tokens += line.tokens
                chars += len(line.text) + 1
        return taken

    def _clip(self, chunk: str, media: _ShownChunk) -> str:
        """The longest prefix of `chunk` that fits beside `media`, with a visible mark."""

        def fits(size: int) -> bool:
            text = chunk[:size] + CLIP_MARK
            return self._fits(self._count_tokens(text) + media.tokens, len(text) + media.chars)

        return chunk[: largest(len(chunk), fits)] + CLIP_MARK


class StoreView(ObservationView):
    """Renders observations of a hierarchical memory; arguments as of `ObservationView`.

    Always the core, and some items of each store. `recent:K` are the last K of each in order of
    age, as in Mem-α, which halves K until the observation fits; a chunk that is too long on its
    own is clipped.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **keywords)
        self._ids: dict[str, dict[int, None]] = {store: {} for store in STORES}

    def update(self, change: Change) -> None:
        """Follow one step's net change of the memory."""
        super().update(change)
        for item in change.removed:
            if item.id not in self._lines and item.store != CORE:
                del self._ids[item.store][item.id]
        for item in change.added:
            if item.store != CORE:
                self._ids[item.store].setdefault(item.id)

    def fork(self) -> Self:
        """A copy that goes on apart from this one."""
        other = super().fork()
        other._ids = {store: dict(ids) for store, ids in self._ids.items()}
        return other

    def _render_item(self, item: Item) -> str:
        if item.store == CORE:
            return "  " + item.content.replace("\n", "\n  ")
        return super()._render_item(item)

    def _choose(self, chunk: _ShownChunk, memory: Memory, retriever: Retriever) -> Iterable[int]:
        core = self._lines.get(CORE_ID)
        tokens = chunk.tokens + (core.tokens if core else 0)
        chars = chunk.chars + (len(core.text) if core else 0)
        if self._kind == "recent":
            return self._recent(tokens, chars)
        if self._kind == "relevant":
            return self._take(retriever.search(chunk.text, self._count), tokens, chars)
        if self._fits(chunk.tokens + self._tokens, chunk.chars + self._chars):
            return [item_id for ids in self._ids.values() for item_id in ids]
        ranked = [one for one in self._by_relevance(chunk.text, retriever) if one != CORE_ID]
        return self._take(ranked, tokens, chars)

    def _recent(self, tokens: int, chars: int) -> list[int]:
        count = self._count
        while True:
            shown = [one for ids in self._ids.values() for one in islice(reversed(ids), count)]
            lines = [self._lines[item_id] for item_id in shown]
            within = self._fits(
                tokens + sum(line.tokens for line in lines),
                chars + sum(len(line.text) + 1 for line in lines),
            )
            if within or not count:
                return shown
            count //= 2

    def _visible(self, shown: Iterable[int]) -> StoreLines:
        chosen, core = set(shown), self._lines.get(CORE_ID)
        stores = [
            (
                store,
                [self._lines[item_id].text for item_id in sorted(chosen & ids.keys())],
                len(ids),
            )
            for store, ids in self._ids.items()
        ]
        return StoreLines(None if core is None else core.text, stores)
