"""Scores of a policy and of scripted agents on the same held-out episodes, in one table.

Episode i is reset with SeedSequence([seed, i]), as in the benchmark, so the rows of both can be
compared. A policy plays all its episodes in step, which is what makes evaluation during training
cheap; the numbers are those that the benchmark would report for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from agents.learn import checkpoint
from agents.learn.rollout import Rollout, Sampling, make_rollout_env, roll_out
from agents.model.policy import Policy, load_policy
from agents.runs.config import TrainConfig
from baselines.agents import PrivilegedAgent, make_agent
from baselines.runs.runner import Entry, episode_seeds, run_episode
from baselines.tables.summary import Result

__all__ = ["REFERENCES", "evaluate_policy", "final_results", "play_references", "policy_results"]

REFERENCES = ("skip", "fifo", "selective", "oracle")
_WIDTH = 64  # episodes that a policy plays in step


def evaluate_policy(
    policy: Policy,
    env_id: str,
    env_args: Mapping[str, Any],
    *,
    episodes: int,
    seed: int,
    sampling: Sampling,
) -> list[Rollout]:
    """One rollout of each of `episodes` episodes, in order."""
    seeds = episode_seeds(seed, episodes)
    found: list[Rollout] = []
    for first in range(0, episodes, _WIDTH):
        part = seeds[first : first + _WIDTH]
        env = make_rollout_env(env_id, dict(env_args), len(part))
        found += roll_out(policy, env, part, sampling, seed)
        env.close()
    return found


def policy_results(label: str, rollouts: Sequence[Rollout], seed: int) -> list[Result]:
    """The benchmark's record of every rollout, without times."""
    seeds = episode_seeds(seed, len(rollouts))
    return [_result(label, index, seeds[index], one) for index, one in enumerate(rollouts)]


def play_references(
    env_id: str,
    env_args: Mapping[str, Any],
    *,
    episodes: int,
    seed: int,
    agents: Sequence[str] = REFERENCES,
) -> list[Result]:
    """The scripted agents on the same episodes."""
    env: gym.Env[str, str] = gym.make(env_id, disable_env_checker=True, **env_args)
    results = []
    for name in agents:
        agent = make_agent(name)
        if isinstance(agent, PrivilegedAgent):
            agent.attach(env)
        for index, one in enumerate(episode_seeds(seed, episodes)):
            entry = Entry(name, agent)
            results.append(run_episode(env, entry, index, one, {"id": env_id, **env_args})[0])
    env.close()
    return results


def final_results(config: TrainConfig, folder: Path, sampling: Sampling, seed: int) -> list[Result]:
    """Initial and best weights of the run in `folder` and the scripted agents, on test episodes."""
    env, episodes = config.environment.evaluation("test"), config.evaluation.final_episodes
    best = checkpoint.latest(folder / "best")
    results = []
    for label in ("before", "after"):
        policy = load_policy(config.model, config.sampling.sample_tokens)
        if label == "after" and best is not None:
            checkpoint.load_weights(best, policy.model)
        played = evaluate_policy(
            policy, config.environment.env, env, episodes=episodes, seed=seed, sampling=sampling
        )
        results += policy_results(label, played, seed)
    return results + play_references(config.environment.env, env, episodes=episodes, seed=seed)


def _result(label: str, index: int, seed: int, rollout: Rollout) -> Result:
    results, session = rollout.results, rollout.session
    asked = [one.terms["chunk_qa"] for one in results if one.chunk_answers]
    reasons = Counter(
        str(operation.reason)
        for one in results
        for operation in one.operations
        if operation.reason is not None
    )
    return Result(
        agent=label,
        episode=index,
        seed=seed,
        episode_id=session.episode.episode_id,
        competency=session.episode.competency,
        status="ok" if any(results[-1].step_valid) else "invalid",
        score=rollout.score,
        r_chunk=float(np.mean(asked)) if asked else None,
        r_fmt=float(np.mean([one.terms["format"] for one in results])),
        compression=float(results[-1].terms["compression"]),
        episode_return=rollout.total,
        memory_tokens=session.memory.tokens,
        memory_items=len(session.memory),
        steps=len(results),
        rejected=dict(sorted(reasons.items())),
    )
