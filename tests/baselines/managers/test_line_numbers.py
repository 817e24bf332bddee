"""The agents where sentences are numbered: the same memory and score, in shorter replies."""

from __future__ import annotations

from typing import Any

import pytest

from baselines.agents import AGENTS, make_agent
from finemem_env.registration import make_env
from finemem_env.session import public

Episode = tuple[list[list[str]], float, int]
WRITES_OUT = {
    "skip": "nothing is written",
    "long_context": "a window that grows is written anew, old sentences included",
    "memagent_extractive": "so is a block",
    "oracle": "notes in its own words, where they are shorter than what was told",
}


def _play(name: str, numbered: bool, **keywords: Any) -> Episode:  # noqa: ANN401
    env = make_env("FineMem-Mix-v0", num_chunks=4, line_numbers=numbered, **keywords)
    agent: Any = make_agent(name)
    observation, info = env.reset(seed=5)
    if hasattr(agent, "attach"):
        agent.attach(env)
    agent.reset(public(info))
    memories, characters, over = [], 0, False
    while not over:
        action = agent.act(observation, public(info))
        characters += len(action)
        observation, _, over, _, info = env.step(action)
        memories.append([" ".join(item.content.split()) for item in env.session.memory.items()])
    return memories, info["score"], characters


@pytest.mark.parametrize("name", AGENTS)
def test_the_same_memory_in_shorter_replies(name: str) -> None:
    memories, score, characters = _play(name, numbered=False)
    numbered, same, fewer = _play(name, numbered=True)
    assert numbered == memories
    assert same == score
    assert fewer < characters * (1.0 if name in WRITES_OUT else 0.5)
