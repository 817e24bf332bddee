"""Groups of rollouts of a `KindPolicy`, played in lock-step on the batched environment.

Either whole episodes, or local re-rollouts: continuations of k steps from one memory, as in
`agents/learn/rollout.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.learn.advantages import RolloutRewards
from benchmarks.policy import KindOf, KindPolicy
from finemem_env.data.source import Source
from finemem_env.errors import ConfigError
from finemem_env.registration import make_vector_env
from finemem_env.rewards import EpisodeOutcome, FinalOutcome, RewardSettings
from finemem_env.rewards import formulas as rewards
from finemem_env.session import Session, StreamSource, end_here
from finemem_env.types import Episode, Question
from finemem_env.vector import MemoryVectorEnv

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KindRollout:
    """One finished episode: what rewards are computed from, and the score function of each step.

    `context` is the reset seed: equal for the rollouts of a group. A local re-rollout has the
    score function of its own steps only, from `start` on; its outcome ends with the last of them.
    """

    context: int
    outcome: EpisodeOutcome
    finals: tuple[tuple[Question, FinalOutcome], ...]
    score: Floats  # (steps of its own, logits)
    start: int = 0

    @property
    def memory_share(self) -> float:
        """tokens(M_T) / tokens of all chunks."""
        return self.outcome.memory_tokens / max(1, self.outcome.input_tokens)


class _Remembering:
    """A source that makes an episode once for the rollouts of its group."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.competencies = source.competencies
        self.size = source.size
        self.get = source.get
        self.episode = lru_cache(maxsize=32)(source.episode)

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode chosen with `rng`, of the first million where there is no end of them."""
        return self.episode(int(rng.integers(self.size or 10**6)))


def make_group(env_id: str, size: int, **keywords: Any) -> MemoryVectorEnv:  # noqa: ANN401
    """A batched environment of `size` episodes that is restarted by hand."""
    env = make_vector_env(env_id, num_envs=size, autoreset_mode="disabled", **keywords)
    source = env.factory.source
    if isinstance(source, StreamSource):
        raise ConfigError("a stream is read once: it cannot be played by a group.")
    env.factory.source = _Remembering(source)
    return env


def play(
    env: MemoryVectorEnv,
    policy: KindPolicy,
    seeds: Sequence[int],
    kinds: Callable[[Session], KindOf],
    rng: np.random.Generator,
    local_steps: int | None = None,
) -> list[KindRollout]:
    """One rollout for each seed, all steps in lock-step; equal seeds make a group.

    Args:
        env: with as many environments as there are seeds, all episodes of one length.
        policy: acts in all of them.
        seeds: reset seeds.
        kinds: what the kinds of sentences are in a session's episode.
        rng: the policy's coin tosses.
        local_steps: k ≥ 1, for continuations of k steps from one memory, at steps 0, k, 2k, …; None
            plays whole episodes. Both act as often.
    """
    observations, _ = env.reset(seed=list(seeds))
    kind_of = {seed: kinds(session) for seed, session in zip(seeds, env.sessions, strict=True)}
    scores: list[list[Floats]] = [[] for _ in seeds]
    rollouts: list[KindRollout] = []
    while not env.sessions[0].terminated:
        decisions = [
            policy.act(observation, kind_of[seed], rng)
            for observation, seed in zip(observations, seeds, strict=True)
        ]
        for score, decision in zip(scores, decisions, strict=True):
            score.append(decision.score)
        observations, *_ = env.step([decision.action for decision in decisions])
        if len(scores[0]) == local_steps and not env.sessions[0].terminated:
            ended = end_here(env.sessions, env.factory.reader, env.factory.judge)
            rollouts += _rollouts(seeds, ended, scores)
            observations = _share_memory(env, seeds)
            scores = [[] for _ in seeds]
    return rollouts + _rollouts(seeds, env.sessions, scores)


def _share_memory(env: MemoryVectorEnv, seeds: Sequence[int]) -> tuple[str, ...]:
    """All of a group go on from the memory of its first; returns what they see."""
    first: dict[int, Session] = {}
    for seed, session in zip(seeds, env.sessions, strict=True):
        first.setdefault(seed, session)
    env.sessions[:] = [first[seed].fork() for seed in seeds]
    return tuple(session.observe() for session in env.sessions)


def _rollouts(
    seeds: Sequence[int], sessions: Sequence[Session], scores: Sequence[Sequence[Floats]]
) -> list[KindRollout]:
    return [
        KindRollout(
            context=seed,
            outcome=session.outcome(),
            finals=tuple((answer.question, final) for answer, final in session.record.finals),
            score=np.stack(score),
            start=session.step_index - len(score),
        )
        for seed, session, score in zip(seeds, sessions, scores, strict=True)
    ]


def reward_rows(rollout: KindRollout, settings: RewardSettings) -> RolloutRewards:
    """Both forms of one reward for `compute_advantages`, from what was recorded."""
    outcome = rollout.outcome
    streamed = [rewards.stream_reward(step, settings) for step in outcome.steps]
    streamed[-1] += rewards.closing_reward(outcome, settings)
    start = rollout.start
    return RolloutRewards(
        rollout.context,
        rewards.step_rewards(outcome, settings)[start:],
        streamed[start:],
        rewards.step_valid(outcome, settings)[start:],
        start,
    )


def policy_gradient(rollouts: Sequence[KindRollout], advantages: Sequence[Floats]) -> Floats:
    """Σ_t A_t · d log π_t / d logits, averaged over the episodes; (logits,).

    The continuations of local re-rollouts make up as many episodes as there are from step 0.
    """
    parts = [rollout.score.T @ values for rollout, values in zip(rollouts, advantages, strict=True)]
    total: Floats = np.sum(parts, axis=0)
    return total / sum(rollout.start == 0 for rollout in rollouts)
