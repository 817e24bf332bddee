"""When to ask an endpoint again: which failures pass, how long to wait, when to stop."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from finemem_env.backends.base import Completion, Failure

# These pass when the server comes back or the load falls; they are asked again until the deadline.
_OUTAGE = frozenset((Failure.CONNECTION, Failure.RATE_LIMIT, Failure.TIMEOUT))
_GATEWAY = frozenset((502, 503, 504, 529))
# A fault that the request itself may cause is asked again only so often.
_FAULT_ATTEMPTS = 5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_NEVER = frozenset((Failure.REJECTED, Failure.TOO_LONG))


@dataclass(frozen=True, slots=True)
class Refused:
    """One attempt without a reply: HTTP `status` (0: none) and the `wait` it asks for (seconds)."""

    failure: Failure
    detail: str = ""
    status: int = 0
    wait: float | None = None

    def completion(self, attempts: int) -> Completion:
        """The failure record after the last attempt."""
        times = "attempt" if attempts == 1 else "attempts"
        detail = f"{self.detail} ({attempts} {times})".strip()
        return Completion(failure=self.failure, detail=detail)


@dataclass(slots=True)
class Stop:
    """The point in time at which a batch gives up on an endpoint that answers nobody.

    A server that is away for good costs a batch one deadline, not one per request.
    """

    deadline: float
    heard: float

    def hear(self, now: float) -> None:
        """Some request of the batch was answered at `now`."""
        self.heard = max(self.heard, now)

    def over(self, now: float) -> bool:
        """Whether nobody was answered for a whole deadline."""
        return now - self.heard >= self.deadline


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter; `draw` gives a number in [0, 1).

    `connects`: attempts to reach an endpoint that takes no connection; None: until the deadline.
    """

    draw: Callable[[], float] = random.random
    connects: int | None = None

    def wait(self, refused: Refused, attempts: int) -> float | None:
        """Seconds until the next attempt after `attempts` ones, None for no further attempt."""
        failure = refused.failure
        if failure in _NEVER:
            return None
        if failure is Failure.CONNECTION and attempts >= (self.connects or math.inf):
            return None
        passes = failure in _OUTAGE or refused.status in _GATEWAY
        if not passes and attempts >= _FAULT_ATTEMPTS:
            return None
        backoff = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(attempts - 1, 16))
        jittered = backoff * (0.5 + 0.5 * self.draw())
        return jittered if refused.wait is None else refused.wait + 0.1 * jittered


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that `Retry-After` (a number or a date) or `retry-after-ms` asks for."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    header = headers.get("retry-after")
    seconds = _number(header)
    if seconds is not None or not header:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None
