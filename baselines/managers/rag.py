"""`rag`: passages stored verbatim, found again by the environment's BM25 search.

The strongest simple baseline of the papers on memory agents. It never rewrites anything, so a fact
that changed is stored in both versions.
"""

from __future__ import annotations

import zlib

from baselines.managers.scripted import Reactive, inserts, pack
from finemem_env.errors import at_least
from finemem_env.prompts import View
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.types import Op, Operation


class Rag(Reactive):
    """Stores every passage of the text verbatim; search decides what is read.

    When the memory is full it keeps a random sample of all passages read so far, each equally
    likely whenever it came (in the order of a hash of the passage, so that a run can be repeated).

    Args:
        passage_tokens: cut chunks at sentence ends into passages of at most this size.
        budget_tokens: a limit of its own, beside the environment's; None: only that one.

    Raises:
        ConfigError: a size below 1.
    """

    def __init__(self, passage_tokens: int = 64, budget_tokens: int | None = None) -> None:
        self._passage = at_least(1, "rag: passage_tokens", passage_tokens)
        if budget_tokens is not None:
            at_least(1, "rag: budget_tokens", budget_tokens)
        self._budget = budget_tokens

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """DELETE the passages that fall out of the sample, INSERT those that are in it."""
        passage, half = min(self._passage, self.item_tokens), max(1, self.max_operations // 2)
        passages = pack(split_sentences(chunk), passage)
        size = max(passage, -(-approx_tokens(chunk) // half))
        if len(passages) > half:
            passages = pack(split_sentences(chunk), size)
        limits = [limit for limit in (view.budget, self._budget) if limit is not None]
        if not limits:
            return inserts(passages, view)
        held = [text for _, text in view.items]
        kept = _sample([*held, *passages], min(limits), numbered=view.lines is not None)
        deleted = [
            Operation(Op.DELETE, item_id=item_id)
            for item_id, text in view.items
            if text not in kept
        ]
        deleted = deleted[:half]
        return deleted + inserts([text for text in passages if text in kept], view)


def _sample(passages: list[str], limit: int, *, numbered: bool = False) -> set[str]:
    """The passages with the smallest hashes that fit into `limit` tokens together.

    Named by `numbered` sentences, a passage is stored in other white space: the same one counts.
    """

    def share(text: str) -> int:
        text = "\n".join(split_sentences(text)) if numbered else text
        return zlib.crc32(text.encode("utf-8", "replace"))

    kept: set[str] = set()
    for text in sorted(passages, key=share):
        limit -= approx_tokens(text)
        if limit < 0:
            break
        kept.add(text)
    return kept
