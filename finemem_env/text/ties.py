"""The one rule for ties: a hash of question and text, so that age, id and order never decide."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from finemem_env.text.folding import nfc


def tie_key(query: str, content: str) -> bytes:
    """Orders equally good texts: by a hash of question and text, so age and id never decide.

    How letters and their marks are encoded (NFC, NFD) does not decide either.
    """
    return tie_keys(query)(content)


def tie_keys(query: str) -> Callable[[str], bytes]:
    """`tie_key` for many texts of one question, which is hashed once."""
    start = blake2b(f"{nfc(query)}\0".encode("utf-8", "surrogatepass"), digest_size=8)

    def key(content: str) -> bytes:
        state = start.copy()
        state.update(nfc(content).encode("utf-8", "surrogatepass"))
        return state.digest()

    return key
