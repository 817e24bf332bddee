"""Supervised warm start of the small model: `python -m agents.warmstart --help`.

A model without weights learns to reply in the action grammar and to copy sentences before
reinforcement learning starts. The lessons come in stages: copying short chunks, copying only what
is asked, and at last an unselective teacher that keeps every sentence with the same probability.
Reinforcement learning from there has to find out by reward what is worth keeping. (Starting with
the unselective teacher does not work: copying is never learned from such noisy targets.)
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.batching import Row, micro_batches
from agents.chat import Chat
from agents.config import CPU_ENV_ARGS
from agents.policy import Policy
from agents.teacher import Lesson, Teacher, lessons
from agents.tiny import (
    ACTION_PHRASES,
    OBSERVATION_PHRASES,
    TinyConfig,
    build_model,
    train_tokenizer,
)
from finemem_env.data.synthetic.kinds import is_asked_kind
from finemem_env.operations import parse
from finemem_env.prompts import parse_observation
from finemem_env.text import split_sentences
from finemem_env.types import Op, Operation

__all__ = ["Stage", "WarmStart", "check", "main", "train"]

ENV = "FineMem-AR-v0"
MAX_NEW_TOKENS = 160
SIZE = TinyConfig(intermediate_size=256, layers=3)
MAX_PADDED = 8192  # tokens of a micro-batch


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the curriculum: a teacher on chunks of some size.

    Attributes:
        name: in the log.
        share: of all steps.
        facts: sentences of asked kinds per chunk.
        asked_fraction: their share of the chunk's sentences.
        teacher: what it keeps.
    """

    name: str
    share: float
    facts: int
    asked_fraction: float
    teacher: Teacher


