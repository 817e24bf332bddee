"""The memory with what finds and what shows its items, moved in step.

    workspace = Workspace(settings, count_tokens, input_tokens=9000)
    workspace.apply(0, parse(action))
    workspace.search("Where does Mara live?", k=5)
    workspace.render(chunk, tokens, 1, 10)

The only place where a change of the memory reaches retriever and view: sessions, `MemoryManager`
and whoever else keeps a memory go through it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from finemem_env.errors import ConfigError
from finemem_env.memory.flat import Memory
from finemem_env.memory.hierarchical import STORES, HierarchicalMemory
from finemem_env.memory.items import Change, Item, MemorySnapshot
from finemem_env.memory.view import ObservationView, StoreView
from finemem_env.operations import Parsed
from finemem_env.prompts import instructions_for
from finemem_env.retrieval import Retriever, StoreRetriever, copy_retriever, make_retriever
from finemem_env.settings import Settings
from finemem_env.types import Chunk, Medium

_UNLIMITED_CHARS = 2**22  # longest observation when max_observation_tokens is unlimited
_CHARS_PER_TOKEN = 8


def observation_chars(settings: Settings) -> int:
    """Most characters of an observation, without the instructions."""
    limit = settings.max_observation_tokens
    return _UNLIMITED_CHARS if limit is None else limit * _CHARS_PER_TOKEN


class Workspace:
    """An empty memory of the kind of `settings.memory`, with its retriever and view.

    Args:
        settings: resolved settings.
        count_tokens: the token counter of `settings.tokenizer`.
        input_tokens: tokens of all chunks, which a budget may be a share of.
        max_chars: longest observation in characters; None follows from the settings.
        retriever: an empty one to use; None makes the one that the settings name.

    Raises:
        ConfigError: a retriever object for a hierarchical memory, which needs one a store.
    """

    def __init__(
        self,
        settings: Settings,
        count_tokens: Callable[[str], int],
        *,
        input_tokens: int = 0,
        max_chars: int | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        self.settings = settings
        self.instructions = instructions_for(
            settings.memory, settings.line_numbers, bool(settings.media)
        )
        self._count_tokens = count_tokens
        self._max_chars = observation_chars(settings) if max_chars is None else max_chars
        hierarchical = settings.memory == "hierarchical"
        self.memory = (HierarchicalMemory if hierarchical else Memory)(
            count_tokens=count_tokens,
            max_item_tokens=settings.max_item_tokens,
            max_operations=settings.max_operations,
        )
        self.set_input(input_tokens)
        self.retriever = self._make_retriever() if retriever is None else retriever
        if hierarchical and retriever is not None:
            raise ConfigError(
                "retriever: a hierarchical memory searches each store on its own; name the "
                f"retriever instead of giving one, got {type(retriever).__name__}."
            )
        self._view = self._make_view()

    def set_input(self, tokens: int) -> None:
        """Say how many tokens are read in all (so far): a budget that is a share is one of them."""
        budget = self.settings.memory_budget
        self.memory.budget = max(1, int(budget * tokens)) if isinstance(budget, float) else budget

    def apply(self, step: int, parsed: Sequence[Parsed], media: Sequence[Medium] = ()) -> Change:
        """Apply what was emitted at `step`, in order; one result per entry.

        `media`: those of the chunk, which operations may keep.
        """
        self.memory.offer(media)
        change = self.memory.apply(step, parsed)
        self._follow(change)
        return change

    def search(self, query: str, k: int) -> tuple[Item, ...]:
        """At most `k` items that fit the query, best first.

        Of a hierarchical memory at most `k` of each store, store after store, without the core.
        """
        return self.memory.found(self.retriever.search(query, k))

    def render(self, chunk: Chunk | None, chunk_tokens: int, index: int, total: int) -> str:
        """The observation before step `index` of `total` (-1: unknown); see `ObservationView`."""
        text = self._view.render(chunk, chunk_tokens, index, total, self.memory, self.retriever)
        return f"{self.instructions}\n\n{text}" if self.settings.include_instructions else text

    def lines(self, chunk: Chunk | None) -> tuple[str, ...] | None:
        """The sentences of `chunk` as its observation numbers them; None without line_numbers."""
        return self._view.lines(Chunk("", "") if chunk is None else chunk)

    def media(self, chunk: Chunk | None) -> tuple[Medium, ...] | None:
        """The media of `chunk` that operations can name; None where `settings.media` is off."""
        if not self.settings.media:
            return None
        return () if chunk is None else self._view.media(chunk)

    def restore(self, snapshot: MemorySnapshot) -> None:
        """Become what `snapshot` was taken of, budget included.

        Raises:
            DataError: it is not a snapshot of a memory; nothing was changed.
        """
        before = self.memory.items()
        self.memory.restore(snapshot)
        self._follow(Change(before, (), ()))
        self._follow(Change((), self.memory.items(), ()))

    def fork(self) -> Workspace:
        """A copy that goes on exactly as this one would, and apart from it."""
        other = copy.copy(self)
        other.memory = memory = self.memory.fork()
        other._view = self._view.fork()
        if isinstance(self.retriever, StoreRetriever) and isinstance(memory, HierarchicalMemory):
            other.retriever = self.retriever.fork(memory.store_of)
        else:
            other.retriever = copy_retriever(self.retriever)
        return other

    def _follow(self, change: Change) -> None:
        if change.removed or change.added:
            self.retriever.update(
                [(item.id, item.content) for item in change.removed],
                [(item.id, item.content) for item in change.added],
            )
            self._view.update(change)

    def _make_retriever(self) -> Retriever:
        def make() -> Retriever:
            return make_retriever(self.settings.retriever, bm25=self.settings.bm25)

        if isinstance(self.memory, HierarchicalMemory):
            return StoreRetriever(make, STORES, self.memory.store_of)
        return make()

    def _make_view(self) -> ObservationView:
        limit = self.settings.max_observation_tokens
        if limit is not None and self.settings.include_instructions:
            limit -= self._count_tokens(self.instructions)
        view = StoreView if isinstance(self.memory, HierarchicalMemory) else ObservationView
        return view(
            self.settings.memory_view,
            limit,
            self._max_chars,
            self._count_tokens,
            self.settings.line_numbers,
            bool(self.settings.media),
        )
