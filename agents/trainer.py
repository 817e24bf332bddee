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

import torch
from torch import nn

from agents.learn import checkpoint
from agents.learn.advantages import compute_advantages
from agents.learn.checkpoint import Position
from agents.learn.distributed import World, all_finite, clip_gradients, gathered, is_sharded
from agents.learn.loss import Denominators
from agents.learn.minibatches import count_tokens, split_rows
from agents.learn.optimizer import make_optimizer
from agents.learn.rollout import resolved_settings, rows_of
from agents.learn.samplers import make_engines
from agents.learn.stats import LossStats
from agents.learn.update import Table, TrainingError, accumulate_gradients, count_batches
from agents.model.allocator import keep_memory
from agents.model.batching import Row
from agents.model.policy import Policy, load_policy
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
from agents.runs.kept import drop_later, drop_unnamed, last_checkpoint, restore, save_best
from agents.runs.metrics import means, reward_sums, rollout_sums, time_sums
from agents.runs.samples import histograms, joined, sample
from agents.runs.source import RolloutSource, check_curriculum, sampling_of
from agents.runs.tracking import Tracker
from agents.runs.unreached import write_unreached
from baselines.tables.summary import render_table, summarise
from finemem_env.disk import write_whole
from finemem_env.errors import BackendError, ConfigError

__all__ = ["Interrupted", "Run", "TrainingError"]


