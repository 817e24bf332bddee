"""What of a hierarchical memory the manager sees: always the core, and some items of each store.

`recent:K` are the last K items of each store in order of age, as in Mem-α, which halves K until the
observation fits; a chunk that is too long on its own is clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from finemem_env.hierarchical import CORE, CORE_ID, STORES, HierarchicalMemory
from finemem_env.memory import Change, Item, Memory
from finemem_env.prompts import render_stores
from finemem_env.retrieval import Retriever
from finemem_env.view import ObservationView

__all__ = ["StoreView"]


class StoreView(ObservationView):
    """Renders observations of a hierarchical memory; arguments as of `ObservationView`."""

    def __init__(
        self, view: str, max_tokens: int | None, max_chars: int, count_tokens: Callable[[str], int]
    ) -> None:
        super().__init__(view, max_tokens, max_chars, count_tokens)
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

    def _render_item(self, item: Item) -> str:
        if item.store == CORE:
            return "  " + item.content.replace("\n", "\n  ")
        return super()._render_item(item)

    def _choose(
        self, chunk: str, chunk_tokens: int, memory: Memory, retriever: Retriever
    ) -> Iterable[int]:
        core = self._lines.get(CORE_ID)
        tokens = chunk_tokens + (core.tokens if core else 0)
        chars = len(chunk) + (len(core.text) if core else 0)
        if self._kind == "recent":
            return self._recent(tokens, chars)
        if self._kind == "relevant":
            return self._take(retriever.search(chunk, self._count), tokens, chars)
        if self._fits(chunk_tokens + self._tokens, len(chunk) + self._chars):
            return [item_id for ids in self._ids.values() for item_id in ids]
        ranked = [one for one in self._by_relevance(chunk, retriever) if one != CORE_ID]
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

    def _compose(
        self,
        chunk: str | None,
        index: int,
        total: int,
        time: str | None,
        shown: Iterable[int],
        memory: Memory,
    ) -> str:
        assert isinstance(memory, HierarchicalMemory)
        chosen = set(shown)
        stores = [
            (
                store,
                [self._lines[item_id].text for item_id in sorted(chosen & ids.keys())],
                len(ids),
            )
            for store, ids in self._ids.items()
        ]
        core = memory.core
        return render_stores(
            chunk=chunk,
            chunk_index=index,
            num_chunks=total,
            time=time,
            core=None if core is None else core.content,
            stores=stores,
            memory_items=len(memory),
            memory_tokens=memory.tokens,
            budget=memory.budget,
        )
