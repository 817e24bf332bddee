"""`long_context`: the last N tokens of the text, as a model without a memory would have them."""

from __future__ import annotations

from collections.abc import Sequence

from baselines.managers.scripted import PIECE_TOKENS, Reactive, inserts, pack, stored_lines
from finemem_env.errors import at_least
from finemem_env.prompts import View
from finemem_env.text import approx_tokens, normalise, split_sentences
from finemem_env.types import Op, Operation

_PAGES = 5  # a reader is shown five items: more pages than that would not be a context


class LongContext(Reactive):
    """Keeps the most recent text as one window, cut at sentence ends.

    The window is held in as few items as the item limit allows, so that the reader sees it whole.
    When it is full the oldest sentences fall out. Where the text is short enough to fit, nothing
    is lost.

    Args:
        context_tokens: N, the size of the window; the environment's budget bounds it as well.

    Raises:
        ConfigError: a window below 1 token.
    """

    def __init__(self, context_tokens: int = _PAGES * PIECE_TOKENS) -> None:
        self._context = at_least(1, "long_context: context_tokens", context_tokens)

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """Rewrite the window: UPDATE its pages, INSERT or DELETE at its end."""
        limit = self._context if view.budget is None else min(self._context, view.budget)
        window = _last([*stored_lines(view), *split_sentences(chunk)], limit)
        pages = pack(window, min(limit, self.item_tokens)) if window else []
        operations: list[Operation] = []
        for (item_id, text), page in zip(view.items, pages, strict=False):
            if normalise(text) != normalise(page):
                operations.append(Operation(Op.UPDATE, content=page, item_id=item_id))
        surplus = [Operation(Op.DELETE, item_id=item_id) for item_id, _ in view.items[len(pages) :]]
        return surplus + operations + inserts(pages[len(view.items) :])


def _last(sentences: Sequence[str], limit: int) -> list[str]:
    """The last sentences that fit into `limit` tokens, with one for each joint."""
    kept: list[str] = []
    for sentence in reversed(sentences):
        limit -= approx_tokens(sentence) + 1
        if limit < 0:
            break
        kept.append(sentence)
    return kept[::-1]