_IDLE = 5  # updates in a row without a token to learn from that end a run


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
    source: RolloutSource
    stop: Callable[[], bool] = lambda: False

    @classmethod
    def start(cls, config: TrainConfig, folder: Path, *, resume: bool, world: World) -> Run:
        """Load the model, and the last checkpoint when resuming.

        Raises:
            ConfigError: a folder that is in use, or holds a run with other settings; fewer contexts
                than processes, or a length of the curriculum that the source does not have.
        """
        if config.sampling.contexts < world.size:
            raise ConfigError(
                f"contexts: expected at least one for each of {world.size} processes, got "
                f"{config.sampling.contexts}."
            )
        last = last_checkpoint(folder, resume=resume)
        if len(set(world.gather(last and last.name))) > 1:
            raise ConfigError(
                f"not every process sees the same checkpoints in {folder}: a run on several "
                "machines needs an --output-dir that all of them share."
            )
        check_curriculum(config)
        resolved = resolved_settings(config.environment.env, config.environment.training())
        episodes = HeldOut.of(config)  # refuses more than there are before anything is written
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        keep_memory()
        torch.manual_seed(config.run.seed)
        policy = load_policy(config.model, config.sampling.sample_tokens)
        if config.loss.beta:
            policy.freeze_reference()
        scorer = world.wrap(policy.scorer(config.sampling.temperature), shard=config.run.shard)
        optimizer = make_optimizer(scorer, config.optimizer)
        position = Position() if last is None else restore(config, last, policy.model, optimizer)
        precision = config.model.precision
        engines = make_engines(policy, config.sampling, precision, folder / "sampler", world)
        if engines is not None:
            policy.sampler = engines
            engines.refresh(scorer)
            engines.compare_draws(config.sampling.temperature, scorer)
        source = RolloutSource(config, world, policy, scorer, engines)
        tracker = None
        if world.main:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(config.as_dict(), indent=2)
            write_whole(folder / "config.json", text + "\n")
            write_whole(folder / "environment.json", json.dumps(resolved, indent=2) + "\n")
            write_unreached(config, folder)
            first = position.update if last is not None else -1
            drop_later(folder, position)
            tracker = Tracker(folder, config.as_dict(), first=first, wandb=config.run.track)
        return cls(
            config, folder, world, policy, scorer, optimizer, position, tracker, episodes, source
        )

    # the loop

    def train(self, progress: Callable[[dict[str, float]], None] = lambda values: None) -> None:
        """All updates that are left.

        Raises:
            Interrupted: a signal came; the update in progress is finished and saved.
            TrainingError: loss or gradient are not finite, or updates in a row lack rows.
            BackendError: no engine is left; the updates that were done are saved.
        """
        position, updates = self.position, self.config.optimizer.updates
        if position.best_update < 0:
            self._evaluate()
            self._save()
        elif self._owed():  # nobody replied or read when it was due, or the run ends here now
            self._log(self._evaluate())
            self._save()
        idle = 0
        while position.update < updates:
            values = dict[str, float]()
            try:
                values |= self.update(position.update)
                position.update += 1
                self._hand_over(values)
                if self._owed():
                    values |= self._evaluate()
            except BackendError:  # what was trained is right, whatever became of the engines
                self._log(values)
                if not is_sharded(self.scorer):  # every process would have to hand over its part
                    self._save()
                raise
            self._log(values)
            last, stopped = position.update == updates, self.world.any(self.stop())
            if last or stopped or position.update % self.config.run.save_every == 0:
                self._save()
            progress(values)
            if stopped and not last:
                raise Interrupted
            idle = 0 if values["train/tokens"] else idle + 1
            if idle == _IDLE:
                self._save()
                raise TrainingError(
                    f"all rows of the last {idle} updates failed: nothing was learned, and the "
                    "warnings say why. Go on with --resume when that is mended."
                )

    def _owed(self) -> bool:
        """Whether the evaluation is due that belongs to the updates so far."""
        done, every = self.position.update, self.config.evaluation.eval_every
        due = done >= self.config.optimizer.updates or (every > 0 and done % every == 0)
        return due and self.position.evaluated < done

    def _log(self, values: Mapping[str, float]) -> None:
        if self.tracker is not None and values:
            self.tracker.log(self.position.update, values)

    def update(self, number: int) -> dict[str, float]:
        """One update: rollouts, advantages, optimizer steps. Returns what to log."""
        start = time.perf_counter()
        batch = self.source.take(number)
        rolled = time.perf_counter()
        advantages = compute_advantages(
            [rollout.rewards() for rollout in batch.rollouts],
            self.config.estimator,
            self.world.add_pair,
        )
        rows = rows_of(batch.rollouts, advantages)
        shown = self.world.gather(histograms(batch.rollouts, advantages))
        if self.tracker is not None:
            self.tracker.histograms(number + 1, joined(shown))
        sums = rollout_sums(batch.rollouts) | reward_sums(batch.rollouts, advantages)
        self.source.begin(number + 1)
        stats, norm = self._optimise(rows, number)
        end = time.perf_counter()
        seconds = {"update": end - rolled, "total": end - start, "wait": batch.wait}
        sums |= time_sums(batch.clock, seconds, sum(len(row.completion) for row in rows))
        return {
            **means(self.world.gather(sums)),
            **{f"train/{key}": value for key, value in self._train_values(stats).items()},
            "train/grad_norm": norm,
            "train/lr": self.config.optimizer.rate(number),
        }

    def _hand_over(self, values: dict[str, float]) -> None:
        """Give the new weights to the engines, which first end what they draw ahead."""
        start = time.perf_counter()
        self.source.finish()
        if self.source.engines is not None:
            values |= self.source.engines.refresh(self.scorer)
        values["time/total"] += time.perf_counter() - start

    def _optimise(self, rows: Sequence[Row], number: int) -> tuple[LossStats, float]:
        """The optimizer steps on one rollout batch; the gradient norm is their mean."""
        config, world, adam = self.config, self.world, self.config.optimizer
        for group in self.optimizer.param_groups:
            group["lr"] = adam.rate(number)
        most = int(world.largest(torch.tensor(float(len({row.group for row in rows})))))
        steps = min(adam.optimizer_steps, max(1, most))  # each has rows, of some process at least
        parts = split_rows(rows, steps, seed=[config.run.seed, number, world.rank])
        tokens = world.add_pair((float(count_tokens(rows)), 0.0))[0]
        total: LossStats | None = None
        norms = []
        old: list[Table | None] = [None] * len(parts)
        if len(parts) > 1:
            with gathered(self.scorer):  # processes need not score as many batches
                old = [self.policy.old_logprobs(part, **self._scoring()) for part in parts]
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
                micro_tokens=adam.micro_tokens,
                old=before,
                reference=self._reference(part),
                share=self.policy.shares_prefixes,
                batches=self._batches(part),
            )
            norms.append(self._step(stats, number, counts))
            total = stats if total is None else total + stats
        assert total is not None
        return total, sum(norms) / len(norms)

    def _step(self, stats: LossStats, number: int, counts: Denominators) -> float:
        """Clip and step; refuses a loss, gradient or weights that are not finite."""
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = clip_gradients(weights, self.config.optimizer.max_grad_norm)
        value = stats.means()["loss"]
        if not (math.isfinite(norm) and math.isfinite(value)):
            raise self._broken(number, f"loss {value}, gradient norm {norm}")
        if counts.tokens:  # where there is nothing to learn from, AdamW would drift on
            self.optimizer.step()
            if self.world.any(not all_finite(weights)):
                raise self._broken(number, "a weight that is not finite")
        return norm

    def _broken(self, number: int, what: str) -> TrainingError:
        return TrainingError(
            f"update {number + 1}: {what}. Nothing of this update is kept; lower lr, or look at "
            "train/importance_raw_max and train/ratio_max. The last checkpoint is in "
            f"{self.folder / 'checkpoints'}."
        )

    # parts of an update

    def _batches(self, part: Sequence[Row]) -> int | None:
        """Micro-batches that every process must run; None: there is one process."""
        if self.world.size == 1:
            return None
        count = count_batches(
            part, self.config.optimizer.micro_tokens, share=self.policy.shares_prefixes
        )
        return int(self.world.largest(torch.tensor(float(count))).item())

    def _reference(self, part: Sequence[Row]) -> list[tuple[float, ...]] | None:
        if not self.config.loss.beta:
            return None
        return self.policy.reference_logprobs(part, **self._scoring())

    def _scoring(self) -> dict[str, Any]:
        config = self.config
        return {
            "micro_tokens": config.optimizer.micro_tokens,
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

    # evaluation, checkpoints, the end

    def _evaluate(self) -> dict[str, float]:
        """Score held-out episodes in the main process; the best weights are kept, or the last."""
        values: dict[str, float] = {}
        with gathered(self.scorer), self.world.agreed():
            if self.world.main:
                values = self._score()
        self.position.evaluated = self.position.update
        return values

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
            sampling=sampling_of(self.config, config.eval_temperature),
        )
        write_samples(self.folder, position.update, rollouts, environment.env, env_args, seeds)
        values = means([rollout_sums(rollouts, "eval")])
        if "eval/score" not in values:
            raise BackendError(
                f"evaluation: the reader answered the questions of none of {len(seeds)} episodes. "
                "Bring it back and go on with --resume."
            )
        # Two evaluations, far apart, are no contest: what was trained is kept.
        if values["eval/score"] > position.best_score or not config.eval_every:
            position.best_score, position.best_update = values["eval/score"], position.update
            save_best(self.folder, self.policy.model, position, values)
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
            self.config.fixed(),
            write=self.world.main,
        )
        if self.world.main:
            drop_unnamed(self.folder, self.position)

    def finish(self) -> str:
        """Close the logs; the final table: before, after (the weights kept), and references."""
        config = self.config
        table, final = "", {"eval/best_score": self.position.best_score}
        if self.held_out.final and self.world.main:
            sampling = sampling_of(config, config.evaluation.eval_temperature)
            results = final_results(config, self.folder, sampling, self.held_out.final, FINAL_SEED)
            rows = summarise(results)
            table = render_table(rows)
            record = [row.as_dict() for row in rows]
            write_whole(self.folder / "final.json", json.dumps(record, indent=2) + "\n")
            write_whole(self.folder / "final.txt", table + "\n")
            final |= final_numbers(rows)
        self.close(final)
        return table

    def close(self, final: Mapping[str, float] | None = None) -> None:
        """Close the logs, with the final numbers of a run that got there."""
        if self.tracker is not None:
            self.tracker.close(final or {})
