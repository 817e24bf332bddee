"""Retrieval over the items of one memory.

`retrievers` has the interface and the retrievers by name, `bm25` and `dense` do the work.
"""

from finemem_env.retrieval.bm25 import BM25
from finemem_env.retrieval.dense import encode
from finemem_env.retrieval.retrievers import (
    RETRIEVERS,
    Retriever,
    RetrieverSpec,
    StoreRetriever,
    copy_retriever,
    make_retriever,
)

__all__ = [
    "BM25",
    "RETRIEVERS",
    "Retriever",
    "RetrieverSpec",
    "StoreRetriever",
    "copy_retriever",
    "encode",
    "make_retriever",
]
