"""The scripted teacher of the warm start: copies sentences of the chunk, on purpose badly chosen.

It knows which kinds of generated sentences are ever asked (`data.synthetic.kinds`) and keeps those
with one probability and all others with another. Equal probabilities make it unselective: what is
left for reinforcement learning is to find out what is worth keeping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from baselines.scripted import inserts, reply
from finemem_env.data.synthetic.kinds import is_asked_kind
from finemem_env.prompts import parse_observation
from finemem_env.text import split_sentences

__all__ = ["Lesson", "Teacher", "lessons"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step of an episode: what the model reads, and what the teacher replies."""

    instructions: str
    observation: str
    action: str


@dataclass(frozen=True, slots=True)
class Teacher:
    """INSERTs whole sentences of the chunk in reading order, SKIP for none.

    Attributes:
        keep_asked: probability of keeping a sentence of a kind that is asked.
        keep_other: probability of keeping any other sentence.
    """

    keep_asked: float = 1.0
    keep_other: float = 1.0

    def act(self, observation: str, rng: np.random.Generator) -> str:
        """Operations for one observation."""
        view = parse_observation(observation)
        kept = []
        for sentence in split_sentences(view.chunk or ""):
            if view.time and view.time in sentence:
                continue  # the line that says the chunk's date
            share = self.keep_asked if is_asked_kind(sentence) else self.keep_other
            if rng.random() < share:
                kept.append(sentence)
        return reply(inserts(kept, view))


def lessons(
    env_id: str, env_args: Mapping[str, Any], teacher: Teacher, seed: int, width: int = 16
) -> Iterator[Lesson]:
    """Endless lessons from episodes in which the teacher acts; `width` episodes run in step."""
    settings = {"reward": "outcome", "chunk_questions": 0, **env_args}
    env: Any = gym.make_vec(env_id, num_envs=width, autoreset_mode="disabled", **settings)
    rng = np.random.default_rng(np.random.SeedSequence([seed, width]))
    while True:
        seeds = [int(one) for one in rng.integers(2**31, size=width)]
        observations, _ = env.reset(seed=seeds)
        steps: list[list[Lesson]] = []
        for _ in range(env.sessions[0].num_chunks):
            actions = [teacher.act(one, rng) for one in observations]
            steps.append(_step(env.instructions, observations, actions))
            observations, *_ = env.step(actions)
        order = rng.permutation(width * len(steps))
        flat = [lesson for step in steps for lesson in step]
        yield from (flat[place] for place in order)


def _step(instructions: str, observations: Sequence[str], actions: Sequence[str]) -> list[Lesson]:
    return [
        Lesson(instructions, observation, action)
        for observation, action in zip(observations, actions, strict=True)
    ]
