"""The one rule for ties: a hash of question and text, so that age, id and order never decide."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

__all__ = ["tie_key", "tie_keys"]


def tie_key(query: str, content: str) -> bytes:
    """Orders equally good texts: by a hash of question and text, so age and id never decide."""
    return tie_keys(query)(content)


def tie_keys(query: str) -> Callable[[str], bytes]:
    """`tie_key` for many texts of one question, which is hashed once."""
    start = blake2b(f"{query}\0".encode("utf-8", "surrogatepass"), digest_size=8)

    def key(content: str) -> bytes:
        state = start.copy()
        state.update(content.encode("utf-8", "surrogatepass"))
        return state.digest()

    return key
