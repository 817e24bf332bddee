"""Lock-step rollouts: all episodes of an update advance together, one generation batch per step.

A rollout is one episode under one draw of the policy; the G rollouts of a context start from the
same seed. With `local_steps=k` they are local re-rollouts: G continuations of k steps from one
memory, at steps 0, k, 2k, …, each from the state that the first continuation before it came to. All
of them together draw G·T replies, as G whole episodes do.

Each step is a row of its own: the exact prompt and completion ids with the sampler's
log-probabilities. What cannot be sampled (a prompt longer than the model's context, no reply of an
engine in time, log-probabilities that are not finite) acts as SKIP, and its row is marked failed:
it gets no advantage.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agents.learn.advantages import Advantages, RolloutRewards
from agents.model.batching import Row
from agents.model.policy import Policy
from finemem_env import backends
from finemem_env.backends.sampler import Sample, SampleOptions
from finemem_env.errors import ConfigError
from finemem_env.registration import make_rollout_env
from finemem_env.session import Session, StepResult, end_here, run_step
from finemem_env.types import Answer, Judge, JudgeRequest, Reader, ReadRequest
from finemem_env.vector import MemoryVectorEnv

SKIP = '[{"op":"SKIP"}]'


@dataclass(frozen=True, slots=True)
class StepRow:
    """One reply: `completion` is None where nothing could be sampled."""

    prompt: tuple[int, ...]
    completion: Sample | None
    text: str


@dataclass(slots=True)
class Rollout:
    """One finished episode under the policy, or k steps of it from step `start` on.

    `place`: the number of its environment, which decides what engines draw.
    """

    context: int
    session: Session
    steps: list[StepRow] = field(default_factory=list)
    start: int = 0
    place: int = 0

    @property
    def results(self) -> Sequence[StepResult]:
        """What every step of its own gave, (T,)."""
        return self.session.record.results[self.start :]

    @property
    def whole(self) -> bool:
        """Whether the episode was read to its end."""
        return self.start + len(self.steps) == len(self.session.episode.chunks)

    @property
    def graded(self) -> bool:
        """Whether it is whole and its final questions were answered: no failure of the reader."""
        return self.whole and any(self.results[-1].step_valid)

    @property
    def score(self) -> float:
        """Mean score of the final questions."""
        return float(self.results[-1].terms["global"])

    @property
    def total(self) -> float:
        """Sum of the streamed rewards of the episode, which is that of the attributed ones."""
        return math.fsum(result.reward for result in self.session.record.results)

    def rewards(self) -> RolloutRewards:
        """Both rewards of its steps; a row that was not sampled is not valid."""
        last, start = self.results[-1], self.start
        sampled = [step.completion is not None for step in self.steps]
        return RolloutRewards(
            context=self.context,
            step_rewards=last.step_rewards[start:],
            streamed=[result.reward for result in self.results],
            valid=[a and b for a, b in zip(sampled, last.step_valid[start:], strict=True)],
            start=start,
        )


@dataclass(frozen=True, slots=True)
class RolloutSampling:
    """How replies are drawn.

    Attributes:
        max_new_tokens: longest reply.
        temperature: 0 is greedy.
        instructions: put the environment's instructions into the prompt.
    """

    max_new_tokens: int
    temperature: float = 1.0
    instructions: bool = True


@dataclass(slots=True)
class RolloutClock:
    """Seconds by part."""

    sample: float = 0.0
    environment: float = 0.0
    reader: float = 0.0


class _Asked:
    """The environment's reader and judge, with the time they take: asked in place of both."""

    def __init__(self, reader: Reader, judge: Judge | None, clock: RolloutClock) -> None:
        self.version = reader.version
        self._reader, self._judge, self._clock = reader, judge, clock

    @property
    def judged(self) -> _Asked | None:
        """Itself where there is a judge."""
        return None if self._judge is None else self

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """Answer, and count the seconds."""
        with self._timed():
            return self._reader.answer(requests)

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Answer]:
        """Grade, and count the seconds."""
        assert self._judge is not None
        with self._timed():
            return self._judge.judge(requests)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._clock.reader += time.perf_counter() - start


def resolved_settings(env_id: str, env_args: dict[str, Any]) -> dict[str, object]:
    """What the environment made of its keywords: protocol, reward, memory, and so on.

    Raises:
        ConfigError: as of `make_rollout_env`.
    """
    env = make_rollout_env(env_id, env_args, 1)
    settings = env.factory.settings.as_dict()
    env.close()
    return settings


