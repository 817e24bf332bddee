"""Supervised warm start of the small model: `python -m agents.warmstart --help`.

A model without weights learns to reply in the action grammar and to copy sentences before
reinforcement learning starts. The lessons come in stages: copying one sentence, copying all
sentences of a chunk, an unselective teacher that keeps each with the same probability, and, in a
second pass, one that prefers either what is asked about or the rest, at random. No lesson says
which of the two is worth keeping: reinforcement learning has to find that out by reward. (Starting
with the unselective teacher does not work: copying is never learned from such noisy targets.)
With --references, a pass after both, every second lesson numbers the sentences (`line_numbers`),
and the reply names them instead of copying: what takes thousands of steps to copy is named after
forty. The other lessons are those of before, so that the model still copies where there are no
numbers.

With --model a pretrained model learns the action format on chunks of real text, by numbers too
(`agents/learn/imitation.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from agents.learn.teacher import Lesson, Teacher, lessons
from agents.model.tiny import (
    ACTION_PHRASES,
    OBSERVATION_PHRASES,
    TinyConfig,
    build_model,
    train_tokenizer,
)
from agents.runs.config import CPU_ENV_ARGS
from agents.runs.imitation_options import add_pretrained, run_pretrained
from agents.settings import ModelConfig
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.options import above_zero, positive, seed
from finemem_env.data.synthetic.kinds import is_asked_kind
from finemem_env.disk import claimed, write_whole
from finemem_env.extras import needs
from finemem_env.operations import parse, render
from finemem_env.prompts import parse_observation
from finemem_env.text import split_sentences
from finemem_env.types import Op, Operation

if TYPE_CHECKING:
    from agents.model.batching import Row
    from agents.model.policy import Policy

ENV = "FineMem-AR-v0"
MAX_NEW_TOKENS = 96
SIZE = TinyConfig(intermediate_size=256, layers=3)
MAX_PADDED = 8192  # tokens of a micro-batch


ALL = Teacher()


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the curriculum.

    Attributes:
        name: in the log.
        steps: most optimizer steps.
        teacher: what it keeps.
        also: of every second lesson; None: the same teacher.
        bare: the prompt is one kept sentence alone, and the reply inserts it.
        batch: lessons per step.
        lr: share of the learning rate.
        until: the stage ends early when the mean loss of 20 steps is below this.
        final: share of the stage's learning rate that is left at its last step (linear).
    """

    name: str
    steps: int
    teacher: Teacher = ALL
    also: Teacher | None = None
    bare: bool = False
    batch: int = 32
    lr: float = 1.0
    until: float = 0.0
    final: float = 1.0


STAGES = (
    Stage("copy a bare sentence", 500, bare=True, batch=64, until=0.25),
    Stage("copy all", 500, lr=0.6, until=0.15),
    Stage("unselective", 1500, Teacher(0.6), lr=0.4, final=0.02),
)

# A second pass: exact copies, and kinds of sentences told apart.
REFINE = (Stage("two tastes", 1600, Teacher(0.6, taste=0.3), lr=0.5, final=0.02),)

