"""The external memory: numbered items, edited by operations, with the provenance of their text.

`flat` is Fine-Mem's and `hierarchical` Mem-α's; `items` and `provenance` are what both consist of,
`view` is what of it the manager sees, `workspace` holds memory, retriever and view of one episode.
"""

from finemem_env.memory.flat import Memory
from finemem_env.memory.hierarchical import CORE, HierarchicalMemory
from finemem_env.memory.items import Change, Item, Sentence
from finemem_env.memory.view import ObservationView
from finemem_env.memory.workspace import budget_tokens, make_parts

__all__ = [
    "CORE",
    "Change",
    "HierarchicalMemory",
    "Item",
    "Memory",
    "ObservationView",
    "Sentence",
    "budget_tokens",
    "make_parts",
]
