"""Calls to an HTTP endpoint with the `openai` client: concurrency, retries, deadlines, no secrets.

The key comes from the environment and is held by the client alone: no option, log line, version,
config or error text of this project holds it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from finemem_env.backends.base import Failure
from finemem_env.backends.loop import LoopThread
from finemem_env.backends.options import check_number
from finemem_env.backends.replies import read_error, said
from finemem_env.backends.retry import Refused, RetryPolicy, Stop
from finemem_env.errors import BackendError, ConfigError
from finemem_env.extras import load

HOSTED = "https://api.openai.com/v1"
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")  # of an environment variable
_NO_KEY = "not-needed"  # local servers ask for none, the client insists on one
# The endpoint did answer, if not with a reply.
_ALIVE = frozenset((Failure.REJECTED, Failure.TOO_LONG, Failure.EMPTY, Failure.MALFORMED))
_LISTING = 5.0  # seconds to ask which models are served
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is and which environment variable holds its key.

    Raises:
        ConfigError: the address is none, or could carry a key.
    """

    base_url: str | None
    api_key_env: str

    def __post_init__(self) -> None:
        """Refuse what is not an address, and anything that could carry a key."""
        try:
            url = urlsplit(self.url)
            fits = url.scheme in ("http", "https") and url.port != 0 and bool(url.hostname)
        except ValueError:  # brackets, or a port that is none
            fits = False
        if not fits or any(character.isspace() for character in self.url):
            raise ConfigError("endpoint: base_url must be an address such as http://host:8000/v1.")
        if not _NAME.fullmatch(self.api_key_env):
            raise ConfigError(
                "endpoint: api_key_env must be the name of an environment variable, such as "
                "OPENAI_API_KEY, and not the key."
            )
        if url.username or url.password or url.query or url.fragment:
            raise ConfigError(
                "endpoint: base_url must not hold a user, a password, a query or a fragment; put "
                f"the key into the environment variable {self.api_key_env} and name it as "
                "api_key_env."
            )

    @property
    def url(self) -> str:
        """The configured address, else $OPENAI_BASE_URL, else OpenAI's."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or HOSTED

    @property
    def root(self) -> str:
        """The address without its path, where servers keep what is not OpenAI's."""
        url = urlsplit(self.url)
        return f"{url.scheme}://{url.netloc}"

    def key(self) -> str:
        """The key, from the environment; keep it out of every text."""
        return os.environ.get(self.api_key_env) or _NO_KEY

    def has_key(self) -> bool:
        """Whether the environment holds a key."""
        return bool(os.environ.get(self.api_key_env))


@dataclass(frozen=True, slots=True)
class Patience:
    """How hard an endpoint is asked.

    `concurrency`: calls in flight. `timeout`: seconds for one attempt. `deadline`: seconds for one
    request with all its attempts, and the longest time that a batch waits for an endpoint that
    answers nobody.
    """

    concurrency: int = 32
    timeout: float = 120.0
    deadline: float = 600.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_number("endpoint", "concurrency", self.concurrency, 1)
        check_number("endpoint", "timeout", self.timeout, 0, above=True)
        check_number("endpoint", "deadline", self.deadline, 0, above=True)


