"""Supervised training of a pretrained model on a teacher's replies; it can be resumed.

The loss is the mean negative log-likelihood per reply token; prompts are read, not learned. Lessons
are a function of the seed, so the number of steps done says which come next.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.learn import checkpoint
from agents.learn.checkpoint import Position
from agents.learn.references import (
    REFERENCE_ENV_ARGS,
    TEXTS,
    Unselective,
    reference_lessons,
)
from agents.learn.rollout import RolloutSampling, roll_out
from agents.learn.update import TrainingError
from agents.model.allocator import keep_memory
from agents.model.batching import Row, micro_batches
from agents.model.policy import Policy, load_policy
from agents.settings import ModelConfig, OptimizerConfig
from finemem_env.backends.options import read_options
from finemem_env.disk import write_whole
from finemem_env.errors import ConfigError
from finemem_env.fields import read_object
from finemem_env.registration import make_rollout_env

MAX_NEW_TOKENS = 48
MICRO_TOKENS = 2048  # padded tokens of a micro-batch
WARMUP = 5  # steps over which the learning rate rises
# As few questions as there can be: answers do not matter here.
_UNASKED: dict[str, Any] = {"reward": "outcome", "chunk_questions": 0, "question_fraction": 0.01}

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Imitation:
    """What decides the result.

    Attributes:
        model: what is trained, and which of its blocks.
        texts: names of `TEXTS`, where chunks come from.
        steps: optimizer steps.
        prompts: observations of a step.
        replies: of the teacher to each of them.
        lr: peak learning rate of AdamW, linear to a tenth.
        seed: of lessons.
        teacher: what it keeps.
        save_every: steps between checkpoints.
    """

    model: ModelConfig
    texts: tuple[str, ...] = tuple(TEXTS)
    steps: int = 160
    prompts: int = 4
    replies: int = 12
    lr: float = 5e-4
    seed: int = 0
    teacher: Unselective = field(default_factory=Unselective)
    save_every: int = 10

    def fixed(self) -> dict[str, Any]:
        """What a resumed run must not change, by name."""
        values = asdict(self)
        values |= {**values.pop("teacher"), **values.pop("model")}
        return {key: value for key, value in values.items() if key not in ("steps", "save_every")}


@dataclass(slots=True)
class _Totals:
    """What a run has read so far; kept beside its checkpoints."""

    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0


def imitate(
    config: Imitation, folder: Path, log: Log, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Train, from the last checkpoint in `folder` if there is one, and save the model there.

    Args:
        config: what decides the result.
        folder: gets checkpoints, `warmstart.json`, and at the end a transformers folder.
        log: called with lines about progress.
        stop: asked after every step; True saves and returns what was done so far.

    Returns:
        The record that is written to `warmstart.json`, with "done" (steps).

    Raises:
        ConfigError: a folder with a run of other settings, no such model, or one whose context is
            too short.
        TrainingError: loss or gradient are not finite.
        DataError: the files of a source are not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep_memory()
    torch.manual_seed(config.seed)
    policy = load_policy(config.model)
    weights = [p for p in policy.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, config.lr, betas=(0.9, 0.98), weight_decay=0.0)
    position, totals = Position(), _Totals()
    last = checkpoint.latest(folder / "checkpoints")
    if last is not None:
        usual = Imitation(ModelConfig()).fixed()
        position = checkpoint.load(last, policy.model, optimizer, config.fixed(), usual)
        read = read_object(folder / "totals.json")
        totals = read_options(_Totals, read.mapping_of_all(), read.where)
    source = _rows(policy, config, skip=position.update * config.prompts)
    schedule = OptimizerConfig(config.steps, config.lr, "linear", WARMUP)
    losses: list[float] = []
    while position.update < config.steps:
        began = time.perf_counter()
        rows = [row for group in islice(source, config.prompts) for row in group]
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(position.update)
        losses.append(imitation_step(policy, optimizer, rows, share=policy.shares_prefixes))
        position.update += 1
        totals.prompt_tokens += sum({row.group: len(row.prompt) for row in rows}.values())
        totals.reply_tokens += sum(len(row.completion) for row in rows)
        totals.seconds += time.perf_counter() - began
        log(_line(position.update, losses, totals))
        stopped = stop() and position.update < config.steps
        if stopped or position.update % config.save_every == 0:
            write_whole(folder / "totals.json", json.dumps(asdict(totals)))
            checkpoint.save(
                folder / "checkpoints", policy.model, optimizer, position, config.fixed()
            )
        if stopped:
            return {"done": position.update}
    return _finish(policy, config, folder, totals)


def _line(step: int, losses: Sequence[float], totals: _Totals) -> str:
    recent = sum(losses[-10:]) / len(losses[-10:])
    tokens = totals.prompt_tokens + totals.reply_tokens
    return (
        f"{step}: loss {recent:.3f} per reply token, {tokens} tokens in "
        f"{totals.seconds / 60:.1f} minutes ({tokens / totals.seconds:.0f} a second)"
    )


def _finish(policy: Policy, config: Imitation, folder: Path, totals: _Totals) -> dict[str, Any]:
    """Save the model, try it on held-out texts, and write the record."""
    policy.save(folder)
    replies = check_replies(policy, config.texts, seed=config.seed)
    record = {
        "done": config.steps,
        "config": asdict(config),
        "tokens": {"prompts": totals.prompt_tokens, "replies": totals.reply_tokens},
        "minutes": round(totals.seconds / 60, 1),
        "seconds": totals.seconds,
        "replies": replies,
    }
    write_whole(folder / "warmstart.json", json.dumps(record, indent=2) + "\n")
    return record


def _rows(policy: Policy, config: Imitation, skip: int) -> Iterator[list[Row]]:
    """Endless groups of rows: one prompt each, with the teacher's replies."""
    lessons = reference_lessons(
        config.texts, REFERENCE_ENV_ARGS, config.teacher, config.seed, config.replies
    )
    for number, lesson in enumerate(lessons):
        if number < skip:
            continue
        (prompt,) = policy.encode([("", lesson.observation)])
        if policy.context is not None and len(prompt) + MAX_NEW_TOKENS > policy.context:
            raise ConfigError(
                f"a prompt of {len(prompt)} tokens and a reply of {MAX_NEW_TOKENS} exceed the "
                f"model's context of {policy.context}: take another model, or another of --texts."
            )
        yield [
            Row(prompt, policy.template.target(action), group=number) for action in lesson.actions
        ]


