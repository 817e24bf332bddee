"""Any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, a hosted service), extra `openai`.

The key comes from the environment and is held by the client alone: no option, log line, version,
config or error text of this project holds it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from finemem_env.backends.base import ChatRequest, Completion, Failure
from finemem_env.backends.loop import LoopThread
from finemem_env.backends.options import check_number
from finemem_env.backends.replies import read_error, read_reply
from finemem_env.backends.retry import Refused, RetryPolicy, Stop
from finemem_env.errors import BackendError, ConfigError
from finemem_env.textcache import TextCache
from finemem_env.tokens import make_counter

__all__ = ["Endpoint", "EndpointConfig"]

_LOG = logging.getLogger(__name__)
_HOSTED = "https://api.openai.com/v1"
_NO_KEY = "not-needed"  # local servers ask for none, the client insists on one
# The endpoint did answer, if not with a completion.
_ALIVE = frozenset((Failure.REJECTED, Failure.TOO_LONG, Failure.EMPTY, Failure.MALFORMED))
_LISTING = 5.0  # seconds to ask which models are served


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
    request, which are part of `Endpoint.model`.
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

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and anything that could carry a key."""
        where = "endpoint"
        check_number(where, "concurrency", self.concurrency, 1)
        check_number(where, "timeout", self.timeout, 0, above=True)
        check_number(where, "deadline", self.deadline, 0, above=True)
        if self.context_tokens is not None:
            check_number(where, "context_tokens", self.context_tokens, 64)
        url = urlsplit(self.base_url or "http://none")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError("endpoint: base_url must be an address such as http://host:8000/v1.")
        if url.username or url.password or url.query:
            raise ConfigError(
                "endpoint: base_url must not hold a user, a password or a query; put the key into "
                f"the environment variable {self.api_key_env} and name it as api_key_env."
            )

    @property
    def body(self) -> dict[str, object]:
        """Fields beside the standard ones."""
        extra = dict(self.extra_body)
        if self.thinking is not None:
            extra["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        return extra


class Endpoint:
    """A `Backend` on the official `openai` client.

    Calls run on an event loop in a thread of its own, at most `concurrency` at a time. Time-outs,
    lost connections, 408, 409, 425, 429 (honouring Retry-After) and 5xx are asked again with
    exponential back-off and jitter until `deadline`; truncated JSON and replies without choices at
    most five times. Picklable; after a fork it connects anew.

    Raises:
        ConfigError: the package `openai` or the key of OpenAI's own service is missing.
    """

    def __init__(self, config: EndpointConfig, policy: RetryPolicy | None = None) -> None:
        self.config = config
        self._policy = policy or RetryPolicy()
        self._counts = TextCache(make_counter(config.tokenizer))
        self._running: LoopThread | None = None
        _load_openai()
        if not os.environ.get(config.api_key_env) and self._address() == _HOSTED:
            raise ConfigError(
                f"endpoint {_HOSTED}: the environment variable {config.api_key_env} holds no key. "
                "Set it, or give base_url for a server of your own."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the loop and the client."""
        return {"config": self.config, "_policy": self._policy}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore; connections are made at the first call."""
        self.__init__(state["config"], state["_policy"])  # type: ignore[misc]

    @property
    def model(self) -> str:
        """The model's name, with the extra fields of the request where there are any."""
        extra = self.config.body
        return self.config.model + (f" {json.dumps(extra, sort_keys=True)}" if extra else "")

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
        if not requests:
            return []
        if self._running is None or not self._running.alive:
            self._running = LoopThread(self._connect)
        replies: list[Completion] = self._running.run(self._batch(requests))
        failures = Counter(reply.failure for reply in replies if reply.failure)
        if failures:
            example = next(reply.detail for reply in replies if reply.failure)
            counts = ", ".join(f"{count} {failure}" for failure, count in failures.items())
            _LOG.warning("%s of %d calls failed; the first: %s", counts, len(replies), example)
        return replies

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _address(self) -> str:
        return self.config.base_url or os.environ.get("OPENAI_BASE_URL") or _HOSTED

    def _key(self) -> str:
        return os.environ.get(self.config.api_key_env) or _NO_KEY

    def _connect(self) -> Any:  # noqa: ANN401
        return _load_openai().AsyncOpenAI(
            api_key=self._key(), base_url=self._address(), max_retries=0
        )

    async def _batch(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        gate = asyncio.Semaphore(self.config.concurrency)
        stop = Stop(self.config.deadline, time.monotonic())
        tasks = [asyncio.create_task(self._gated(gate, one, stop)) for one in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _gated(self, gate: asyncio.Semaphore, request: ChatRequest, stop: Stop) -> Completion:
        async with gate:
            if stop.over(time.monotonic()):
                return Refused(Failure.CONNECTION, "the endpoint answered nobody").completion(0)
            return await self._insist(request, stop)

    async def _insist(self, request: ChatRequest, stop: Stop) -> Completion:
        """Ask until there is a reply, a failure that stays, or no time."""
        end = time.monotonic() + self.config.deadline
        attempts = 0
        while True:
            left = end - time.monotonic()
            outcome = await self._attempt(request, max(0.001, min(self.config.timeout, left)))
            attempts += 1
            now = time.monotonic()
            if isinstance(outcome, Completion) or outcome.failure in _ALIVE:
                stop.hear(now)
            if isinstance(outcome, Completion):
                return outcome
            wait = self._policy.wait(outcome, attempts)
            if wait is None or now + wait >= end or stop.over(now):
                return outcome.completion(attempts)
            await asyncio.sleep(wait)

    async def _attempt(self, request: ChatRequest, limit: float) -> Completion | Refused:
        """One call. The limit holds for the whole reply: a server that drips cannot stretch it."""
        call = self._client.chat.completions.create
        try:
            reply = await asyncio.wait_for(call(**self._fields(request), timeout=limit), limit)
        except TimeoutError:
            return Refused(Failure.TIMEOUT, f"no complete reply within {limit:.3g} s")
        except (_load_openai().OpenAIError, json.JSONDecodeError, UnicodeDecodeError) as error:
            refused = read_error(error, self._key())
            if refused is not None:
                return refused
            raise await self._unusable(error) from None
        return read_reply(reply)

    @property
    def _client(self) -> Any:  # noqa: ANN401
        assert self._running is not None, "called outside complete()"
        return self._running.resource

    def _fields(self, request: ChatRequest) -> dict[str, Any]:
        sampling = request.sampling
        fields: dict[str, Any] = {
            "model": self.config.model,
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
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

    async def _unusable(self, error: Exception) -> BackendError:
        """What to tell the user when no retry can help."""
        status = getattr(error, "status_code", 0)
        where = f"endpoint {self._address()}"
        if status in (401, 403):
            return BackendError(
                f"{where} refuses the key in the environment variable {self.config.api_key_env} "
                f"(status {status})."
            )
        text = str(error).replace(self._key(), "[key]")[:300]
        if status == 404:
            served = await self._served()
            return BackendError(
                f"{where} does not serve the model {self.config.model!r}: {text}.{served}"
            )
        return BackendError(f"{where} refuses the request: {text}")

    async def _served(self) -> str:
        """The names of the models that the endpoint lists, for the error message."""
        try:
            page = await asyncio.wait_for(self._client.models.list(), _LISTING)
            names = [str(model.id) for model in page.data][:10]
        except Exception:
            return " It lists no models."
        return f" It serves: {', '.join(names)}."


def _load_openai() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise ConfigError(
            'an endpoint needs the openai package: pip install "finemem-env[openai]".'
        ) from error
