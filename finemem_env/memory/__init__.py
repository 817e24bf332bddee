"""The external memory: numbered items, edited by operations, with the provenance of their text.

`flat` is Fine-Mem's and `hierarchical` Mem-α's; `items` and `provenance` are what both consist of,
`view` is what of it the manager sees, `workspace` moves memory, retriever and view in step.
"""

from finemem_env.memory.flat import Memory, says_the_same
from finemem_env.memory.hierarchical import CORE, HierarchicalMemory
from finemem_env.memory.items import Change, Item, Sentence, within
from finemem_env.memory.workspace import Workspace, observation_chars

__all__ = [
    "CORE",
    "Change",
    "HierarchicalMemory",
    "Item",
    "Memory",
    "Sentence",
    "Workspace",
    "observation_chars",
    "says_the_same",
    "within",
]
