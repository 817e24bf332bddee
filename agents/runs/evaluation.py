"""Scores of a policy and of scripted agents on the same held-out episodes, in one table.

The episodes are those of the benchmark, each once, so the rows of both can be compared. A policy
plays all its episodes in step, which makes evaluation during training cheap; the numbers are those
that the benchmark would report for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from agents.learn import checkpoint
from agents.learn.engines import Engines
from agents.learn.rollout import Rollout, RolloutSampling, drop_draws, roll_out
from agents.model.policy import Policy, load_policy
from agents.runs.config import TrainConfig
from agents.settings import EVAL_EPISODES, FINAL_EPISODES
from baselines.agents import make_agent
from baselines.runs.episodes import distinct_seeds
from baselines.runs.runner import run_episode
from baselines.tables.results import Result, measured
from finemem_env.backends.usage import MANAGER
from finemem_env.disk import write_whole
from finemem_env.errors import BackendError, ConfigError
from finemem_env.registration import make_rollout_env
from finemem_env.trace import record_trace, trace_line

REFERENCES = ("skip", "fifo", "rag", "salience", "selective", "oracle")
EVAL_SEED, FINAL_SEED = 1, 2  # beside the run's seed: other episodes than those of training
_WIDTH = 64  # episodes that a policy plays in step
_SAMPLES = 3  # episodes whose traces an evaluation leaves
_ATTEMPTS = 3  # at an episode for which an engine owes replies


def held_out(
    env_id: str, env_args: Mapping[str, Any], episodes: int | None, usual: int, seed: int
) -> list[int]:
    """Reset seeds of different episodes.

    Args:
        env_id: the environment.
        env_args: its keywords.
        episodes: how many; None: `usual`, or all where there are fewer.
        usual: how many where nothing is asked for.
        seed: decides which.

    Raises:
        ConfigError: more are asked for than there are.
    """
    env: gym.Env[str, str] = gym.make(env_id, disable_env_checker=True, **env_args)
    with closing(env):
        return distinct_seeds(env, seed, episodes or usual, at_most=episodes is None)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Reset seeds of what is not trained on: of the evaluations and of the table at the end."""

    validation: list[int]
    final: list[int]

    @classmethod
    def of(cls, config: TrainConfig) -> HeldOut:
        """Those of a config.

        Raises:
            ConfigError: it asks for more than there are.
        """
        env, evaluation = config.environment, config.evaluation
        kept = env.evaluation(evaluation.eval_split)
        final = evaluation.final_episodes
        return cls(
            held_out(env.env, kept, evaluation.eval_episodes, EVAL_EPISODES, EVAL_SEED),
            []
            if final == 0
            else held_out(env.env, env.evaluation("test"), final, FINAL_EPISODES, FINAL_SEED),
        )


def evaluate_policy(
    policy: Policy,
    env_id: str,
    env_args: Mapping[str, Any],
    *,
    seeds: Sequence[int],
    seed: int,
    sampling: RolloutSampling,
) -> list[Rollout]:
    """One rollout of the episode of each of `seeds`, in order; `seed` is that of the sampling.

    An episode for which an engine owes replies is played again: it would be scored as if the policy
    had kept silent. So is one of an engine that had other weights at the end.

    Raises:
        BackendError: engines give no replies, however often they are asked.
    """
    found: dict[int, Rollout] = {}
    owed = list(range(len(seeds)))
    for _ in range(_ATTEMPTS):
        for first in range(0, len(owed), _WIDTH):
            part = owed[first : first + _WIDTH]
            env = make_rollout_env(env_id, dict(env_args), len(part))
            own = [seeds[number] for number in part]
            found |= zip(part, roll_out(policy, env, own, sampling, seed), strict=True)
            env.close()
        if isinstance(policy.sampler, Engines):
            drop_draws([found[number] for number in owed], policy.sampler.leave_forgetful())
        owed = [number for number in owed if _lacks(policy, found[number], sampling)]
        if not owed:
            return [found[number] for number in range(len(seeds))]
    lack = f"evaluation: {len(owed)} of {len(seeds)} episodes lack replies"
    if policy.sampler is policy.own:  # which always draws
        raise BackendError(
            f"{lack}: log-probabilities of the model are not finite at temperature "
            f"{sampling.temperature:g}. Look at lr, precision and eval_temperature."
        )
    raise BackendError(f"{lack} of the sampler. Bring it back and go on with --resume.")


