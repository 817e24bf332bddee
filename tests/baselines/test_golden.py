"""Golden runs of the scripted agents: what they write and what it earns, on two episodes per id.

An agent's behaviour is part of every published comparison. Where a change is meant, delete the file
and write it anew with `python -m tests.baselines.test_golden`, and say so in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from baselines.agents import AGENTS
from baselines.runs.run import AgentChoice, RunConfig, run
from finemem_env.trace import read_traces

FILE = Path(__file__).parent / "golden.jsonl"
IDS = ("FineMem-AR-v0", "FineMem-TTL-v0", "FineMem-LRU-v0", "FineMem-CR-v0")


def record(env_id: str, folder: Path) -> list[dict[str, Any]]:
    """One row per agent and episode, in the order of the run."""
    choices = tuple(AgentChoice(name) for name in AGENTS)
    run(RunConfig(env_id, {"split": "test"}, choices, episodes=2, seed=0), folder)
    rows = []
    for trace in read_traces(folder / "traces.jsonl"):
        actions = "\n".join(step.action for step in trace.steps)
        rows.append(
            {
                "env": env_id,
                "agent": trace.agent,
                "episode_id": trace.episode_id,
                "score": round(trace.steps[-1].terms["global"], 9),
                "return": round(trace.episode_return, 9),
                "memory_tokens": trace.memory_tokens,
                "actions": hashlib.sha256(actions.encode()).hexdigest()[:16],
            }
        )
    return rows


@pytest.mark.parametrize("env_id", IDS)
def test_scripted_agents_do_what_was_recorded(env_id: str, tmp_path: Path) -> None:
    expected = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
    assert record(env_id, tmp_path / "run") == [row for row in expected if row["env"] == env_id]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        found = [row for env_id in IDS for row in record(env_id, Path(made) / env_id)]
    FILE.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
