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

from finemem_env.memory.flat import Memory
from finemem_env.memory.items import Change, Item
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
    low, high = 0, len(content)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(_marked(content[:middle])) <= CORE_TOKENS:
            low = middle
        else:
            high = middle - 1
    kept = content[:low]
    if low < len(content) and not content[low].isspace():
        # A run without spaces, such as Chinese text, is cut inside.
        kept = kept[: 1 + max(kept.rfind(" "), kept.rfind("\n"))] or kept
    return _marked(kept)


def _marked(text: str) -> str:
    return f"{text.rstrip()} {TRUNCATED}".lstrip()


class HierarchicalMemory(Memory):
    """Core, semantic and episodic; arguments as of `Memory`. `max_item_tokens` spares the core."""

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
        if operation.op is Op.SKIP:
            return OperationResult(operation.op.value)
        if operation.store not in (None, CORE, *STORES):
            return _reject(operation, RejectReason.UNKNOWN_STORE)
        if operation.store == CORE:
            return self._execute_core(operation, step, before)
        if operation.op is Op.INSERT:
            return self._write(operation, step, None, before, operation.store or STORES[0])
        old = None if operation.item_id is None else self._items.get(operation.item_id)
        if old is None or operation.store not in (None, old.store):
            return _reject(operation, RejectReason.UNKNOWN_ID)
        if operation.op is Op.UPDATE:
            return self._write(operation, step, old, before, old.store)
        return self._delete(old, before)

    def _execute_core(
        self, operation: Operation, step: int, before: dict[int, Item | None]
    ) -> OperationResult:
        core = self.core
        if operation.op is Op.UPDATE:
            content = cut_core(operation.content or "", self._count_tokens)
            cut = dataclasses.replace(operation, content=content)
            return self._write(cut, step, core, before, CORE)
        if operation.op is Op.INSERT:
            return _reject(operation, RejectReason.UNKNOWN_STORE)
        if core is None:
            return _reject(operation, RejectReason.UNKNOWN_ID)
        return self._delete(core, before)

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


def _reject(operation: Operation, reason: RejectReason) -> OperationResult:
    return OperationResult(operation.op.value, reason)
