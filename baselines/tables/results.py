"""What a run keeps of one agent on one episode, and how it is read off a finished session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from finemem_env.session import Session

Status = Literal["ok", "failed", "invalid"]


@dataclass(frozen=True, slots=True)
class Result:
    """One agent on one episode: a line of results.jsonl.

    `status` is "ok", "failed" (the agent broke: see `error`) or "invalid" (a model failed).
    `r_chunk` is None when no chunk question was asked; `r_fmt` and `r_chunk` are means over steps.
    What belongs to the memory is None for an agent that answers from a memory of its own. `early`
    and `late` are mean scores of the final questions whose last evidence lies in that half of the
    text, None where no question is known to.
    `input_tokens` are those of the chunks. `usage` is what models cost, {role: {calls,
    prompt_tokens, reply_tokens, seconds}}; the roles are manager, reader, judge and embeddings, of
    those that called one.
    Times are wall-clock seconds. `rejected` counts reject reasons. `task` and `budget` are "" in a
    run of one environment.
    """

    agent: str
    episode: int
    seed: int
    episode_id: str
    competency: str
    status: Status = "ok"
    error: str = ""
    score: float = 0.0
    r_chunk: float | None = None
    r_fmt: float | None = 0.0
    compression: float | None = 0.0
    episode_return: float | None = 0.0
    memory_tokens: int | None = 0
    memory_items: int | None = 0
    steps: int = 0
    agent_seconds: float = 0.0
    env_seconds: float = 0.0
    rejected: Mapping[str, int] = field(default_factory=dict)
    task: str = ""
    budget: str = ""
    early: float | None = None
    late: float | None = None
    input_tokens: int | None = None
    usage: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells the results of a run apart."""
        return self.task, self.budget, self.agent, self.episode

    @property
    def place(self) -> tuple[str, str, int]:
        """What agents are compared on: the same episode under the same budget."""
        return self.task, self.budget, self.episode


_MEMORY = ("r_fmt", "compression", "episode_return", "memory_tokens", "memory_items")


def measured(session: Session, *, hidden: bool = False) -> dict[str, Any]:
    """The fields of `Result` that a session decides when its episode is over.

    Args:
        session: whose episode is over.
        hidden: the agent answered from a memory of its own, so that the session's says nothing.
    """
    fields = _measured(session)
    return {**fields, **dict.fromkeys(_MEMORY), "rejected": {}} if hidden else fields


def _measured(session: Session) -> dict[str, Any]:
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
        "input_tokens": sum(session.chunk_tokens),
        "rejected": dict(sorted(reasons.items())),
        **_halves(session),
    }


def _halves(session: Session) -> dict[str, float | None]:
    """Mean scores of the final questions by the half that their last evidence lies in.

    The middle chunk of an odd number belongs to neither.
    """
    scores: dict[str, list[float]] = {"early": [], "late": []}
    for final, _ in session.record.finals:
        if final.question.evidence and not final.answer.failed:
            place = 2 * max(entry.chunk for entry in final.question.evidence) + 1
            if place != session.num_chunks:
                scores["late" if place > session.num_chunks else "early"].append(final.score)
    return {half: float(np.mean(own)) if own else None for half, own in scores.items()}