def imitation_step(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[Row],
    micro_tokens: int = MICRO_TOKENS,
    *,
    share: bool,
) -> float:
    """One optimizer step on the mean negative log-likelihood per reply token, which it returns.

    Raises:
        TrainingError: loss or gradient are not finite.
    """
    scorer = policy.scorer()
    total = sum(len(row.completion) for row in rows)
    optimizer.zero_grad()
    loss = 0.0
    for batch in micro_batches(rows, micro_tokens, share=share):
        part = -scorer(batch.to(policy.device), "none").logprobs.sum() / total
        part.backward()
        loss += part.item()
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(nn.utils.clip_grad_norm_(weights, 1.0))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingError(
            f"loss {loss}, gradient norm {norm}: the weights were not changed; lower --lr. What "
            "was saved before is as it was."
        )
    optimizer.step()
    return loss


def check_replies(
    policy: Policy, texts: Sequence[str], *, seed: int, episodes: int = 2, split: str = "val"
) -> dict[str, Any]:
    """What the model replies by itself on held-out texts, sampled at temperature 1.

    Args:
        policy: the model.
        texts: names of `TEXTS`.
        seed: of episodes and draws.
        episodes: of each source.
        split: of the sources.

    Returns:
        `replies`: how many; `valid`: share of them of which the environment took every operation;
        `kept`: mean number of INSERTs; `tokens`: mean length.
    """
    counts = {"replies": 0, "valid": 0, "kept": 0, "tokens": 0}
    for name in texts:
        keywords = {"source": name, "split": split, **_UNASKED, **REFERENCE_ENV_ARGS}
        env = make_rollout_env(TEXTS[name].env, {**keywords, **TEXTS[name].env_args}, episodes)
        seeds = np.random.SeedSequence([seed, 17]).generate_state(episodes)
        rollouts = roll_out(
            policy,
            env,
            [int(number) for number in seeds],
            RolloutSampling(MAX_NEW_TOKENS, instructions=False),
            seed,
        )
        for rollout in rollouts:
            for step, result in zip(rollout.steps, rollout.results, strict=True):
                operations = result.operations
                counts["replies"] += 1
                counts["valid"] += all(op.accepted for op in operations)
                counts["kept"] += sum(op.accepted and op.name == "INSERT" for op in operations)
                counts["tokens"] += len(step.completion.token_ids) if step.completion else 0
    replies = counts.pop("replies")
    return {"replies": replies} | {name: value / replies for name, value in counts.items()}