def roll_out(
    policy: Policy,
    env: MemoryVectorEnv,
    seeds: Sequence[int],
    sampling: RolloutSampling,
    seed: int,
    clock: RolloutClock | None = None,
    draws: Sequence[int] | None = None,
    local_steps: int | None = None,
) -> list[Rollout]:
    """One rollout per environment; equal seeds make a group (one context).

    With `local_steps` one per environment and k steps, in the order of the steps.

    Args:
        policy: what replies.
        env: as many episodes as there are seeds; those of one batch may differ in length.
        seeds: reset seed of every episode.
        sampling: how replies are drawn.
        seed: of all draws.
        clock: collects the seconds of sampling, environment, and reader with judge.
        draws: one seed per episode, which engines draw from; None: `seed` and its place.
        local_steps: k ≥ 1, for local re-rollouts; None plays whole episodes.

    Raises:
        ConfigError: when no prompt of the first step fits the model's context.
    """
    clock = clock or RolloutClock()
    start = time.perf_counter()
    asked = _Asked(env.factory.reader, env.factory.judge, clock)
    rollouts = _begin(env, seeds)
    clock.environment += time.perf_counter() - start
    batches = np.random.SeedSequence([seed, len(seeds)])
    own = [[seed, place] if draws is None else [draws[place]] for place in range(len(seeds))]
    live = list(rollouts)
    while live := [rollout for rollout in live if not rollout.session.terminated]:
        start, waited = time.perf_counter(), clock.reader
        instructions = env.instructions if sampling.instructions else ""
        prompts = [(instructions, rollout.session.observe()) for rollout in live]
        middle = time.perf_counter()
        batch = _Batch(
            prompts,
            [rollout.context for rollout in live],
            [seed_of([*own[run.place], run.start + len(run.steps)]) for run in live],
            seed=int(batches.spawn(1)[0].generate_state(1)[0]),
            first=len(rollouts[0].steps) == 0,
        )
        rows = _reply(policy, batch, sampling)
        sampled = time.perf_counter()
        for rollout, row in zip(live, rows, strict=True):
            rollout.steps.append(row)
        sessions, texts = [rollout.session for rollout in live], [row.text for row in rows]
        run_step(sessions, texts, asked, asked.judged)
        if len(live[0].steps) == local_steps:
            live = _restart(live, asked)
            rollouts += live
        clock.sample += sampled - middle
        busy = time.perf_counter() - start - (sampled - middle)
        clock.environment += busy - (clock.reader - waited)
    return rollouts


def _begin(env: MemoryVectorEnv, seeds: Sequence[int]) -> list[Rollout]:
    """One rollout of every episode, at its start."""
    env.reset(seed=list(seeds))
    contexts = {seed: number for number, seed in enumerate(dict.fromkeys(seeds))}
    rollouts = [
        Rollout(contexts[seed], session) for seed, session in zip(seeds, env.sessions, strict=True)
    ]
    for place, rollout in enumerate(rollouts):
        rollout.place = place
    return rollouts


def _restart(over: Sequence[Rollout], asked: _Asked) -> list[Rollout]:
    """The continuations that follow those that are over, and the ends of these.

    All of a context go on from the memory of its first: drawn like any other, so that memories are
    met as often as the policy makes them.
    """
    going = [rollout for rollout in over if not rollout.session.terminated]
    first: dict[int, Session] = {}
    for rollout in going:
        first.setdefault(rollout.context, rollout.session)
    following = [
        Rollout(
            rollout.context,
            first[rollout.context].fork(),
            start=rollout.start + len(rollout.steps),
            place=rollout.place,
        )
        for rollout in going
    ]
    ended = end_here([rollout.session for rollout in going], asked, asked.judged)
    for rollout, session in zip(going, ended, strict=True):
        rollout.session = session
    return following


def rows_of(rollouts: Sequence[Rollout], advantages: Advantages) -> list[Row]:
    """The rows of an update; rows of one (context, step) share a group, failed ones are left out.

    A row that is not valid (its reader failed) has weight 0, so it is in no denominator either.
    """
    rows = []
    for rollout, values, valid in zip(rollouts, advantages.values, advantages.valid, strict=True):
        for t, step in enumerate(rollout.steps):
            if step.completion is None:
                continue
            rows.append(
                Row(
                    prompt=step.prompt,
                    completion=step.completion.token_ids,
                    sampler_logprobs=step.completion.logprobs,
                    advantage=float(values[t]),
                    weight=float(valid[t]),
                    group=(rollout.context, rollout.start + t),
                )
            )
    return rows


def drop_draws(rollouts: Sequence[Rollout], engines: Collection[int]) -> int:
    """Mark the rows that these engines drew as failed, and return how many there were.

    What they did to their episodes stays; the other rows are right for what they saw.
    """
    dropped = 0
    for rollout in rollouts:
        for t, step in enumerate(rollout.steps):
            if step.completion is not None and step.completion.engine in engines:
                rollout.steps[t] = replace(step, completion=None)
                dropped += 1
    return dropped


@dataclass(frozen=True, slots=True)
class _Batch:
    """One step of all episodes that are not over: prompts with their groups and seeds."""

    prompts: Sequence[tuple[str, str]]
    groups: Sequence[int]
    seeds: Sequence[int]
    seed: int
    first: bool


def seed_of(words: Sequence[int]) -> int:
    """A seed that these numbers decide."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _reply(policy: Policy, batch: _Batch, sampling: RolloutSampling) -> list[StepRow]:
    """Sample one reply per prompt that fits the context; SKIP stands in for the others."""
    ids = policy.encode(batch.prompts)
    context = math.inf if policy.context is None else policy.context
    room = context - sampling.max_new_tokens
    fits = [number for number, prompt in enumerate(ids) if len(prompt) <= room]
    if not fits and batch.first:
        raise ConfigError(
            f"no prompt fits: the shortest has {min(map(len, ids))} tokens, and {room:.0f} are "
            f"left of the model's context beside max_new_tokens={sampling.max_new_tokens}. Lower "
            "max_observation_tokens, chunk_tokens or memory_budget of the environment."
        )
    samples = policy.sampler.sample(
        [ids[number] for number in fits],
        backends.Sampling(
            sampling.temperature, max_tokens=sampling.max_new_tokens, seed=batch.seed
        ),
        SampleOptions(
            groups=[batch.groups[number] for number in fits],
            seeds=[batch.seeds[number] for number in fits],
        ),
    )
    usable = [
        (number, completion)
        for number, completion in zip(fits, samples, strict=True)
        if completion is not None and all(map(math.isfinite, completion.logprobs))
    ]
    texts = policy.decode([completion.token_ids for _, completion in usable])
    rows = [StepRow(prompt, None, SKIP) for prompt in ids]
    for (number, completion), text in zip(usable, texts, strict=True):
        rows[number] = StepRow(ids[number], completion, text)
    return rows
