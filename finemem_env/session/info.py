"""`info` dictionaries: the one place where records become plain, comparable values.

The same keys at every step, empty tuples until there is something to say. No NaN, no None among
numbers, no times: two runs with the same seed and actions give equal dictionaries. No key has the
name of a method of `dict` ("items", "keys", …): clients that make attributes of keys would lose it.

An agent may know what `public` keeps; the rest is for learners and people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finemem_env._version import __version__
from finemem_env.media import encoded
from finemem_env.memory import Workspace
from finemem_env.prompts import prompt_version
from finemem_env.rewards import formulas as rewards
from finemem_env.session.records import Asked, StepResult
from finemem_env.session.session import Session
from finemem_env.types import Limits, Medium, OperationResult

PUBLIC = frozenset(
    [
        "anchor",
        "chunk_index",
        "episode_id",
        "instructions",
        "limits",
        "lines",
        "media",
        "memory_items",
        "memory_tokens",
        "num_chunks",
        "operations",
        "versions",
        "weights",
    ]
)
_NO_TERMS = {"format": 0.0, "chunk_qa": 0.0, "compression": 0.0, "global": 0.0, "content": 0.0}


def public(info: Mapping[str, Any]) -> dict[str, Any]:
    """What an agent may know at a step: `info` without questions, golds, scores and rewards."""
    return {key: value for key, value in info.items() if key in PUBLIC}


def limits_of(info: Mapping[str, Any]) -> Limits:
    """The limits that `info` names; none of those that it does not."""
    return Limits(**{key: None if n < 0 else n for key, n in info.get("limits", {}).items()})


def make_info(
    session: Session, versions: dict[str, str], result: StepResult | None
) -> dict[str, Any]:
    """Info after a step, or after reset when `result` is None."""
    terms = dict(_NO_TERMS if result is None else result.terms)
    return {
        **agent_info(
            session.workspace,
            session.episode.episode_id,
            session.step_index,
            session.num_chunks,
            () if result is None else result.operations,
            versions,
            session.lines,
            session.media,
        ),
        "score": terms["global"],
        "reward_terms": terms,
        "chunk_answers": _asked(() if result is None else result.chunk_answers),
        "step_rewards": () if result is None else result.step_rewards,
        "step_reward_valid": () if result is None else result.step_valid,
        "evidence_credit": () if result is None else result.evidence_credit,
        "answers": _asked(() if result is None else result.answers),
    }


def agent_info(
    workspace: Workspace,
    episode_id: str,
    step: int,
    num_chunks: int,
    operations: Sequence[OperationResult],
    versions: Mapping[str, str],
    lines: tuple[str, ...] | None = None,
    media: tuple[Medium, ...] | None = None,
) -> dict[str, Any]:
    """The part of `info` that `public` keeps.

    Args:
        workspace: the memory before the step.
        episode_id: what is read.
        step: chunks that were read and acted upon.
        num_chunks: how many there are, -1 if unknown.
        operations: what became of the last step's.
        versions: what pins the behaviour.
        lines: the numbered sentences of the chunk; None, without numbers, leaves the keys out.
        media: what the chunk shows beside its text; None, without names, leaves the keys out.
    """
    settings, weights = workspace.settings, workspace.settings.reward.weights
    record: dict[str, Any] = {
        "weights": {
            "format": weights.format,
            "chunk_qa": weights.chunk_qa,
            "compression": weights.compression,
            "content": weights.content,
        },
        "instructions": workspace.instructions,
        "limits": {
            "max_item_tokens": _known(settings.max_item_tokens),
            "max_operations": _known(settings.max_operations),
            "memory_budget": _known(workspace.memory.budget),
        },
        "operations": tuple(map(_operation, operations)),
        "memory_tokens": workspace.memory.tokens,
        "memory_items": len(workspace.memory),
        "chunk_index": step,
        "num_chunks": num_chunks,
        "episode_id": episode_id,
        "anchor": (episode_id, step),
        "versions": dict(versions),
    }
    if lines is not None:
        record["lines"] = lines
        for entry, result in zip(record["operations"], operations, strict=True):
            entry["lines"] = result.lines
    if media is not None:
        record["media"] = tuple(map(encoded, media))
        for entry, result in zip(record["operations"], operations, strict=True):
            entry["media"] = result.media
    return record


def versions_of(workspace: Workspace, reader: str) -> dict[str, str]:
    """What pins the behaviour behind a score; `reader` is the version of the reader."""
    settings = workspace.settings
    return {
        "finemem_env": __version__,
        "reader": reader,
        "retriever": workspace.retriever.version,
        "tokenizer": settings.tokenizer,
        "prompt": prompt_version(settings.memory, settings.line_numbers, bool(settings.media)),
        "reward": f"{settings.reward.name}/{rewards.REWARD_VERSION}",
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
        "shown": tuple([(item.id, item.step) for item in asked.items]),
        "used": tuple([(i, -1 if s is None else s) for i, s in asked.answer.used]),
        "evidence": tuple([(e.chunk, e.sentence or "") for e in asked.question.evidence]),
    }


def _asked(asked: tuple[Asked, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(map(asked_record, asked))


def _known(limit: int | None) -> int:
    return -1 if limit is None else limit


def _operation(result: OperationResult) -> dict[str, Any]:
    return {
        "op": result.name,
        "accepted": result.accepted,
        "reason": "" if result.reason is None else str(result.reason),
        "id": -1 if result.item_id is None else result.item_id,
    }