# A third pass: numbered sentences are named. It starts from a model that copies. Its tastes are
# stronger: a reply of two numbers says little about what they have in common, and under the tastes
# of before the kinds are not learned in this time.
REFERENCES = (
    Stage("name all", 40, Teacher(references=True), also=ALL, lr=0.4, until=0.05),
    Stage(
        "two tastes, named",
        160,
        Teacher(0.5, taste=0.45, references=True),
        also=Teacher(0.6, taste=0.3),
        lr=0.4,
        final=0.02,
    ),
)


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Everything that decides the result (beside the version of this package).

    Attributes:
        lr: learning rate of AdamW after 30 steps of warm-up.
        vocab_size: entries of the tokenizer.
        seed: of weights, lessons and tokenizer texts.
        instructions: whether prompts hold the environment's instructions.
        mixed: bfloat16 arithmetic in training; weights stay float32.
        references: the pass in which numbered sentences are named.
    """

    lr: float = 3e-3
    vocab_size: int = 3072
    seed: int = 0
    instructions: bool = False
    mixed: bool = True
    references: bool = False

    def stages(self, refine: bool = False) -> tuple[Stage, ...]:
        """The curriculum, or a later pass of it."""
        if self.references:
            return REFERENCES
        return REFINE if refine else STAGES


Log = Callable[[int, str], None]


def train(
    config: WarmStart,
    log: Log,
    stages: Sequence[Stage] | None = None,
    keep: Callable[[Policy], None] = lambda policy: None,
    start: Path | None = None,
) -> Policy:
    """Train tokenizer and model from nothing, or go on from a folder.

    Args:
        config: what decides the result.
        log: called with the step and a line about progress.
        stages: the curriculum; None: the config's.
        keep: called after every stage.
        start: folder of a model to go on from.
    """
    import torch

    from agents.learn.imitation import imitation_step
    from agents.model.allocator import keep_memory
    from agents.model.policy import load_policy

    keep_memory()
    torch.manual_seed(config.seed)
    policy = _fresh(config) if start is None else load_policy(ModelConfig(str(start)))
    policy.autocast = torch.bfloat16 if config.mixed else None
    weights = policy.model.parameters()
    optimizer = torch.optim.AdamW(weights, lr=config.lr, betas=(0.9, 0.98))
    began, done = time.perf_counter(), 0
    first = config.seed * 100 + 10 * (start is not None)
    for number, stage in enumerate(config.stages() if stages is None else stages):
        source = _rows(policy, stage, config, first + number)
        losses: list[float] = []
        for step in range(stage.steps):
            decay = 1.0 + (stage.final - 1.0) * step / stage.steps
            for group in optimizer.param_groups:
                group["lr"] = config.lr * stage.lr * min(1.0, (done + 1) / 30) * decay
            rows = list(islice(source, stage.batch))
            losses.append(imitation_step(policy, optimizer, rows, MAX_PADDED, share=False))
            done += 1
            recent = sum(losses[-20:]) / len(losses[-20:])
            if done % 20 == 0:
                seconds = time.perf_counter() - began
                log(done, f"{stage.name}: loss {recent:.4f}, {seconds:.0f} s")
            if len(losses) >= 20 and recent < stage.until:
                break
        if not stage.bare:
            log(done, json.dumps(check(policy, config, stage=stage)))
        keep(policy)
    return policy


def _fresh(config: WarmStart) -> Policy:
    from agents.model.policy import Policy

    tokenizer = train_tokenizer(
        _tokenizer_texts(config), config.vocab_size, (*ACTION_PHRASES, *OBSERVATION_PHRASES)
    )
    return Policy(build_model(tokenizer, SIZE, seed=config.seed), tokenizer)


def check(
    policy: Policy, config: WarmStart, *, stage: Stage | None = None, count: int = 64
) -> dict[str, float]:
    """What the model does on `count` unseen lessons of a stage's teacher, sampled at temperature 1.

    Returns:
        accepted: share of replies that parse without a rejection; copied: share of INSERTs that
        are a sentence of the chunk, word for word; asked, other: shares of the chunk's sentences
        of asked and other kinds that were inserted; tokens: mean length of a reply.
    """
    stage = replace(stage or config.stages(refine=True)[-1], also=None)
    source = _stage_lessons(stage, config.seed * 100 + 99)
    tried = list(islice(source, count))
    prompts = policy.encode([_prompt(lesson, config) for lesson in tried])
    drawn = policy.sample(prompts, max_new_tokens=MAX_NEW_TOKENS, temperature=1.0, seed=config.seed)
    texts = policy.decode([sample.token_ids for sample in drawn])
    totals: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for lesson, text in zip(tried, texts, strict=True):
        view = parse_observation(lesson.observation)
        sentences = [s for s in split_sentences(view.chunk or "") if str(view.time) not in s]
        operations = parse(text, view.lines)
        contents = [
            op.content for op in operations if isinstance(op, Operation) and op.op is Op.INSERT
        ]
        totals["good"] += all(isinstance(op, Operation) for op in operations)
        totals["inserts"] += len(contents)
        totals["copies"] += sum(content in sentences for content in contents)
        for sentence in sentences:
            kind = "asked" if is_asked_kind(sentence) else "other"
            totals[kind] += 1
            kept[kind] += sentence in contents
    return {
        "accepted": totals["good"] / max(len(texts), 1),
        "copied": totals["copies"] / max(totals["inserts"], 1),
        "asked": kept["asked"] / max(totals["asked"], 1),
        "other": kept["other"] / max(totals["other"], 1),
        "tokens": sum(len(sample.token_ids) for sample in drawn) / len(drawn),
    }


def _stage_lessons(stage: Stage, seed: int) -> Iterator[Lesson]:
    first = lessons(ENV, CPU_ENV_ARGS, stage.teacher, seed)
    if stage.also is None:
        return first
    other = lessons(ENV, CPU_ENV_ARGS, stage.also, seed)
    return (lesson for pair in zip(first, other, strict=True) for lesson in pair)


def _tokenizer_texts(config: WarmStart) -> list[str]:
    source = _stage_lessons(STAGES[1], config.seed * 100 + 98)
    read = list(islice(source, 2000))
    return [lesson.observation for lesson in read] + [lesson.action for lesson in read[:500]]


def _prompt(lesson: Lesson, config: WarmStart) -> tuple[str, str]:
    return (lesson.instructions if config.instructions else "", lesson.observation)


def _rows(policy: Policy, stage: Stage, config: WarmStart, seed: int) -> Iterator[Row]:
    """Endless rows of a stage."""
    from agents.model.batching import Row

    for lesson in _stage_lessons(stage, seed):
        if stage.bare:
            for operation in parse(lesson.action):
                if isinstance(operation, Operation) and operation.content:
                    ids = policy.tokenizer(f"\n{operation.content}\n", add_special_tokens=False)
                    yield Row(tuple(ids["input_ids"]), policy.template.target(render([operation])))
        else:
            (prompt,) = policy.encode([_prompt(lesson, config)])
            yield Row(prompt, policy.template.target(lesson.action))


def write_record(folder: Path, config: WarmStart, count: int = 128) -> dict[str, float]:
    """Score the saved weights on unseen lessons and write `warmstart.json` beside them.

    Returns:
        The scores of the last stage, of named sentences if there are; `copying` are the others.
    """
    from agents.model.policy import load_policy

    policy = load_policy(ModelConfig(str(folder)))
    command, seed = "python -m agents.warmstart", f"--seed {config.seed}"
    arithmetic = "" if config.mixed else " --no-mixed"
    copies = "COPIES" if config.references else "FOLDER"
    commands = [f"{command} PART {seed}", f"{command} {copies} {seed} --refine PART"]
    stages: tuple[Stage, ...] = (*STAGES, *REFINE)
    record: dict[str, object] = {}
    if config.references:
        commands.append(f"{command} FOLDER {seed} --references{arithmetic} --refine COPIES")
        stages += REFERENCES
        record["copying"] = check(policy, config, stage=REFINE[-1], count=count)
    scores = check(policy, config, stage=stages[-1], count=count)
    record = {
        "commands": commands,
        "config": asdict(config),
        "stages": [asdict(stage) for stage in stages],
        "count": count,
        "scores": scores,
        **record,
    }
    write_whole(folder / "warmstart.json", json.dumps(record, indent=2) + "\n")
    return scores


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (2 for a setting that does not fit)."""
    defaults = WarmStart()
    parser = program("agents.warmstart", __doc__)
    parser.add_argument(
        "output", type=Path, nargs="?", help="folder to write to (with --model: runs/warmstart)"
    )
    parser.add_argument("--lr", type=above_zero, help="peak learning rate")
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="decides everything else")
    parser.add_argument("--refine", type=Path, help="go on from this folder with the second pass")
    parser.add_argument(
        "--references", action="store_true", help="the pass in which numbered sentences are named"
    )
    parser.add_argument(
        "--mixed",
        action=argparse.BooleanOptionalAction,
        default=defaults.mixed,
        help="bfloat16 arithmetic; slower on a CPU without instructions for it",
    )
    parser.add_argument("--threads", type=positive, help="CPU threads of torch")
    parser.add_argument(
        "--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of saved weights"
    )
    add_pretrained(parser)
    options = parser.parse_args(arguments)
    if options.output is None and options.model is None:
        parser.error("output: expected the folder to write to")
    if options.model is None:
        with claimed(options.output), saving(options.output, "The same command begins anew."):
            record = _run(options)
    else:
        record = run_pretrained(options)
    print(json.dumps(record))
    return 0


def _run(options: argparse.Namespace) -> dict[str, float]:
    with needs("a warm start", "train"):
        import torch

        import agents.model.policy  # noqa: F401 - transformers
    if options.threads:
        torch.set_num_threads(options.threads)
    config = WarmStart(seed=options.seed, mixed=options.mixed, references=options.references)
    if options.lr is not None:
        config = replace(config, lr=options.lr)
    policy = train(
        config,
        lambda step, text: print(f"{step}: {text}", flush=True),
        config.stages(refine=options.refine is not None),
        keep=lambda policy: policy.save(options.output),
        start=options.refine,
    )
    policy.model.to(getattr(torch, options.dtype))
    policy.save(options.output)
    return write_record(options.output, config)


if __name__ == "__main__":
    sys.exit(main())
