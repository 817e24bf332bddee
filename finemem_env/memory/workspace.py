"""The memory of one episode with what finds and shows its items, as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from finemem_env.memory.flat import Memory
from finemem_env.memory.hierarchical import STORES, HierarchicalMemory
from finemem_env.memory.view import ObservationView, StoreView
from finemem_env.prompts import instructions_for
from finemem_env.retrieval import Retriever, StoreRetriever, make_retriever
from finemem_env.settings import Settings

__all__ = ["Parts", "budget_tokens", "make_parts"]


class Parts(NamedTuple):
    """What a session holds beside its episode."""

    memory: Memory
    retriever: Retriever
    view: ObservationView
    instructions: str


def make_parts(
    settings: Settings, input_tokens: int, count_tokens: Callable[[str], int], max_chars: int
) -> Parts:
    """An empty memory of the kind of `settings.memory`, with its retriever and view.

    Args:
        settings: resolved settings.
        input_tokens: tokens of all chunks, which a budget may be a share of.
        count_tokens: the token counter of `settings.tokenizer`.
        max_chars: longest observation in characters.
    """
    instructions = instructions_for(settings.memory)
    limit = settings.max_observation_tokens
    if limit is not None and settings.include_instructions:
        limit -= count_tokens(instructions)
    hierarchical = settings.memory == "hierarchical"
    memory = (HierarchicalMemory if hierarchical else Memory)(
        count_tokens=count_tokens,
        budget=budget_tokens(settings.memory_budget, input_tokens),
        max_item_tokens=settings.max_item_tokens,
        max_operations=settings.max_operations,
    )

    def make() -> Retriever:
        return make_retriever(settings.retriever, bm25=settings.bm25)

    view = StoreView if hierarchical else ObservationView
    return Parts(
        memory,
        StoreRetriever(make, STORES, memory.store_of)
        if isinstance(memory, HierarchicalMemory)
        else make(),
        view(settings.memory_view, limit, max_chars, count_tokens),
        instructions,
    )


def budget_tokens(budget: int | float | None, input_tokens: int) -> int | None:
    """The budget in tokens: a float is a share of `input_tokens`, None is no limit."""
    return max(1, int(budget * input_tokens)) if isinstance(budget, float) else budget
