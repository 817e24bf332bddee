"""Mem-α's memory (arXiv 2509.25911): a core text, semantic and episodic items.

The core is one text of at most 512 tokens, always visible to manager and reader. UPDATE replaces it
and DELETE clears it; neither needs an id, and there is no INSERT. It is item 0. Semantic and
episodic items are inserted, updated and deleted as in a flat memory, with one numbering for both.

Departures, beside those of the action grammar: an INSERT without a store goes to the semantic one;
an id of another store is unknown; deleting what is not there is rejected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from finemem_env.memory.flat import Memory, refused
from finemem_env.memory.items import Change, Item, largest
from finemem_env.operations import Parsed
from finemem_env.types import Op, Operation, OperationResult, RejectReason

CORE = "core"
CORE_ID = 0
CORE_TOKENS = 512
STORES = ("semantic", "episodic")
TRUNCATED = "[content exceeds 512 tokens, truncated]"


def cut_core(content: str, count_tokens: Callable[[str], int]) -> str:
    """`content`, or as many whole words of it as fit 512 tokens with the mark behind them."""
    if count_tokens(content) <= CORE_TOKENS:
        return content
    size = largest(len(content), lambda size: count_tokens(_marked(content[:size])) <= CORE_TOKENS)
    kept = content[:size]
    if size < len(content) and not content[size].isspace():
        # A run without spaces, such as Chinese text, is cut inside.
        kept = kept[: 1 + max(kept.rfind(" "), kept.rfind("\n"))] or kept
    return _marked(kept)


def _marked(text: str) -> str:
    return f"{text.rstrip()} {TRUNCATED}".lstrip()


class HierarchicalMemory(Memory):
    """Core, semantic and episodic; arguments as of `Memory`. `max_item_tokens` spares the core."""

    _stores = (None, CORE, *STORES)

    @property
    def core(self) -> Item | None:
        """The core, None while it is empty."""
        return self._items.get(CORE_ID)

    def store_of(self, item_id: int) -> str:
        """The store of a present item."""
        return self._items[item_id].store

    def items(self) -> tuple[Item, ...]:
        """All items by id, the core first where there is one."""
        core = self.core
        if core is None:
            return super().items()
        return (core, *(item for item in super().items() if item is not core))

    def apply(self, step: int, parsed: Sequence[Parsed]) -> Change:
        """As `Memory.apply`, with the core addressed as item 0."""
        return super().apply(step, [_addressed(entry) for entry in parsed])

    def _execute(
        self, operation: Operation, step: int, before: dict[int, Item | None]
    ) -> OperationResult:
        if operation.store == CORE and operation.op is not Op.SKIP:
            return self._execute_core(operation, step, before)
        return super()._execute(operation, step, before)

    def _execute_core(
        self, operation: Operation, step: int, before: dict[int, Item | None]
    ) -> OperationResult:
        core = self.core
        if operation.op is Op.UPDATE:
            content = cut_core(operation.content or "", self._count_tokens)
            cut = dataclasses.replace(operation, content=content)
            return self._write(cut, step, core, before, CORE)
        if operation.op is Op.INSERT:
            return refused(operation, RejectReason.UNKNOWN_STORE)
        if core is None:
            return refused(operation, RejectReason.UNKNOWN_ID)
        return self._delete(core, before)

    def _new_store(self, operation: Operation) -> str:
        return operation.store or STORES[0]

    def _item_limit(self, store: str) -> int | None:
        return None if store == CORE else super()._item_limit(store)

    def _keeps_media(self, store: str) -> bool:
        return store != CORE

    def _new_id(self, store: str) -> int:
        return CORE_ID if store == CORE else super()._new_id(store)


def _addressed(entry: Parsed) -> Parsed:
    """An operation on the core names both its store and its id."""
    if not isinstance(entry, Operation) or entry.op in (Op.SKIP, Op.INSERT):
        return entry
    if entry.store == CORE or (entry.store is None and entry.item_id == CORE_ID):
        return dataclasses.replace(entry, store=CORE, item_id=CORE_ID)
    return entry
