"""The training loop of `python -m agents.grpo`, to be read from top to bottom.

In the order of this file: roll out all episodes in step, turn rewards into advantages of single
steps, one policy-gradient update, log, evaluate, checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.learn import checkpoint
from agents.learn.advantages import compute_advantages
from agents.learn.checkpoint import Position
from agents.learn.distributed import World, clip_gradients, gathered
from agents.learn.loss import Denominators
from agents.learn.minibatches import count_tokens, split_rows
from agents.learn.rollout import (
    Clock,
    Rollout,
    Sampling,
    resolved_settings,
    roll_out,
    rows_of,
)
from agents.learn.stats import LossStats
from agents.learn.update import accumulate_gradients, count_batches
from agents.model.batching import Row
from agents.model.policy import Policy, load_policy
from agents.model.samplers import make_sampler
from agents.runs.beside import final_numbers, normalised, reference_lines
from agents.runs.config import TrainConfig
from agents.runs.evaluation import (
    EVAL_SEED,
    FINAL_SEED,
    HeldOut,
    evaluate_policy,
    final_results,
    write_samples,
)
from agents.runs.samples import histograms, sample
from agents.runs.tracking import Tracker, reward_metrics, rollout_metrics, time_metrics
from baselines.tables.summary import render_table, summarise
from finemem_env.errors import ConfigError, FineMemError
from finemem_env.registration import make_rollout_env

__all__ = ["Interrupted", "Run", "TrainingError"]


class TrainingError(FineMemError):
    """Training cannot go on: a loss or gradient that is not finite."""


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """SIGTERM or SIGINT came; the checkpoint is written."""


@dataclass
class Run:
    """One run: what is trained, where it is written, and how far it is."""

    config: TrainConfig
    folder: Path
    world: World
    policy: Policy
    scorer: nn.Module
    optimizer: torch.optim.Optimizer
    position: Position
    tracker: Tracker | None
    held_out: HeldOut
    stop: Callable[[], bool] = lambda: False

    @classmethod
    def start(cls, config: TrainConfig, folder: Path, *, resume: bool, world: World) -> Run:
        """Load the model, and the last checkpoint when resuming.

        Raises:
            ConfigError: a folder that is in use, or holds a run with other settings.
        """
        checkpoints = folder / "checkpoints"
        last = checkpoint.latest(checkpoints)
        if last is not None and not resume:
            raise ConfigError(f"{folder} holds a run: add --resume, or choose another folder.")
        resolved = resolved_settings(*_environment(config))
        episodes = HeldOut.of(config)  # refuses more than there are before anything is written
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.run.seed)
        policy = load_policy(config.model, config.sampling.sample_tokens)
        if config.loss.beta:
            policy.freeze_reference()
        scorer = world.wrap(policy.scorer(config.sampling.temperature), shard=config.run.shard)
        weights = [p for p in scorer.parameters() if p.requires_grad]
        adam = config.optimizer
        optimizer = torch.optim.AdamW(
            weights, adam.lr, betas=(0.9, adam.adam_beta2), weight_decay=adam.weight_decay
        )
        position = Position()
        if last is not None:
            position = checkpoint.load(last, policy.model, optimizer, config.digest())
        policy.sampler = make_sampler(policy, config.sampler_setup(folder / "sampler", world.size))
        tracker = None
        if world.main:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(config.as_dict(), indent=2)
            checkpoint.write_text(folder / "config.json", text + "\n")
            checkpoint.write_text(
                folder / "environment.json", json.dumps(resolved, indent=2) + "\n"
            )
            first = position.update if last is not None else -1
            tracker = Tracker(folder, config.as_dict(), first=first, wandb=config.run.track)
        return cls(config, folder, world, policy, scorer, optimizer, position, tracker, episodes)

    # the loop

    def train(self, progress: Callable[[dict[str, float]], None] = lambda values: None) -> None:
        """All updates that are left.

        Raises:
            Interrupted: a signal came; the update in progress is finished and saved.
            TrainingError: loss or gradient are not finite.
        """
        config, position = self.config, self.position
        if position.best_update < 0:
            self._evaluate()
            self._save()
        while position.update < config.optimizer.updates:
            values = self.update(position.update)
            position.update += 1
            last = position.update == config.optimizer.updates
            every = config.evaluation.eval_every
            if last or (every and position.update % every == 0):
                values |= self._evaluate()
            if self.tracker is not None:
                self.tracker.log(position.update, values)
            stopped = self.world.any(self.stop())
            if last or stopped or position.update % config.run.save_every == 0:
                self._save()
            progress(values)
            if stopped and not last:
                raise Interrupted

    def update(self, number: int) -> dict[str, float]:
        """One update: rollouts, advantages, optimizer steps. Returns what to log."""
        config, clock, start = self.config, Clock(), time.perf_counter()
        rollouts = self._roll_out(number, clock)
        rolled = time.perf_counter()
        advantages = compute_advantages(
            [rollout.rewards() for rollout in rollouts],
            config.estimator,
            self.world.add_variance,
        )
        rows = rows_of(rollouts, advantages)
        if self.tracker is not None:
            self.tracker.histograms(number + 1, histograms(rollouts, advantages))
        stats, norm = self._optimise(rows, number)
        optimised = time.perf_counter()
        synced = self.policy.sampler.refresh()
        end = time.perf_counter()
        return {
            **rollout_metrics(rollouts),
            **reward_metrics(rollouts, advantages),
            **{f"train/{key}": value for key, value in self._train_values(stats).items()},
            "train/grad_norm": norm,
            "train/lr": config.optimizer.rate(number),
            **synced,
            **time_metrics(
                clock, optimised - rolled, end - start, sum(len(row.completion) for row in rows)
            ),
        }

    def _roll_out(self, number: int, clock: Clock) -> list[Rollout]:
        """G rollouts of each of this process's contexts; functions of (seed, number, process)."""
        config, world = self.config, self.world
        share = [
            context
            for context in range(config.sampling.contexts)
            if context % world.size == world.rank
        ]
        if not share:
            raise ConfigError(
                f"contexts: expected at least one for each of {world.size} processes."
            )
        seeds = [
            int(np.random.SeedSequence([config.run.seed, number, context]).generate_state(1)[0])
            for context in share
            for _ in range(config.sampling.group_size)
        ]
        env = make_rollout_env(*_environment(config, number), len(seeds))
        draws = int(
            np.random.SeedSequence([config.run.seed, number, world.rank, 7]).generate_state(1)[0]
        )
        sampling = self._sampling(config.sampling.temperature)
        local = config.sampling.local_steps if config.sampling.compare == "state" else None
        with gathered(self.scorer):
            return roll_out(self.policy, env, seeds, sampling, draws, clock, local)

    def _optimise(self, rows: Sequence[Row], number: int) -> tuple[LossStats, float]:
        """The optimizer steps on one rollout batch; the gradient norm is their mean."""
        config, world, adam = self.config, self.world, self.config.optimizer
        for group in self.optimizer.param_groups:
            group["lr"] = adam.rate(number)
        parts = split_rows(rows, adam.optimizer_steps, seed=[config.run.seed, number, world.rank])
        tokens = world.add_pair((float(count_tokens(rows)), 0.0))[0]
        total: LossStats | None = None
        norms = []
        old = [self._old(part) if len(parts) > 1 else None for part in parts]
        for part, before in zip(parts, old, strict=True):
            counts = Denominators.of(
                [len(row.completion) for row in part],
                [row.weight for row in part],
                max_completion_length=config.sampling.max_new_tokens,
                window_tokens=tokens / len(parts),
                processes=world.size,
                reduce=world.add_pair,
            )
            self.optimizer.zero_grad()
            stats = accumulate_gradients(
                self.scorer,
                part,
                config.loss,
                counts,
                max_tokens=adam.micro_tokens,
                old=before,
                reference=self._reference(part),
                share=self.policy.shares_prefixes,
                batches=self._batches(part),
            )
            norms.append(self._step(stats, number))
            total = stats if total is None else total + stats
        assert total is not None
        return total, sum(norms) / len(norms)

    def _step(self, stats: LossStats, number: int) -> float:
        """Clip and step; refuses a loss or gradient that is not finite."""
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = clip_gradients(weights, self.config.optimizer.max_grad_norm)
        value = stats.means()["loss"]
        if not (math.isfinite(norm) and math.isfinite(value)):
            raise TrainingError(
                f"update {number + 1}: loss {value}, gradient norm {norm}. The weights were not "
                "changed; lower lr, or look at train/importance_raw_max and train/ratio_max. The "
                f"last checkpoint is in {self.folder / 'checkpoints'}."
            )
        self.optimizer.step()
        return norm

    # parts of an update

    def _batches(self, part: Sequence[Row]) -> int:
        """Micro-batches that every process must run."""
        count = count_batches(
            part, self.config.optimizer.micro_tokens, share=self.policy.shares_prefixes
        )
        return int(self.world.largest(torch.tensor(float(count))).item())

    def _old(self, part: Sequence[Row]) -> list[tuple[float, ...]]:
        return self.policy.old_logprobs(part, **self._scoring())

    def _reference(self, part: Sequence[Row]) -> list[tuple[float, ...]] | None:
        if not self.config.loss.beta:
            return None
        return self.policy.reference_logprobs(part, **self._scoring())

    def _scoring(self) -> dict[str, Any]:
        config = self.config
        return {
            "max_tokens": config.optimizer.micro_tokens,
            "temperature": config.sampling.temperature,
        }

    def _train_values(self, stats: LossStats) -> dict[str, float]:
        """Means over processes, without what this configuration does not measure."""
        means = stats.reduced(self.world.add, self.world.largest).means()
        off, loss = set(), self.config.loss
        if not loss.beta:
            off.add("kl")
        if loss.delta is None:
            off.add("clip_delta")
        if loss.importance_cap is None:
            off |= {key for key in means if key.startswith("importance")}
        return {key: value for key, value in means.items() if key not in off}

    def _sampling(self, temperature: float) -> Sampling:
        sampling = self.config.sampling
        return Sampling(sampling.max_new_tokens, temperature, sampling.instructions)

    # evaluation, checkpoints, the end

    def _evaluate(self) -> dict[str, float]:
        """Score held-out episodes in the main process; the best weights so far are kept."""
        with gathered(self.scorer):
            return self._score() if self.world.main else {}

    def _score(self) -> dict[str, float]:
        config, position = self.config.evaluation, self.position
        environment = self.config.environment
        env_args, seeds = environment.evaluation(config.eval_split), self.held_out.validation
        rollouts = evaluate_policy(
            self.policy,
            environment.env,
            env_args,
            seeds=seeds,
            seed=EVAL_SEED,
            sampling=self._sampling(config.eval_temperature),
        )
        write_samples(self.folder, position.update, rollouts, environment.env, env_args, seeds)
        values = rollout_metrics(rollouts, "eval")
        if values["eval/score"] > position.best_score:
            position.best_score, position.best_update = values["eval/score"], position.update
            record = {"update": position.update, **values}
            best = self.folder / "best"
            checkpoint.save_weights(best / f"{position.update:06d}", self.policy.model, record)
            checkpoint.prune(best, 1)
        values["eval/best_score"] = position.best_score
        if config.references:
            lines = reference_lines(self.folder, environment.env, env_args, seeds)
            values |= normalised(values["eval/score"], lines)
        if self.tracker is not None:
            self.tracker.sample(position.update, *sample(rollouts[0]))
            if config.references:
                self.tracker.beside(lines, self.config.optimizer.updates)
            if position.update == 0:
                self.tracker.log(0, values)
        return values

    def _save(self) -> None:
        checkpoint.save(
            self.folder / "checkpoints",
            self.policy.model,
            self.optimizer,
            self.position,
            self.config.digest(),
            write=self.world.main,
        )

    def finish(self) -> str:
        """Close the logs and return the final table: before, after (the best), and references."""
        config = self.config
        table, final = "", {"eval/best_score": self.position.best_score}
        if self.held_out.final and self.world.main:
            sampling = self._sampling(config.evaluation.eval_temperature)
            results = final_results(config, self.folder, sampling, self.held_out.final, FINAL_SEED)
            rows = summarise(results)
            table = render_table(rows)
            record = [row.as_dict() for row in rows]
            checkpoint.write_text(self.folder / "final.json", json.dumps(record, indent=2) + "\n")
            checkpoint.write_text(self.folder / "final.txt", table + "\n")
            final |= final_numbers(rows)
        self.close(final)
        return table

    def close(self, final: Mapping[str, float] | None = None) -> None:
        """Close the logs, with the final numbers of a run that got there."""
        if self.tracker is not None:
            self.tracker.close(final or {})


def _environment(config: TrainConfig, update: int | None = None) -> tuple[str, dict[str, Any]]:
    """Id and keywords of the training environment, in one update where that matters."""
    return config.environment.env, config.environment.training(update)