STAGES = (
    Stage("copy two", 0.4, 1, 0.5, Teacher()),
    Stage("copy all", 0.2, 2, 0.4, Teacher()),
    Stage("copy what is asked", 0.25, 2, 0.4, Teacher(1.0, 0.0)),
    Stage("unselective", 0.15, 2, 0.4, Teacher(0.6, 0.6)),
)


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Everything that decides the result (beside the version of this package).

    Attributes:
        steps: optimizer steps in all stages.
        batch: lessons per step.
        lr: peak learning rate of AdamW, after a linear warm-up, then a cosine to a tenth.
        vocab_size: entries of the tokenizer.
        seed: of weights, lessons and tokenizer texts.
        instructions: whether prompts hold the environment's instructions.
        mixed: bfloat16 arithmetic in training; weights stay float32.
    """

    steps: int = 1100
    batch: int = 32
    lr: float = 3e-3
    vocab_size: int = 3072
    seed: int = 0
    instructions: bool = False
    mixed: bool = True


def train(config: WarmStart, log: Any = None) -> Policy:  # noqa: ANN401
    """Train tokenizer and model from nothing; `log(step, text)` is told about progress."""
    torch.manual_seed(config.seed)
    tokenizer = train_tokenizer(
        _tokenizer_texts(config), config.vocab_size, (*ACTION_PHRASES, *OBSERVATION_PHRASES)
    )
    model = build_model(tokenizer, SIZE, seed=config.seed)
    policy = Policy(model, tokenizer, autocast=torch.bfloat16 if config.mixed else None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, betas=(0.9, 0.98))
    start, step = time.perf_counter(), 0
    for number, stage in enumerate(STAGES):
        source = _stage_lessons(stage, config.seed * 100 + number)
        for _ in range(round(stage.share * config.steps)):
            for group in optimizer.param_groups:
                group["lr"] = config.lr * _schedule(step, config.steps)
            loss = _step(policy, optimizer, _rows(policy.chat, source, config))
            step += 1
            if log is not None and (step % 25 == 0 or step == 1):
                seconds = time.perf_counter() - start
                log(step, f"{stage.name}: loss {loss:.4f}, {seconds:.0f} s")
            if log is not None and step % 200 == 0:
                log(step, json.dumps(check(policy, config, stage=stage)))
    return policy


def check(
    policy: Policy, config: WarmStart, *, stage: Stage = STAGES[-1], count: int = 64
) -> dict[str, float]:
    """What the model does on `count` unseen lessons, sampled at temperature 1.

    Returns:
        accepted: share of replies that parse without a rejection; copied: share of INSERTs that
        are a sentence of the chunk, word for word; asked, other: shares of the chunk's sentences
        of asked and other kinds that were inserted; tokens: mean length of a reply.
    """
    source = _stage_lessons(stage, config.seed * 100 + 99)
    given = list(islice(source, count))
    prompts = policy.chat.encode([_prompt(lesson, config) for lesson in given])
    found = policy.sample(prompts, max_new_tokens=MAX_NEW_TOKENS, temperature=1.0, seed=config.seed)
    texts = policy.chat.decode([one.ids for one in found])
    totals = dict.fromkeys(("replies", "good", "inserts", "copies", "asked", "other"), 0)
    kept = {"asked": 0, "other": 0}
    for lesson, text in zip(given, texts, strict=True):
        view = parse_observation(lesson.observation)
        sentences = [s for s in split_sentences(view.chunk or "") if str(view.time) not in s]
        operations = parse(text)
        contents = [
            one.content for one in operations if isinstance(one, Operation) and one.op is Op.INSERT
        ]
        totals["replies"] += 1
        totals["good"] += all(isinstance(one, Operation) for one in operations)
        totals["inserts"] += len(contents)
        totals["copies"] += sum(one in sentences for one in contents)
        for sentence in sentences:
            kind = "asked" if is_asked_kind(sentence) else "other"
            totals[kind] += 1
            kept[kind] += sentence in contents
    return {
        "accepted": totals["good"] / max(totals["replies"], 1),
        "copied": totals["copies"] / max(totals["inserts"], 1),
        "asked": kept["asked"] / max(totals["asked"], 1),
        "other": kept["other"] / max(totals["other"], 1),
        "tokens": sum(len(one.ids) for one in found) / len(found),
    }


def _stage_lessons(stage: Stage, seed: int) -> Iterator[Lesson]:
    knobs = {
        **CPU_ENV_ARGS["difficulty"],
        "facts_per_chunk": stage.facts,
        "asked_fraction": stage.asked_fraction,
    }
    return lessons(ENV, {**CPU_ENV_ARGS, "difficulty": knobs}, stage.teacher, seed)


def _tokenizer_texts(config: WarmStart) -> list[str]:
    source = _stage_lessons(STAGES[1], config.seed * 100 + 98)
    given = list(islice(source, 2000))
    return [lesson.observation for lesson in given] + [lesson.action for lesson in given[:500]]


def _prompt(lesson: Lesson, config: WarmStart) -> tuple[str, str]:
    return (lesson.instructions if config.instructions else "", lesson.observation)


def _rows(chat: Chat, source: Iterator[Lesson], config: WarmStart) -> list[Row]:
    given = list(islice(source, config.batch))
    prompts = chat.encode([_prompt(lesson, config) for lesson in given])
    return [
        Row(prompt, chat.target(lesson.action))
        for prompt, lesson in zip(prompts, given, strict=True)
    ]


def _step(policy: Policy, optimizer: torch.optim.Optimizer, rows: Sequence[Row]) -> float:
    """One optimizer step on the mean negative log-likelihood per reply token, which it returns."""
    scorer = policy.scorer()
    total = sum(len(row.completion) for row in rows)
    optimizer.zero_grad()
    loss = 0.0
    for batch in micro_batches(rows, MAX_PADDED, share=False):
        part = -scorer(batch, "none").logprobs.sum() / total
        part.backward()
        loss += part.item()
    nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
    optimizer.step()
    return loss


def _schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: 50 steps up, then a cosine down to a tenth."""
    warm = min(1.0, (step + 1) / 50)
    return warm * (0.55 + 0.45 * math.cos(math.pi * step / max(steps, 1)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    defaults = WarmStart()
    parser = argparse.ArgumentParser(prog="python -m agents.warmstart", description=__doc__)
    parser.add_argument("output", type=Path, help="folder to write model and tokenizer to")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="optimizer steps")
    parser.add_argument("--batch", type=int, default=defaults.batch, help="lessons per step")
    parser.add_argument("--lr", type=float, default=defaults.lr, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="decides everything else")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads of torch")
    parser.add_argument("--dtype", default="bfloat16", help="type of the saved weights")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    config = WarmStart(steps=given.steps, batch=given.batch, lr=given.lr, seed=given.seed)
    policy = train(config, lambda step, text: print(f"{step}: {text}", flush=True))
    scores = check(policy, config, count=256)
    policy.model.to(getattr(torch, given.dtype))
    policy.save(given.output)
    record = {"config": asdict(config), "command": sys.argv, "scores": scores}
    (given.output / "warmstart.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
