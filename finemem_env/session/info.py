"""`info` dictionaries: the one place where records become plain, comparable values.

The same keys at every step, empty tuples until there is something to say. No NaN, no None among
numbers, no times: two runs with the same seed and actions give equal dictionaries.
"""

from __future__ import annotations

from typing import Any

from finemem_env.session.records import Asked, StepResult
from finemem_env.session.session import Session
from finemem_env.types import OperationResult

__all__ = ["asked_record", "make_info"]

_NO_TERMS = {"format": 0.0, "chunk_qa": 0.0, "compression": 0.0, "global": 0.0, "content": 0.0}


def make_info(
    session: Session, versions: dict[str, str], result: StepResult | None
) -> dict[str, Any]:
    """Info after a step, or after reset when `result` is None."""
    weights = session.settings.reward.weights
    return {
        "reward_terms": dict(_NO_TERMS if result is None else result.terms),
        "weights": {
            "format": weights.format,
            "chunk_qa": weights.chunk_qa,
            "compression": weights.compression,
            "content": weights.content,
        },
        "instructions": session.instructions,
        "chunk_answers": _asked(() if result is None else result.chunk_answers),
        "operations": () if result is None else tuple(map(_operation, result.operations)),
        "memory_tokens": session.memory.tokens,
        "memory_items": len(session.memory),
        "chunk_index": session.step_index,
        "num_chunks": session.num_chunks,
        "episode_id": session.episode.episode_id,
        "anchor": (session.episode.episode_id, session.step_index),
        "step_rewards": () if result is None else result.step_rewards,
        "step_reward_valid": () if result is None else result.step_valid,
        "evidence_credit": () if result is None else result.evidence_credit,
        "answers": _asked(() if result is None else result.answers),
        "versions": dict(versions),
    }


def asked_record(asked: Asked) -> dict[str, Any]:
    """One question as read: golds, prediction, score, and the items shown with their steps."""
    return {
        "id": asked.question.id,
        "question": asked.question.question,
        "golds": asked.question.answers,
        "prediction": asked.answer.text,
        "score": asked.score,
        "metric": asked.question.metric,
        "failed": asked.answer.failed,
        "items": tuple((item.id, item.step) for item in asked.items),
        "used": tuple((i, -1 if s is None else s) for i, s in asked.answer.used),
        "evidence": tuple((e.chunk, e.sentence or "") for e in asked.question.evidence),
    }


def _asked(asked: tuple[Asked, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(asked_record(one) for one in asked)


def _operation(result: OperationResult) -> dict[str, Any]:
    return {
        "op": result.name,
        "accepted": result.accepted,
        "reason": "" if result.reason is None else str(result.reason),
        "id": -1 if result.item_id is None else result.item_id,
    }