class Transport(Generic[_T]):
    """Runs calls on an event loop in a thread of its own.

    Time-outs, lost connections, 408, 409, 425, 429 (honouring Retry-After) and 5xx are tried again
    with exponential back-off and jitter until the deadline; faults that the request itself may
    cause (500, truncated JSON, no choices) at most five times. Picklable; connects anew after a
    fork.

    Args:
        address: where.
        patience: how often and how long.
        read: turns what the client returned into a reply, or says why it is none.
        model: named in errors.
        policy: waits between attempts.

    Raises:
        ConfigError: the package `openai` or the key of OpenAI's own service is missing.
    """

    def __init__(
        self,
        address: Address,
        patience: Patience,
        read: Callable[[Any], _T | Refused],
        model: str,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.address = address
        self.patience = patience
        self.policy = policy or RetryPolicy()
        self._read = read
        self._model = model
        self._running: LoopThread | None = None
        load_openai()
        if address.url == HOSTED and not address.has_key():
            raise ConfigError(
                f"endpoint {HOSTED}: the environment variable {address.api_key_env} holds no key. "
                "Set it, or give base_url for a server of your own."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the loop and the client."""
        return self.__dict__ | {"_running": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore; connections are made at the first call."""
        self.__dict__.update(state)

    def run(
        self,
        calls: Sequence[Mapping[str, Any]],
        method: Callable[[Any], Callable[..., Coroutine[Any, Any, Any]]],
    ) -> list[tuple[_T | Refused, int]]:
        """Make every call and return (reply or refusal, number of attempts), in order.

        Args:
            calls: keyword arguments of one call each; `timeout` is added.
            method: from the client to the method to call.

        Raises:
            BackendError: the endpoint refuses the key or the settings, or has no such model.
        """
        if not calls:
            return []
        if self._running is None or not self._running.alive:
            self._running = LoopThread(self._connect)
        client = self._running.resource
        return self._running.run(self._batch(client, method(client), calls))

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _connect(self) -> Any:  # noqa: ANN401
        return load_openai().AsyncOpenAI(
            api_key=self.address.key(), base_url=self.address.url, max_retries=0
        )

    async def _batch(
        self,
        client: Any,  # noqa: ANN401
        method: Callable[..., Coroutine[Any, Any, Any]],
        calls: Sequence[Mapping[str, Any]],
    ) -> list[tuple[_T | Refused, int]]:
        gate = asyncio.Semaphore(self.patience.concurrency)
        stop = Stop(self.patience.deadline, time.monotonic())

        async def one(fields: Mapping[str, Any]) -> tuple[_T | Refused, int]:
            async with gate:
                if stop.over(time.monotonic()):
                    return Refused(Failure.CONNECTION, "the endpoint answered nobody"), 0
                return await self._insist(client, method, fields, stop)

        tasks = [asyncio.create_task(one(fields)) for fields in calls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _insist(
        self,
        client: Any,  # noqa: ANN401
        method: Callable[..., Coroutine[Any, Any, Any]],
        fields: Mapping[str, Any],
        stop: Stop,
    ) -> tuple[_T | Refused, int]:
        """Try until there is a reply, a failure that stays, or no time."""
        end = time.monotonic() + self.patience.deadline
        attempts = 0
        before: Refused | None = None
        while True:
            limit = max(0.001, min(self.patience.timeout, end - time.monotonic()))
            outcome = await self._attempt(client, method, fields, limit)
            attempts += 1
            now = time.monotonic()
            if isinstance(outcome, Refused):
                # An attempt that the deadline cut short says less than the one before.
                cut = outcome.failure is Failure.TIMEOUT and limit < self.patience.timeout
                outcome = before = before if cut and before else outcome
            if not isinstance(outcome, Refused) or outcome.failure in _ALIVE:
                stop.hear(now)
            if not isinstance(outcome, Refused):
                return outcome, attempts
            wait = self.policy.wait(outcome, attempts)
            if wait is None or now + wait >= end or stop.over(now):
                return outcome, attempts
            await asyncio.sleep(wait)

    async def _attempt(
        self,
        client: Any,  # noqa: ANN401
        method: Callable[..., Coroutine[Any, Any, Any]],
        fields: Mapping[str, Any],
        limit: float,
    ) -> _T | Refused:
        """One call. The limit holds for the whole reply: a server that drips cannot stretch it."""
        try:
            reply = await asyncio.wait_for(method(**fields, timeout=limit), limit)
        except TimeoutError:
            return Refused(Failure.TIMEOUT, f"no complete reply within {limit:.3g} s")
        except (load_openai().OpenAIError, json.JSONDecodeError, UnicodeDecodeError) as error:
            refused = read_error(error, self.address.key(), self._model)
            if refused is not None:
                return refused
            raise await self._unusable(client, error) from None
        return self._read(reply)

    async def _unusable(self, client: Any, error: Exception) -> BackendError:  # noqa: ANN401
        """What to tell the user when no further attempt can help."""
        status = getattr(error, "status_code", 0)
        where = f"endpoint {self.address.url}"
        if status in (401, 403):
            return BackendError(
                f"{where} refuses the key in the environment variable {self.address.api_key_env} "
                f"(status {status})."
            )
        text = said(error, self.address.key())
        if status == 404 or self._model in text:
            served = await _served(client)
            return BackendError(
                f"{where} does not serve the model {self._model!r}: {text}.{served}"
            )
        return BackendError(f"{where} refuses the request: {text}")


async def _served(client: Any) -> str:  # noqa: ANN401
    """The names of the models that an endpoint lists, for an error message."""
    try:
        page = await asyncio.wait_for(client.models.list(), _LISTING)
        names = [str(model.id) for model in page.data][:10]
    except Exception:
        return " It lists no models."
    return f" It serves: {', '.join(names)}."


def load_openai() -> Any:  # noqa: ANN401
    """The package `openai`.

    Raises:
        ConfigError: it is not installed.
    """
    return load("openai", "an endpoint")
