"""The scripted teacher of the warm start: keeps sentences of the chunk, on purpose badly chosen.

On average it keeps every sentence with the same probability. With a taste, a coin decides at every
reply whether it prefers the kinds of sentences that are ever asked about or all the others: lessons
then tell the two groups apart, but not which of them is worth keeping. That is left for
reinforcement learning to find out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from baselines.managers.scripted import inserts, reply
from finemem_env.data.synthetic.kinds import is_asked_kind
from finemem_env.prompts import parse_observation
from finemem_env.text import split_sentences


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
        keep: probability of keeping a sentence.
        taste: how much more likely sentences of the preferred group are kept, and others less.
        references: the environment numbers the sentences, and the reply names them by that; copies
            them otherwise.
    """

    keep: float = 1.0
    taste: float = 0.0
    references: bool = False

    def act(self, observation: str, rng: np.random.Generator) -> str:
        """Operations for one observation."""
        view = parse_observation(observation)
        prefers_asked = bool(self.taste) and rng.random() < 0.5
        kept = []
        for sentence in view.lines or split_sentences(view.chunk or ""):
            if view.time and view.time in sentence:
                continue  # the line that says the chunk's date
            preferred = is_asked_kind(sentence) == prefers_asked
            if rng.random() < self.keep + (self.taste if preferred else -self.taste):
                kept.append(sentence)
        return reply(inserts(kept, view), view.lines)


def lessons(
    env_id: str, env_args: Mapping[str, Any], teacher: Teacher, seed: int, width: int = 16
) -> Iterator[Lesson]:
    """Endless lessons from episodes in which the teacher acts; `width` episodes run in step."""
    settings = {
        "reward": "outcome",
        "chunk_questions": 0,
        **env_args,
        "line_numbers": teacher.references,
    }
    env: Any = gym.make_vec(env_id, num_envs=width, autoreset_mode="disabled", **settings)
    rng = np.random.default_rng(np.random.SeedSequence([seed, width]))
    while True:
        seeds = [int(number) for number in rng.integers(2**31, size=width)]
        observations, _ = env.reset(seed=seeds)
        steps: list[list[Lesson]] = []
        for _ in range(env.sessions[0].num_chunks):
            actions = [teacher.act(observation, rng) for observation in observations]
            pairs = zip(observations, actions, strict=True)
            steps.append([Lesson(env.instructions, *pair) for pair in pairs])
            observations, *_ = env.step(actions)
        order = rng.permutation(width * len(steps))
        flat = [lesson for step in steps for lesson in step]
        yield from (flat[place] for place in order)
