"""Protocols: everything but the reward's own numbers, bundled under one word.

`managed` makes management matter: with the paper's settings and a local reader, storing everything
is optimal. `fine-mem` is Fine-Mem's set-up (arXiv 2601.08435), `mem-alpha` Mem-α's (2509.25911) and
`memoryagentbench` MemoryAgentBench's (2507.05257); what a publication does not say is as in
`managed`.
"""

from __future__ import annotations

from collections.abc import Mapping

from finemem_env.registry import Registry
from finemem_env.settings.checks import UNLIMITED

MANAGED: Mapping[str, object] = {
    "reward": "fine-mem-earned",
    "compression_scale": "episode",
    "chunk_question_scope": "seen",
    "chunk_questions": 5,
    "memory": "flat",
    "memory_budget": 0.4,
    "max_item_tokens": 4096,
    "max_operations": 64,
    "memory_view": "all",
    "max_observation_tokens": UNLIMITED,
    "retriever": "bm25",
    "bm25": "lucene",
    "top_k": 5,
    "max_read_tokens": UNLIMITED,
    "answer_tokens": 40,
    "metric_dialect": "own",
    "query_prefixes": "own",
    "prefix_in_query": True,
    "chunking": "own",
}
PROTOCOLS: Registry[Mapping[str, object]] = Registry(
    "protocol",
    {
        "managed": MANAGED,
        "fine-mem": {
            **MANAGED,
            "reward": "fine-mem",
            "compression_scale": "step",
            "chunk_question_scope": "current",
            "memory_budget": UNLIMITED,
            "bm25": "okapi",
            "top_k": 2,
        },
        # Its manager sees the core and the last five items a store in 6,144 tokens; its answerer
        # the 20 best items a store, fewer until 30,000 tokens hold them, and replies with up to
        # 2,048 tokens.
        "mem-alpha": {
            **MANAGED,
            "reward": "mem-alpha",
            "compression_scale": "step",
            "chunk_question_scope": "current",
            "memory": "hierarchical",
            "memory_budget": UNLIMITED,
            "max_item_tokens": UNLIMITED,
            "max_operations": UNLIMITED,
            "memory_view": "recent:5",
            "max_observation_tokens": 6144,
            "retriever": {"name": "bm25", "tokens": "lower", "fill": True},
            "bm25": "okapi",
            "top_k": 20,
            "max_read_tokens": 30_000,
            "answer_tokens": 2048,
            "metric_dialect": "mem-alpha",
            "query_prefixes": "mem-alpha",
            "chunking": "mem-alpha",
        },
        # A benchmark without a reward or a memory of its own: what is scored is the final answers,
        # in the length that is published for each sub-dataset.
        "memoryagentbench": {
            **MANAGED,
            "reward": "outcome",
            "chunk_question_scope": "current",
            "memory_budget": UNLIMITED,
            "max_item_tokens": UNLIMITED,
            "max_operations": UNLIMITED,
            "retriever": {"name": "bm25", "tokens": "spaces", "fill": True},
            "bm25": "okapi",
            "top_k": 10,
            "answer_tokens": 50,
            "metric_dialect": "memoryagentbench",
            "query_prefixes": "memoryagentbench",
            "prefix_in_query": False,
            "chunking": "memoryagentbench",
        },
    },
)
