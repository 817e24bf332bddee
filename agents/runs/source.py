"""The rollouts of a run's updates, drawn when they are asked for or one update ahead."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from torch import nn

from agents.learn.distributed import World, gathered
from agents.learn.engines import Engines
from agents.learn.rollout import (
    Rollout,
    RolloutClock,
    RolloutSampling,
    drop_draws,
    roll_out,
    seed_of,
)
from agents.model.policy import Policy
from agents.runs.config import TrainConfig
from finemem_env.errors import ConfigError
from finemem_env.registration import make_rollout_env


@dataclass(slots=True)
class Batch:
    """This process's rollouts of one update; `wait`: seconds that the update stood still for them.

    Without overlap that is all the time they took.
    """

    number: int
    rollouts: list[Rollout]
    clock: RolloutClock
    wait: float = 0.0


@dataclass(slots=True)
class RolloutSource:
    """Plays G rollouts of each of this process's contexts.

    Episodes are functions of (seed, update, context), and so are an engine's draws: with engines,
    the rollouts of all processes together do not depend on how many there are.
    """

    config: TrainConfig
    world: World
    policy: Policy
    scorer: nn.Module
    engines: Engines | None
    _pool: ThreadPoolExecutor | None = None
    _coming: Future[Batch] | None = None
    _ready: dict[int, Batch] = field(default_factory=dict)

    def take(self, number: int) -> Batch:
        """The rollouts of an update; every process calls this.

        Raises:
            ConfigError: no prompt that fits.
            BackendError: no engine replies.
        """
        start = time.perf_counter()
        batch = self._ready.pop(number, None)
        if batch is None:
            with self.world.agreed():
                batch = self._play(number)
            self._settle(batch)
            batch.wait = time.perf_counter() - start
        return batch

    def begin(self, number: int) -> None:
        """With overlap, draw the rollouts of update `number` in a thread of their own.

        Until `finish` only tensors may be computed: sessions share caches of texts.
        """
        if self.config.sampling.overlap and number < self.config.optimizer.updates:
            self._pool = self._pool or ThreadPoolExecutor(1)
            self._coming = self._pool.submit(self._play, number)

    def finish(self) -> None:
        """Wait for what was begun, before engines get other weights; every process calls this."""
        if self._coming is None:
            return
        start = time.perf_counter()
        with self.world.agreed():
            batch = self._coming.result()
        self._coming = None
        self._settle(batch)
        batch.wait = time.perf_counter() - start
        self._ready = {batch.number: batch}

    def _settle(self, batch: Batch) -> None:
        if self.engines is not None and (lost := self.engines.settle()):
            drop_draws(batch.rollouts, lost)

    def _play(self, number: int) -> Batch:
        config, world = self.config, self.world
        share = [
            context
            for context in range(config.sampling.contexts)
            if context % world.size == world.rank
        ]
        group = range(config.sampling.group_size)
        base = [config.run.seed, number]
        seeds = [_episode_seed(config, number, context) for context in share for _ in group]
        env = make_rollout_env(
            config.environment.env, config.environment.training(number), len(seeds)
        )
        clock = RolloutClock()
        local = config.sampling.local_steps if config.sampling.compare == "state" else None
        # The trainer's own model needs all its weights to draw; engines have theirs.
        with gathered(self.scorer) if self.engines is None else nullcontext():
            rollouts = roll_out(
                self.policy,
                env,
                seeds,
                sampling_of(config, config.sampling.temperature),
                seed_of([*base, world.rank, 7]),
                clock,
                [seed_of([*base, context, place, 11]) for context in share for place in group],
                local,
            )
        return Batch(number, rollouts, clock)


def check_curriculum(config: TrainConfig) -> None:
    """Refuse a length that the source does not have now, not when its stage begins.

    A source may find out only when it fills an episode, so those of the stage's first update are
    made.

    Raises:
        ConfigError: there is no such length, or no text for it.
    """
    environment, contexts = config.environment, range(config.sampling.contexts)
    for update in environment.stages:
        try:
            env = make_rollout_env(environment.env, environment.training(update), len(contexts))
            env.reset(seed=[_episode_seed(config, update, context) for context in contexts])
        except ConfigError as error:
            raise ConfigError(f"curriculum: {error}") from error
        env.close()


def _episode_seed(config: TrainConfig, update: int, context: int) -> int:
    return seed_of([config.run.seed, update, context])


def sampling_of(config: TrainConfig, temperature: float) -> RolloutSampling:
    """How replies are drawn at a temperature."""
    sampling = config.sampling
    return RolloutSampling(sampling.max_new_tokens, temperature, sampling.instructions)
