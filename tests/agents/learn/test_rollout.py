"""Rollouts of the packaged model: what is trained on is what was sampled and what the env saw."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.learn.advantages import Estimator, compute_advantages
from agents.learn.rollout import RolloutClock, RolloutSampling, drop_draws, roll_out, rows_of
from agents.model.policy import Policy, load_policy
from agents.runs.config import PRESETS, TrainConfig
from agents.runs.metrics import Sums, means, reward_sums, rollout_sums, time_sums
from finemem_env import MemoryEnv
from finemem_env.data.registry import load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.registration import make_rollout_env
from finemem_env.session import end_here
from finemem_env.types import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agents.learn.rollout import Rollout
    from finemem_env.backends import Sampling as BackendSampling
    from finemem_env.backends.sampler import Sample, SampleOptions, TokenRows
    from finemem_env.types import JudgeRequest, ReadRequest

ENV = "FineMem-AR-v0"
ARGS: dict[str, Any] = {**PRESETS["cpu"]["env_args"], "num_chunks": 3}
SAMPLING = RolloutSampling(max_new_tokens=100, instructions=False)
CUT = RolloutSampling(max_new_tokens=12, instructions=False)  # where no reply needs to be whole


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(TrainConfig(**PRESETS["cpu"]).model)


@pytest.fixture(scope="module")
def rollouts(policy: Policy) -> list[Rollout]:
    env = make_rollout_env(ENV, ARGS, 6)
    return roll_out(policy, env, [5, 5, 5, 8, 8, 8], SAMPLING, seed=1)


def test_a_group_starts_alike_and_differs_by_its_draws(rollouts: list[Rollout]) -> None:
    assert [one.context for one in rollouts] == [0, 0, 0, 1, 1, 1]
    first = {one.steps[0].prompt for one in rollouts[:3]}
    assert len(first) == 1
    assert first != {rollouts[3].steps[0].prompt}
    assert len({one.steps[0].text for one in rollouts[:3]}) > 1


def test_rows_hold_the_sampled_ids_of_the_text_that_acted(
    policy: Policy, rollouts: list[Rollout]
) -> None:
    for rollout in rollouts:
        for step, action in zip(rollout.steps, rollout.session.record.actions, strict=True):
            assert step.completion is not None
            assert policy.decode([step.completion.token_ids]) == [action]


def test_the_plain_environment_gives_the_same_rewards(rollouts: list[Rollout]) -> None:
    env = gym.make(ENV, disable_env_checker=True, **ARGS)
    for rollout, seed in zip(rollouts, [5, 5, 5, 8, 8, 8], strict=True):
        env.reset(seed=seed)
        rewards: list[float] = []
        info: dict[str, Any] = {}
        for step in rollout.steps:
            _, reward, _, _, info = env.step(step.text)
            rewards.append(float(reward))
        assert rewards == list(rollout.rewards().streamed)
        assert info["step_rewards"] == tuple(rollout.rewards().step_rewards)


def test_every_row_gets_its_own_advantage(rollouts: list[Rollout]) -> None:
    found = compute_advantages([one.rewards() for one in rollouts], Estimator())
    rows = rows_of(rollouts, found)
    assert [row.advantage for row in rows] == [float(v) for vs in found.values for v in vs]
    assert rows[4].group == (0, 1)
    assert all(row.weight == 1.0 for row in rows)


def test_a_seed_gives_the_same_rollouts(policy: Policy, rollouts: list[Rollout]) -> None:
    env = make_rollout_env(ENV, ARGS, 6)
    again = roll_out(policy, env, [5, 5, 5, 8, 8, 8], SAMPLING, seed=1)
    assert [one.steps for one in again] == [one.steps for one in rollouts]


@pytest.fixture(scope="module")
def local(policy: Policy) -> list[Rollout]:
    env = make_rollout_env(ENV, ARGS, 4)
    return roll_out(policy, env, [5, 5, 8, 8], SAMPLING, seed=1, local_steps=2)


def test_continuations_start_from_one_memory_and_cost_as_many_replies(
    local: list[Rollout],
) -> None:
    assert [(one.context, one.start) for one in local] == [
        *((context, 0) for context in (0, 0, 1, 1)),
        *((context, 2) for context in (0, 0, 1, 1)),
    ]
    assert [one.whole for one in local] == [False] * 4 + [True] * 4
    assert sum(len(one.steps) for one in local) == 4 * 3
    for number in (4, 6):
        one, two = local[number : number + 2]
        assert one.steps[0].prompt == two.steps[0].prompt
        assert one.session.memory is not two.session.memory
    found = means([rollout_sums(local)])
    assert found["rollout/replies"] == 12
    assert found["rollout/chunks"] == 3
    assert found["rollout/score"] == pytest.approx(np.mean([one.score for one in local[4:]]))


def test_the_plain_environment_gives_the_rewards_of_continuations(local: list[Rollout]) -> None:
    env = gym.make(ENV, disable_env_checker=True, **ARGS).unwrapped
    assert isinstance(env, MemoryEnv)
    for first, seed in ((0, 5), (2, 8)):
        env.reset(seed=seed)
        shared = env
        for rollout in (*local[first : first + 2], *local[first + 4 : first + 6]):
            branch = shared.fork()
            for step in rollout.steps:
                branch.step(step.text)
            (ended,) = end_here([branch.session], branch.factory.reader)
            found, results = rollout.rewards(), ended.record.results
            assert found.step_rewards == results[-1].step_rewards[rollout.start :]
            assert found.streamed == [one.reward for one in results[rollout.start :]]
            if rollout is local[first]:
                following = branch
            elif rollout is local[first + 1]:
                shared = following


class _Away:
    """A reader that gives no answers."""

    version = "away/1"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        return [Answer("", failed=True) for _ in requests]


def test_an_episode_whose_reader_failed_has_no_score(
    policy: Policy, rollouts: list[Rollout]
) -> None:
    env = make_rollout_env(ENV, {**ARGS, "reader": _Away()}, 1)
    failed = roll_out(policy, env, [5], CUT, seed=1)
    advantages = compute_advantages([one.rewards() for one in failed], Estimator())
    every = [*rollouts, *failed]
    both = means([rollout_sums(every) | reward_sums(every, advantages)])
    expected = pytest.approx(np.mean([one.score for one in rollouts]))
    assert both["rollout/score"] == expected
    assert both["reward/global"] == expected
    assert both["rollout/return"] == pytest.approx(np.mean([one.total for one in rollouts]))
    alone = means([rollout_sums(failed, "eval") | reward_sums(failed, advantages)])
    assert not {"eval/score", "eval/return", "reward/global"} & set(alone)
    assert alone["eval/memory_tokens"] >= 0


class _Judge:
    """Finds everything right, and counts."""

    version, calls = "right/1", 0

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Answer]:
        self.calls += len(requests)
        return [Answer("yes") for _ in requests]


@pytest.mark.parametrize("local_steps", [None, 1])
def test_the_judge_of_the_environment_grades(
    policy: Policy, tmp_path: Path, local_steps: int | None
) -> None:
    episode = load_source("synthetic_ar", SourceConfig(num_chunks=2)).episode(0)
    asked = [dataclasses.replace(one, metric="judge") for one in episode.questions]
    path = tmp_path / "judged.jsonl"
    write_episodes(path, [dataclasses.replace(episode, questions=tuple(asked))])
    judge, clock = _Judge(), RolloutClock()
    env = make_rollout_env(ENV, {"source": str(path), "judge": judge}, 2)
    # An end of continuations asks what has been read, the last of them everything.
    roll_out(policy, env, [5, 5], CUT, seed=1, clock=clock, local_steps=local_steps)
    assert judge.calls > 2 * len(asked) if local_steps else judge.calls == 2 * len(asked)
    assert clock.reader > 0


def test_rows_of_continuations_are_grouped_by_memory_and_step(local: list[Rollout]) -> None:
    advantages = compute_advantages([one.rewards() for one in local], Estimator())
    rows = rows_of(local, advantages)
    assert [row.group for row in rows[8:]] == [(0, 2), (0, 2), (1, 2), (1, 2)]


def test_a_prompt_beyond_the_context_is_a_failed_row(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = sorted({len(p) for p in _first_prompts(policy)})
    monkeypatch.setattr(Policy, "context", lengths[0] + CUT.max_new_tokens)
    rollouts = roll_out(policy, make_rollout_env(ENV, ARGS, 4), [1, 1, 2, 3], CUT, seed=0)
    failed = [[step.completion is None for step in one.steps] for one in rollouts]
    assert any(map(any, failed))
    for rollout, flags in zip(rollouts, failed, strict=True):
        rewards = rollout.rewards()
        assert [not valid for valid in rewards.valid] == flags
    found = compute_advantages([one.rewards() for one in rollouts], Estimator())
    assert len(rows_of(rollouts, found)) == sum(not flag for flags in failed for flag in flags)
    for values, flags in zip(found.values, failed, strict=True):
        assert not np.any(values[np.array(flags)])


def test_no_prompt_that_fits_is_one_clear_error(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Policy, "context", 120)
    with pytest.raises(ConfigError, match="no prompt fits"):
        roll_out(policy, make_rollout_env(ENV, ARGS, 2), [1, 1], SAMPLING, seed=0)


def test_a_step_without_replies_has_no_texts(policy: Policy) -> None:
    assert policy.decode([]) == []


@pytest.mark.parametrize("fault", ["not finite", "no reply"])
def test_a_fault_of_the_sampler_fails_the_row(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    draw = policy.sampler.sample

    def broken(
        prompts: TokenRows, sampling: BackendSampling, options: SampleOptions
    ) -> list[Sample | None]:
        first, *rest = draw(prompts, sampling, options)
        assert first is not None
        nan = dataclasses.replace(first, logprobs=(float("nan"),) * len(first.token_ids))
        return [nan if fault == "not finite" else None, *rest]

    monkeypatch.setattr(policy.sampler, "sample", broken)
    rollouts = roll_out(policy, make_rollout_env(ENV, ARGS, 2), [1, 1], CUT, seed=0)
    assert rollouts[0].rewards().valid == [False] * 3
    assert rollouts[1].rewards().valid == [True] * 3


def test_metrics_of_two_processes_are_those_of_all_rollouts(
    rollouts: list[Rollout],
) -> None:
    def sums(part: list[Rollout]) -> Sums:
        found = compute_advantages([one.rewards() for one in part], Estimator())
        clock = RolloutClock(sample=2.0, environment=1.0, reader=0.5)
        seconds = {"update": 4.0, "total": 7.0, "wait": 2.0}
        return rollout_sums(part) | reward_sums(part, found) | time_sums(clock, seconds, 100)

    one, two = means([sums(rollouts)]), means([sums(rollouts[:3]), sums(rollouts[3:])])
    alike = [key for key in one if not key.startswith("time/") and key != "reward/spread"]
    assert len(alike) > 15
    assert one.keys() == two.keys()
    for key in alike:
        assert two[key] == pytest.approx(one[key], abs=1e-12), key
    assert (two["time/sample"], two["time/sample_tokens_per_second"]) == (2.0, 100.0)
    assert two["rollout/chunks"] == 3.0
    assert not any(two[key] == 0 for key in two if key.startswith("rollout/rejects/"))


def test_what_a_lost_engine_drew_is_no_row(rollouts: list[Rollout]) -> None:
    one, other = (dataclasses.replace(rollout, steps=[*rollout.steps]) for rollout in rollouts[:2])
    for t, step in enumerate(one.steps):
        assert step.completion is not None
        drawn = dataclasses.replace(step.completion, engine=t % 2)
        one.steps[t] = dataclasses.replace(step, completion=drawn)
    assert drop_draws([one, other], {1}) == 1
    assert one.rewards().valid == [True, False, True]
    assert other.rewards().valid == [True] * 3


def test_time_is_counted_by_part(policy: Policy) -> None:
    clock = RolloutClock()
    roll_out(policy, make_rollout_env(ENV, ARGS, 2), [1, 1], CUT, seed=0, clock=clock)
    assert clock.sample > 0
    assert clock.environment > 0
    assert clock.reader > 0


def test_another_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match="FineMem-AR-v0"):
        make_rollout_env("CartPole-v1", {}, 2)
    with pytest.raises(ConfigError, match="FineMem-AR-v0"):
        make_rollout_env("FineMem-XX-v0", {}, 2)


def test_an_id_of_ones_own_is_played() -> None:
    name = "MineOfRollouts-v0"
    gym.register(
        name,
        entry_point="finemem_env.registration:make_env",
        vector_entry_point="finemem_env.registration:make_vector_env",
        kwargs={"env_id": ENV, "num_chunks": 2},
    )
    try:
        assert make_rollout_env(name, {}, 2).num_envs == 2
        with pytest.raises(ConfigError, match="memory_budge"):
            make_rollout_env(name, {"memory_budge": 1}, 2)
    finally:
        del gym.registry[name]


def _first_prompts(policy: Policy) -> list[tuple[int, ...]]:
    env = make_rollout_env(ENV, ARGS, 3)
    observations, _ = env.reset(seed=[1, 2, 3])
    return policy.encode([("", one) for one in observations])
