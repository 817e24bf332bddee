"""The server behind a memory system: an `openai` client that counts, and forgets no outage.

Libraries that are given this client spend on the ledger of the episode. Some of them log a call
that failed and go on as if nothing had been said; `watched` raises what they swallowed, so that the
episode is invalid and not a zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from baselines.managers.outages import is_outage
from finemem_env.backends.options import check_number, read_options
from finemem_env.backends.transport import Address, load_openai
from finemem_env.backends.usage import EMBEDDINGS, MANAGER, Usage, current
from finemem_env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible endpoint.

    `model`: as it names it. `base_url`: None is $OPENAI_BASE_URL, else OpenAI's. `api_key_env`: the
    environment variable that holds the key. `timeout`: seconds for one attempt. `retries`: of a
    call that failed.
    """

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    retries: int = 4

    def __post_init__(self) -> None:
        """Refuse what is no address, and numbers out of range."""
        self.address  # noqa: B018
        check_number("endpoint", "timeout", self.timeout, 0, above=True)
        check_number("endpoint", "retries", self.retries, 0)

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address(self.base_url, self.api_key_env)


def read_server(config: Mapping[str, object] | None, where: str) -> Server:
    """The server that {"name": "openai", "model": …, "base_url": …} describes.

    Args:
        config: the options.
        where: starts every error.

    Raises:
        ConfigError: none, another name, or an option that does not fit.
    """
    options = dict(config or {})
    if not options or options.pop("name", "openai") != "openai":
        raise ConfigError(
            f'{where} expects {{"name": "openai", "model": …, "base_url": …}}, got {config!r}.'
        )
    return read_options(Server, options, where)


class Client:
    """A client of one server.

    Args:
        server: which.

    Attributes:
        openai: the `openai.OpenAI` to give to a library.

    Raises:
        ConfigError: `openai` is not installed.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._ledger = current()
        self._failure: Exception | None = None
        self.openai = _counting(self._call)(
            base_url=server.address.url,
            api_key=server.address.key(),
            timeout=server.timeout,
            max_retries=server.retries,
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around calls of a library: raises the outage that one of its calls met.

        Raises:
            Exception: of `openai`; what the library made of it is its context.
        """
        self._failure = None
        try:
            yield
        except Exception as error:
            if self._failure is not None and self._failure is not error:
                raise self._failure from error
            raise
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Close the connections."""
        self.openai.close()

    def _call(self, call: Callable[[], Any], path: str) -> Any:  # noqa: ANN401
        start, reply = time.perf_counter(), None
        try:
            reply = call()
        except Exception as error:
            if is_outage(error):
                self._failure = error
            raise
        finally:
            if self._ledger is not None:
                role = EMBEDDINGS if path.endswith("/embeddings") else MANAGER
                prompt, answer = _tokens(reply)
                seconds = time.perf_counter() - start
                self._ledger.add(Usage(1, prompt, answer, seconds), role)
        return reply


def _counting(around: Callable[[Callable[[], Any], str], Any]) -> Any:  # noqa: ANN401
    """The class `openai.OpenAI` with `around` around every request, its retries included."""
    openai = load_openai()

    class Counting(openai.OpenAI):  # type: ignore[misc, name-defined]
        def request(self, cast_to: Any, options: Any, **more: Any) -> Any:  # noqa: ANN401
            return around(
                lambda: super(Counting, self).request(cast_to, options, **more), options.url
            )

    return Counting


def _tokens(reply: Any) -> tuple[int, int]:  # noqa: ANN401
    """Tokens of prompt and reply as the server reports them, 0 where it does not."""
    parsed = reply.parse() if hasattr(reply, "http_response") else reply
    usage = getattr(parsed, "usage", None)
    prompt, answer = (getattr(usage, f"{name}_tokens", 0) for name in ("prompt", "completion"))
    return prompt or 0, answer or 0
