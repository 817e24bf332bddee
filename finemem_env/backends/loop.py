"""An event loop in a thread of its own, with one resource that lives on it."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class LoopThread:
    """Runs coroutines for callers without a loop, and beside one that already runs (notebooks).

    Args:
        connect: makes `resource` on the loop; the resource has an async `close()`.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        thread = threading.Thread(target=self._loop.run_forever, name="finemem-calls", daemon=True)
        thread.start()
        self.resource: Any = None
        try:
            self.resource = self.run(_call(connect))
        except BaseException:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise
        self._close = weakref.finalize(
            self, _shut_down, self._loop, thread, self.resource, self._pid
        )

    @property
    def alive(self) -> bool:
        """Whether it can be used: neither closed nor carried through a fork."""
        return self._pid == os.getpid() and not self._loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result; an interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Close the resource and end the thread."""
        self._close()


async def _call(function: Callable[[], _T]) -> _T:
    return function()


def _shut_down(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    resource: Any,  # noqa: ANN401
    pid: int,
) -> None:
    if pid != os.getpid() or loop.is_closed():
        return
    asyncio.run_coroutine_threadsafe(resource.close(), loop).result(timeout=5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)
    loop.close()
