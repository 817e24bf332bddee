"""What a run keeps of one agent on one episode, and how it is read off a finished session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finemem_env.session import Session

__all__ = ["Result", "measured"]


@dataclass(frozen=True, slots=True)
class Result:
    """One agent on one episode: a line of results.jsonl.

    `status` is "ok", "failed" (the agent broke: see `error`) or "invalid" (a model failed).
    `r_chunk` is None when no chunk question was asked; `r_fmt` and `r_chunk` are means over steps.
    Times are wall-clock seconds. `rejected` counts reject reasons. `task` and `budget` are "" in a
    run of one environment.
    """

    agent: str
    episode: int
    seed: int
    episode_id: str
    competency: str
    status: str = "ok"
    error: str = ""
    score: float = 0.0
    r_chunk: float | None = None
    r_fmt: float = 0.0
    compression: float = 0.0
    episode_return: float = 0.0
    memory_tokens: int = 0
    memory_items: int = 0
    steps: int = 0
    agent_seconds: float = 0.0
    env_seconds: float = 0.0
    rejected: Mapping[str, int] = field(default_factory=dict)
    task: str = ""
    budget: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells the results of a run apart."""
        return self.task, self.budget, self.agent, self.episode

    @property
    def place(self) -> tuple[str, str, int]:
        """What agents are compared on: the same episode under the same budget."""
        return self.task, self.budget, self.episode


def measured(session: Session) -> dict[str, Any]:
    """The fields of `Result` that a session decides when its episode is over."""
    steps = session.record.results
    last = steps[-1]
    chunk_qa = [step.terms["chunk_qa"] for step in steps if step.chunk_answers]
    reasons = Counter(
        str(operation.reason)
        for step in steps
        for operation in step.operations
        if operation.reason is not None
    )
    return {
        "status": "ok" if any(last.step_valid) else "invalid",
        "score": float(last.terms["global"]),
        "r_chunk": float(np.mean(chunk_qa)) if chunk_qa else None,
        "r_fmt": float(np.mean([step.terms["format"] for step in steps])),
        "compression": float(last.terms["compression"]),
        "episode_return": sum(step.reward for step in steps),
        "memory_tokens": session.memory.tokens,
        "memory_items": len(session.memory),
        "steps": len(steps),
        "rejected": dict(sorted(reasons.items())),
    }
