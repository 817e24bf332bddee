"""What the calls of models cost: how many, their tokens and the seconds waited, by whose they are.

    ledger = Ledger()
    with ledger.open():
        agent.act(observation, info)
    ledger.spent()["manager"].calls

Whatever reaches a model calls `spend`; without an open ledger that does nothing. A ledger is open
in one thread; code that calls from others asks for it first (`current`) and keeps it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MANAGER, READER, JUDGE, EMBEDDINGS = "manager", "reader", "judge", "embeddings"


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls, the tokens of their prompts and replies in the model's own count, seconds waited.

    A call is a request that was made, whether or not it had a reply; what a cache answers is none.
    """

    calls: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.reply_tokens + other.reply_tokens,
            self.seconds + other.seconds,
        )


class Ledger:
    """Adds up what is spent while it is open; threads may share it."""

    def __init__(self) -> None:
        self._spent: dict[str, Usage] = {}
        self._lock = threading.Lock()

    @contextmanager
    def open(self) -> Iterator[None]:
        """What this thread spends meanwhile is written down here."""
        token = _LEDGER.set(self)
        try:
            yield
        finally:
            _LEDGER.reset(token)

    def add(self, usage: Usage, role: str) -> None:
        """Write one batch of calls down."""
        with self._lock:
            self._spent[role] = self._spent.get(role, Usage()) + usage

    def spent(self) -> dict[str, Usage]:
        """What was spent by role, only of those that called a model."""
        with self._lock:
            return dict(self._spent)


_LEDGER: ContextVar[Ledger | None] = ContextVar("finemem_ledger", default=None)
_ROLE: ContextVar[str] = ContextVar("finemem_role", default=MANAGER)


def current() -> Ledger | None:
    """The ledger that is open in this thread, if one is."""
    return _LEDGER.get()


@contextmanager
def spending_as(role: str) -> Iterator[None]:
    """Calls in this block are `role`'s; without one they are the manager's."""
    token = _ROLE.set(role)
    try:
        yield
    finally:
        _ROLE.reset(token)


def spend(usage: Usage, role: str | None = None) -> None:
    """Write calls down in the open ledger.

    Args:
        usage: what they cost.
        role: whose they are; None takes that of `spending_as`.
    """
    ledger = _LEDGER.get()
    if ledger is not None:
        ledger.add(usage, role or _ROLE.get())