def _lacks(policy: Policy, rollout: Rollout, sampling: RolloutSampling) -> bool:
    """Whether a reply is missing whose prompt leaves room for one."""
    context = math.inf if policy.context is None else policy.context
    room = context - sampling.max_new_tokens
    return any(step.completion is None and len(step.prompt) <= room for step in rollout.steps)


def policy_results(label: str, rollouts: Sequence[Rollout], seeds: Sequence[int]) -> list[Result]:
    """The benchmark's record of every rollout, without times: they are played in step."""
    return [_result(label, index, seeds[index], rollout) for index, rollout in enumerate(rollouts)]


def write_samples(
    folder: Path,
    update: int,
    rollouts: Sequence[Rollout],
    env_id: str,
    env_args: Mapping[str, Any],
    seeds: Sequence[int],
) -> None:
    """The traces of an evaluation's first episodes, in samples/ of the run's folder.

    `python -m baselines.inspect` and `python -m finemem_env view` read them.

    Args:
        folder: the run.
        update: after which it was evaluated; the agent of the traces is named after it.
        rollouts: of `evaluate_policy`, called with the next three arguments.
        env_id: the environment.
        env_args: its keywords.
        seeds: of the episodes.
    """
    traces = [
        record_trace(
            rollout.session,
            agent=f"update {update}",
            episode=index,
            seed=seeds[index],
            env={"id": env_id, **env_args},
        )
        for index, rollout in enumerate(rollouts[:_SAMPLES])
    ]
    path = folder / "samples" / f"update-{update:06d}.jsonl"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, "".join(map(trace_line, traces)))


def play_references(
    env_id: str,
    env_args: Mapping[str, Any],
    *,
    seeds: Sequence[int],
    agents: Sequence[str] = REFERENCES,
) -> list[Result]:
    """The scripted agents on the same episodes."""
    env: gym.Env[str, str] = gym.make(env_id, disable_env_checker=True, **env_args)
    results = []
    for name in agents:
        agent, description = make_agent(name), {"id": env_id, **env_args}
        for index, seed in enumerate(seeds):
            results.append(run_episode(env, name, agent, index, seed, description)[0])
    env.close()
    return results


def final_results(
    config: TrainConfig, folder: Path, sampling: RolloutSampling, seeds: Sequence[int], seed: int
) -> list[Result]:
    """Initial and kept weights of the run in `folder` and the scripted agents, on test episodes.

    Raises:
        ConfigError: the kept weights are gone.
    """
    env = config.environment.evaluation("test")
    best = checkpoint.latest(folder / "best")
    if best is None:
        raise ConfigError(f"{folder / 'best'}: expected the kept weights of the run, found none.")
    results = []
    for label in ("before", "after"):
        policy = load_policy(config.model, config.sampling.sample_tokens)
        if label == "after":
            checkpoint.load_weights(best, policy.model)
        played = evaluate_policy(
            policy, config.environment.env, env, seeds=seeds, seed=seed, sampling=sampling
        )
        results += policy_results(label, played, seeds)
    return results + play_references(config.environment.env, env, seeds=seeds)


def _result(label: str, index: int, seed: int, rollout: Rollout) -> Result:
    episode = rollout.session.episode
    return Result(
        agent=label,
        episode=index,
        seed=seed,
        episode_id=episode.episode_id,
        competency=episode.competency,
        **measured(rollout.session),
        usage={MANAGER: _usage(rollout)},
    )


def _usage(rollout: Rollout) -> dict[str, float | None]:
    drawn = [(row.prompt, row.completion) for row in rollout.steps if row.completion is not None]
    return {
        "calls": len(drawn),
        "prompt_tokens": sum(len(prompt) for prompt, _ in drawn),
        "reply_tokens": sum(len(completion.token_ids) for _, completion in drawn),
        "seconds": None,
    }
