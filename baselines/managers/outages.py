"""Which errors of a memory system are outages: a server or model behind it did not do its part.

They say nothing about the system. Libraries wrap each other's errors, so the causes of an error
count as well. What a server refuses because of what it was asked (400, 413, 422: a prompt that is
too long) is the system's own failure.
"""

from __future__ import annotations

from collections.abc import Iterator

from finemem_env.errors import BackendError

_OURS = (BackendError, ConnectionError, TimeoutError)
# Base classes of what goes wrong between a library and its server, by the package they come from.
_BASES = {
    ("aiohttp", "ClientError"),
    ("grpc", "RpcError"),
    ("httpcore", "NetworkError"),
    ("httpcore", "TimeoutException"),
    ("httpx", "HTTPError"),
    ("openai", "APIError"),
    ("qdrant_client", "ApiException"),
    ("requests", "RequestException"),
    ("urllib", "URLError"),
    ("urllib3", "HTTPError"),
}
_REFUSED = frozenset((400, 413, 422))


def is_outage(error: BaseException) -> bool:
    """Whether an error, or what caused it, is a call to a server or model that failed."""
    return any(_outage(cause) for cause in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _outage(error: BaseException) -> bool:
    if isinstance(error, _OURS):
        return True
    bases = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    return bool(bases & _BASES) and _status(error) not in _REFUSED


def _status(error: BaseException) -> object:
    """The HTTP status that an error carries, None for none."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    return None
