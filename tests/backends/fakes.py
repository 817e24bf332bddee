"""A backend without a model, for tests of what is built on backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from finemem_env.backends import ChatRequest, Completion

__all__ = ["FakeBackend"]


class FakeBackend:
    """Replies with `reply(request)` and keeps every batch it was given."""

    def __init__(
        self,
        reply: Callable[[ChatRequest], Completion | str],
        context_tokens: int | None = None,
        model: str = "fake",
    ) -> None:
        self.reply = reply
        self.context_tokens = context_tokens
        self.model = model
        self.batches: list[list[ChatRequest]] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def complete(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        self.batches.append(list(requests))
        replies = (self.reply(request) for request in requests)
        return [Completion(one) if isinstance(one, str) else one for one in replies]

    @property
    def calls(self) -> int:
        return sum(map(len, self.batches))
