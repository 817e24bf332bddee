"""A backend that asks every different question once: replies are kept on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence

from finemem_env.backends.base import Backend, ChatRequest, Completion, seen
from finemem_env.backends.disk_cache import DiskCache, content_key

# Replies are stored after so many calls: what a kill can lose.
_PART = 256


class CachedBackend:
    """Looks replies up before it asks `backend`; the same question in one batch is asked once.

    The key is the model, the prompt with its version, the sampling settings, the whole text of the
    request and the hashes of its media, so a second identical run makes no call. Failures and empty
    replies are asked again. A reply from the cache costs no tokens.

    For readers and judges. A policy that must explore asks its backend without a cache.
    """

    def __init__(self, backend: Backend, cache: DiskCache) -> None:
        self.backend = backend
        self.cache = cache

    @property
    def model(self) -> str:
        """The model behind the cache."""
        return self.backend.model

    @property
    def sees(self) -> frozenset[str]:
        """The kinds of media that the model takes."""
        return seen(self.backend)

    @property
    def context_tokens(self) -> int | None:
        """The model's context."""
        return self.backend.context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`."""
        return self.backend.count_tokens(text)

    def complete(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        """One `Completion` per request, in order, from the cache where it has one."""
        keys = [content_key(request.key(self.model)) for request in requests]
        replies = {key: _load(value) for key, value in self.cache.get(keys).items()}
        missing = {
            key: request for key, request in zip(keys, requests, strict=True) if key not in replies
        }
        entries = list(missing.items())
        for start in range(0, len(entries), _PART):
            replies.update(self._ask(entries[start : start + _PART]))
        return [replies[key] for key in keys]

    def _ask(self, entries: Sequence[tuple[bytes, ChatRequest]]) -> dict[bytes, Completion]:
        replies = self.backend.complete([request for _, request in entries])
        found = {key: reply for (key, _), reply in zip(entries, replies, strict=True)}
        kept = [(key, _dump(reply)) for key, reply in found.items() if _is_reply(reply)]
        self.cache.put(kept)
        return found


def _is_reply(completion: Completion) -> bool:
    """Whether there is something to keep: an empty reply is asked for again like a failure."""
    return completion.failure is None and bool(completion.text.strip())


def _dump(completion: Completion) -> str:
    return json.dumps([completion.text, completion.cut])


def _load(value: str) -> Completion:
    text, cut = json.loads(value)
    return Completion(text=text, cut=cut)
