"""Episodes in processes of their own: an agent that hangs or dies costs its episode and no more.

Every worker plays one job at a time. The parent watches the time the agent has spent in the job
(not the environment's, whose reader may be slow); past the limit it kills the worker, counts the
episode as failed and starts another worker. Workers end when the parent does, however it ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from baselines.runs.player import Job, Player
from baselines.runs.runner import Clock
from baselines.tables.results import Result
from finemem_env.trace import Trace

_POLL = 0.2  # seconds between looks at the clocks
_GOODBYE = 5.0  # seconds that an idle worker gets to leave
_CONTEXT = multiprocessing.get_context("spawn")


class _SharedClock(Clock):
    """A clock that another process can read: [seconds spent in the agent, start of a call or 0]."""

    def __init__(self, shared: Any) -> None:  # noqa: ANN401
        super().__init__()
        self._shared = shared
        shared[0] = shared[1] = 0.0

    def agent(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call the agent, with the start of the call on show."""
        self._shared[1] = time.monotonic()
        try:
            return super().agent(call, *arguments)
        finally:
            self._shared[0] += time.monotonic() - self._shared[1]
            self._shared[1] = 0.0


def _work(pipe: connection.Connection, shared: Any) -> None:  # noqa: ANN401
    """Body of a worker: jobs in, (result, trace) or the environment's exception out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    player = Player()
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            shared[1] = time.monotonic()  # building the agent is on its account
            try:
                player.agent(job.choice)
                reply: object = player.play(job, _SharedClock(shared))
            except Exception as error:
                reply = error
            shared[1] = 0.0
            pipe.send(reply)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(slots=True)
class _Worker:
    """A process with its pipe, its clock and the job it plays."""

    process: Any
    pipe: connection.Connection
    shared: Any
    job: Job | None = None

    @classmethod
    def start(cls) -> _Worker:
        """A fresh worker without a job."""
        ours, theirs = _CONTEXT.Pipe()
        shared = _CONTEXT.Array("d", 2, lock=False)
        process = _CONTEXT.Process(target=_work, args=(theirs, shared), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours, shared)

    def give(self, job: Job) -> None:
        """Start a job."""
        self.shared[0] = self.shared[1] = 0.0
        self.job = job
        self.pipe.send(job)

    def spent(self) -> float:
        """Seconds that the agent has spent in this job."""
        started = self.shared[1]
        running = time.monotonic() - started if started else 0.0
        return float(self.shared[0] + running)

    def stop(self) -> None:
        """End the process: at once when it plays, by itself when it waits for a job."""
        self.pipe.close()
        if self.job is None:
            self.process.join(_GOODBYE)
        self.process.kill()
        self.process.join()


def play_parallel(
    jobs: Sequence[Job], workers: int, time_limit: float | None
) -> Iterator[tuple[Job, Result, Trace | None]]:
    """Play `jobs`, given out in order, results as they come.

    Args:
        jobs: what to play.
        workers: how many processes.
        time_limit: seconds an agent may spend in one episode; None: as long as it likes.

    Raises:
        Exception: whatever the environment raised (settings, data, reader), not the agent.
    """
    waiting = list(reversed(jobs))
    pool = [_Worker.start() for _ in range(min(workers, len(jobs)))]
    try:
        while waiting or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and waiting:
                    worker.give(waiting.pop())
            busy = {worker.pipe: worker for worker in pool if worker.job is not None}
            for pipe in connection.wait(list(busy), timeout=_POLL):
                worker = busy[pipe]  # type: ignore[index]
                job = worker.job
                assert job is not None
                yield job, *_collect(worker, pool, job)
            for worker in [worker for worker in pool if worker.job is not None]:
                if time_limit is not None and worker.spent() > time_limit:
                    job = worker.job
                    assert job is not None
                    _replace(worker, pool)
                    yield job, _lost(job, f"no reply within {time_limit:g} s of its own time"), None
    finally:
        for worker in pool:
            worker.stop()


def _collect(worker: _Worker, pool: list[_Worker], job: Job) -> tuple[Result, Trace | None]:
    """What the worker sends; a worker that died was killed by what its agent did."""
    try:
        reply = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        _replace(worker, pool)
        return _lost(job, f"the agent's process ended with code {code}"), None
    worker.job = None
    if isinstance(reply, Exception):
        raise reply
    result, trace = reply
    return result, trace


def _replace(worker: _Worker, pool: list[_Worker]) -> None:
    worker.stop()
    pool[pool.index(worker)] = _Worker.start()


def _lost(job: Job, error: str) -> Result:
    """The result of an episode that the agent never finished."""
    return Result(
        agent=job.choice.label,
        task=job.task.name,
        budget=job.budget,
        episode=job.index,
        seed=job.seed,
        episode_id=job.episode_id,
        competency=job.competency,
        status="failed",
        error=error,
    )
