"""Any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, a hosted service), extra `openai`."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from finemem_env.backends.base import ChatRequest, Completion
from finemem_env.backends.options import check_number
from finemem_env.backends.parts import message_content
from finemem_env.backends.replies import read_reply
from finemem_env.backends.retry import Refused, RetryPolicy
from finemem_env.backends.transport import Address, Patience, Transport
from finemem_env.backends.usage import Usage, spend
from finemem_env.errors import ConfigError
from finemem_env.text import TextCache, make_counter
from finemem_env.types import MediumKind

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where an endpoint is and how patiently it is asked.

    `model`: as the server names it. `base_url`: None means $OPENAI_BASE_URL, else OpenAI's.
    `api_key_env`: the environment variable that holds the key. `concurrency`: calls in flight.
    `timeout`: seconds for one attempt. `deadline`: seconds for one request with all its attempts,
    and the longest time a batch waits for an endpoint that answers nobody. `context_tokens`: the
    model's context, for the bound on prompts. `tokenizer`: counts prompt tokens, "approx" or
    "hf:PATH". `thinking`: true or false sets `enable_thinking` of the chat template (vLLM, SGLang).
    `token_limit`: the name of the field for the longest reply. `extra_body`: further fields of the
    request, which are part of `Endpoint.model`. `sees`: the kinds of media that the model takes,
    some of "image" and "audio", sent as parts of a message; without it text alone is sent.
    """

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 32
    timeout: float = 120.0
    deadline: float = 600.0
    context_tokens: int | None = None
    tokenizer: str = "approx"
    thinking: bool | None = None
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: Mapping[str, object] = field(default_factory=dict)
    sees: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and anything that could carry a key."""
        self.address, self.patience  # noqa: B018
        for kind in [self.sees] if isinstance(self.sees, str) else self.sees:
            if isinstance(self.sees, str) or kind not in get_args(MediumKind):
                raise ConfigError(
                    'endpoint: sees must be a list of some of "image" and "audio", got '
                    f"{self.sees!r}."
                )
        if self.context_tokens is not None:
            check_number("endpoint", "context_tokens", self.context_tokens, 64)

    @property
    def address(self) -> Address:
        """Where the endpoint is."""
        return Address(self.base_url, self.api_key_env)

    @property
    def patience(self) -> Patience:
        """How hard it is asked."""
        return Patience(self.concurrency, self.timeout, self.deadline)

    @property
    def body(self) -> dict[str, object]:
        """Fields of the request beside the standard ones."""
        extra = dict(self.extra_body)
        if self.thinking is not None:
            extra["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        return extra


class Endpoint:
    """A `Backend` on chat completions; see `Transport` for what is tried again and when.

    Raises:
        ConfigError: the package `openai` or the key of OpenAI's own service is missing.
    """

    def __init__(self, config: EndpointConfig, policy: RetryPolicy | None = None) -> None:
        self.config = config
        self._counts = TextCache(make_counter(config.tokenizer))
        self._transport: Transport[Completion] = Transport(
            config.address, config.patience, read_reply, config.model, policy
        )

    def __reduce__(self) -> tuple[type[Endpoint], tuple[EndpointConfig, RetryPolicy]]:
        """Pickle without connections."""
        return Endpoint, (self.config, self._transport.policy)

    @property
    def model(self) -> str:
        """The model's name, with the extra fields of the request where there are any."""
        extra = self.config.body
        return self.config.model + (f" {json.dumps(extra, sort_keys=True)}" if extra else "")

    @property
    def sees(self) -> frozenset[str]:
        """The kinds of media that the model takes."""
        return frozenset(self.config.sees)

    @property
    def context_tokens(self) -> int | None:
        """As configured."""
        return self.config.context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` under the configured tokenizer."""
        return self._counts[text]

    def complete(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        """One `Completion` per request, in order.

        Raises:
            BackendError: the endpoint refuses the key or the settings, or has no such model.
        """
        start = time.perf_counter()
        fields = [self._fields(request) for request in requests]
        outcomes = self._transport.run(fields, lambda client: client.chat.completions.create)
        replies = [
            reply.completion(attempts) if isinstance(reply, Refused) else reply
            for reply, attempts in outcomes
        ]
        failures = Counter(reply.failure for reply in replies if reply.failure)
        if failures:
            example = next(reply.detail for reply in replies if reply.failure)
            counts = ", ".join(f"{count} {failure}" for failure, count in failures.items())
            _LOG.warning("%s of %d calls failed; the first: %s", counts, len(replies), example)
        spend(self._usage(requests, replies, time.perf_counter() - start))
        return replies

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._transport.close()

    def _usage(
        self, requests: Sequence[ChatRequest], replies: Sequence[Completion], seconds: float
    ) -> Usage:
        """What a batch cost; tokens that the server does not report are counted here."""
        prompts = answers = 0
        for request, reply in zip(requests, replies, strict=True):
            if reply.failure is not None or reply.tokens:
                prompts, answers = prompts + reply.prompt_tokens, answers + reply.completion_tokens
            else:
                for message in request.messages:
                    prompts += self.count_tokens(message.content)
                    prompts += sum(medium.tokens for medium in message.media)
                answers += self.count_tokens(reply.text)
        return Usage(len(requests), prompts, answers, seconds)

    def _fields(self, request: ChatRequest) -> dict[str, Any]:
        sampling = request.sampling
        fields: dict[str, Any] = {
            "model": self.config.model,
            "messages": [
                {"role": message.role, "content": message_content(message, self.sees)}
                for message in request.messages
            ],
            "temperature": sampling.temperature,
            self.config.token_limit: sampling.max_tokens,
        }
        if sampling.top_p != 1.0:
            fields["top_p"] = sampling.top_p
        if sampling.seed is not None:
            fields["seed"] = sampling.seed
        if request.tools:
            fields["tools"] = [dict(tool) for tool in request.tools]
        if self.config.body:
            fields["extra_body"] = self.config.body
        return fields
