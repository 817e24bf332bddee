"""What is asked of a language model and what comes back: records and the `Backend` protocol.

A call that failed is a record with a `Failure`, never an exception and never an empty answer that
could be scored. Only what no retry can mend (a refused key, a model that is not there) raises
`BackendError`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from finemem_env.backends.options import check_number
from finemem_env.errors import ConfigError
from finemem_env.types import Medium


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `media`: pictures and sounds that come with its text."""

    role: Literal["system", "user", "assistant"]
    content: str
    media: tuple[Medium, ...] = ()

    def record(self) -> dict[str, object]:
        """What stands for it in a key: of media the hash of their bytes."""
        record: dict[str, object] = {"role": self.role, "content": self.content}
        if self.media:
            digests = [hashlib.sha256(medium.data).hexdigest() for medium in self.media]
            names = [[medium.name, medium.kind] for medium in self.media]
            record["media"] = [[*n, digest] for n, digest in zip(names, digests, strict=True)]
        return record


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the reply is drawn; temperature 0.1 is Fine-Mem's reasoning agent (§4), 0 is greedy.

    `max_tokens`: longest reply in tokens of the model. `seed` None leaves the choice to the model's
    own randomness.

    Raises:
        ConfigError: a number out of range.
    """

    temperature: float = 0.1
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_number("sampling", "temperature", self.temperature, 0)
        check_number("sampling", "top_p", self.top_p, 0, 1, above=True)
        check_number("sampling", "max_tokens", self.max_tokens, 1)
        if not isinstance(self.max_tokens, int):
            raise ConfigError(f"sampling: max_tokens must be an integer, got {self.max_tokens!r}.")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call: `prompt` names the prompt and its version, `tools` are OpenAI function schemas."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    prompt: str = ""
    tools: tuple[Mapping[str, object], ...] = field(default=(), compare=False)

    def key(self, model: str) -> str:
        """Canonical text that two requests share exactly when they ask `model` for the same."""
        record = {
            "messages": [message.record() for message in self.messages],
            "sampling": dataclasses.asdict(self.sampling),
            "prompt": self.prompt,
            "tools": [dict(tool) for tool in self.tools],
        }
        return json.dumps([model, record], sort_keys=True, ensure_ascii=True)


def seen(backend: object) -> frozenset[str]:
    """The kinds of media that a backend says its model takes: its `sees`, none without one."""
    return frozenset(getattr(backend, "sees", ()))


class Failure(StrEnum):
    """Why there is no reply."""

    TIMEOUT = "no reply in time"
    CONNECTION = "no connection"
    RATE_LIMIT = "rate limit"
    SERVER = "server error"
    MALFORMED = "malformed reply"
    EMPTY = "reply without choices"
    TOO_LONG = "prompt longer than the model's context"
    REJECTED = "request rejected"


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply, or a failure record when `failure` is set (`text` is then empty).

    `cut`: the reply stopped at `max_tokens`. `detail` says what the last attempt met.
    """

    text: str = ""
    failure: Failure | None = None
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = False

    @property
    def tokens(self) -> int:
        """What the call cost: prompt and reply."""
        return self.prompt_tokens + self.completion_tokens


@runtime_checkable
class Backend(Protocol):
    """A language model that answers batches of chats."""

    @property
    def model(self) -> str:
        """What names the model in versions and cache keys."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """Longest prompt and reply together, in its tokens; None where it is not known."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, an estimate where the tokenizer is not known."""
        ...

    def complete(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        """One `Completion` per request, in order.

        Raises:
            BackendError: the model cannot be used at all.
        """
        ...
