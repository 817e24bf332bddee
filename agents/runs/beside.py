"""Scripted agents on the episodes of the evaluations: the lines beside a run's curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.runs.evaluation import play_references
from baselines.tables.summary import AgentSummary, summarise
from finemem_env.disk import write_whole
from finemem_env.fields import read_object

LINES = ("skip", "fifo", "salience", "oracle")
Lines = dict[str, dict[str, float]]  # agent -> metric -> value, the same at every update
_KEYS = {
    "eval/score": "score",
    "eval/normalised": "normalised",
    "eval/return": "episode_return",
    "eval/memory_tokens": "memory_tokens",
}


def reference_lines(
    folder: Path, env_id: str, env_args: Mapping[str, Any], seeds: Sequence[int]
) -> Lines:
    """What `eval/…` is for the scripted agents; played once a run and kept in references.json.

    Args:
        folder: the run.
        env_id: the environment of the evaluations.
        env_args: its keywords.
        seeds: of the episodes.

    Raises:
        DataError: a references.json that is none.
    """
    path = folder / "references.json"
    played = {"env": env_id, "env_args": dict(env_args), "seeds": list(seeds)}
    if path.is_file():
        kept = read_object(path)
        if {key: kept.get(key) for key in played} == json.loads(json.dumps(played)):
            agents = {name: kept.child("lines").child(name) for name in kept.child("lines")}
            return {
                name: {key: values.number(key) for key in values} for name, values in agents.items()
            }
    rows = summarise(play_references(env_id, env_args, seeds=seeds, agents=LINES))
    lines = {
        row.agent: {
            key: value for key, name in _KEYS.items() if (value := getattr(row, name)) is not None
        }
        for row in rows
    }
    write_whole(path, json.dumps({**played, "lines": lines}, indent=2) + "\n")
    return lines


def normalised(score: float, lines: Lines) -> dict[str, float]:
    """`eval/normalised` of a score: 0 at skip, 1 at oracle; nothing where these are alike."""
    low, high = (lines.get(name, {}).get("eval/score", 0.0) for name in ("skip", "oracle"))
    return {"eval/normalised": (score - low) / (high - low)} if high > low else {}


def final_numbers(rows: Sequence[AgentSummary]) -> dict[str, float]:
    """`final/…` of the last table: its row "after"."""
    after = next(row for row in rows if row.agent == "after")
    numbers = {name: getattr(after, name) for name in ("score", "normalised", "memory_tokens")}
    return {f"final/{name}": value for name, value in numbers.items() if value is not None}
