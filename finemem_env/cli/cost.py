"""`python -m finemem_env cost`: calls and tokens of a training step and of a benchmark.

Without --source, the published training set: 32 contexts x 8 rollouts of 10 chunks, 100 questions.
With --train, also memory and time of an update on GPUs: estimates, by arithmetic.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finemem_env.cli.cost_model import (
    PUBLISHED,
    Assumptions,
    ModelCalls,
    Shape,
    costs,
    measure_shape,
)
from finemem_env.cli.frame import Parser, program
from finemem_env.cli.options import (
    above_zero,
    add_env_args,
    at_least_zero,
    env_args,
    name_or_object,
    positive,
)
from finemem_env.cli.tables import text_table
from finemem_env.cli.train_cost import GPUS, MODELS, TrainingPlan, training_table
from finemem_env.data.registry import load_source
from finemem_env.data.source import SPLITS, SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.rewards import REWARDS
from finemem_env.settings import PROTOCOLS, Settings, resolve

_SAMPLE = 20  # episodes that are measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table.

    Raises:
        ConfigError: an unknown name, or a number out of range.
        DataError: the source's files are missing or malformed.
    """
    options = _parser().parse_args(arguments)
    given = {"protocol": "fine-mem", "question_fraction": 0.2}
    given |= env_args(options, "protocol", "reward", "question_fraction")
    training, evaluation = resolve(**given), resolve(**given | {"question_fraction": 1.0})
    _check_training(options)
    shape, where = _shape(options)
    assumed = _assumptions(options, training)
    print(
        f"{where}: {shape.chunks:.1f} chunks of {shape.chunk_tokens:,.0f} tokens, "
        f"{shape.finals:.1f} final questions, {shape.chunk_questions:.1f} per chunk"
    )
    print(
        f"protocol {training.protocol}, reward {training.reward.name} "
        f"({training.reward.attribution}), top_k {training.top_k}; the manager is assumed to write "
        f"{assumed.written:.0%} of a chunk in items of {assumed.item_tokens:g} tokens"
    )
    step = costs(shape, training, options.contexts * options.rollouts, assumed)
    _print_table(
        f"training step: {options.contexts} contexts x {options.rollouts} rollouts, "
        f"{training.question_fraction:.0%} of the final questions",
        step,
    )
    steps = [replace(call, calls=call.calls * options.updates) for call in step]
    _print_table(f"training: {options.updates} such steps", steps)
    if options.train is not None:
        _print_training(options, shape, step)
    benchmark = costs(shape, evaluation, options.episodes, assumed)
    _print_table(f"benchmark: one agent on {options.episodes} episodes, all questions", benchmark)
    return 0


def _parser() -> Parser:
    parser = program("finemem_env cost", __doc__)
    add = parser.add_argument
    add("--source", type=name_or_object, help="source, episode file or mixture to measure")
    add("--split", default="train", choices=SPLITS, help="of the source")
    add("--data-dir", type=Path, help="parent of the sources' folders (default: $FINEMEM_DATA)")
    add("--protocol", help=f"one of {', '.join(PROTOCOLS)} (default: fine-mem)")
    add("--reward", help=f"one of {', '.join(REWARDS)} (default: the protocol's)")
    add_env_args(parser)
    add("--contexts", type=positive, default=32, help="per step")
    add("--rollouts", type=positive, default=8, help="of each context")
    add("--updates", type=positive, default=205, help="steps; the default is Mem-α's")
    add("--episodes", type=positive, default=100, help="of the benchmark")
    add("--question-fraction", type=at_least_zero, help="in training (default: 0.2)")
    written = "share of a chunk written (default: 0.7, or the budget)"
    add("--written", type=above_zero, help=written)
    add("--item-tokens", type=above_zero, default=100.0, help="size of an item")
    add("--train", choices=("full", "lora"), help="estimate memory and time of an update on GPUs")
    add("--model", choices=sorted(MODELS), help="what is trained (default: qwen3-4b)")
    add("--gpu", choices=sorted(GPUS), help="kind of GPU (default: h100)")
    add(
        "--gpus",
        type=positive,
        nargs="+",
        help="numbers of GPUs (default: 1 2 8, up to --contexts)",
    )
    return parser


def _check_training(options: argparse.Namespace) -> None:
    """Refuse options of an estimate that is not made, and GPUs that would have nothing to do."""
    for name in ("model", "gpu", "gpus"):
        if getattr(options, name) is not None and options.train is None:
            raise ConfigError(f"--{name}: needs --train full or --train lora.")
    if (most := max(options.gpus or [1])) > options.contexts:
        raise ConfigError(
            f"--gpus: expected at most {options.contexts}, a context for each, got {most}; raise "
            "--contexts."
        )


def _print_training(options: argparse.Namespace, shape: Shape, step: Sequence[ModelCalls]) -> None:
    plan = TrainingPlan.of(options.train)
    manager = next(call for call in step if call.kind == "manager")
    how = "float32 weights, split" if plan.way == "full" else f"LoRA of rank {plan.rank}, bfloat16"
    model, gpu = options.model or "qwen3-4b", options.gpu or "h100"
    counts = options.gpus or [count for count in (1, 2, 8) if count <= options.contexts]
    table = training_table(MODELS[model], GPUS[gpu], counts, manager, shape.chunks, plan)
    print(
        f"\nESTIMATES, not measured: one update of {model} on {gpu} ({how}; "
        f"{plan.micro_tokens:,} tokens a micro-batch, {plan.sample_tokens:,} a decoding batch),\n"
        f"memory on each GPU; arithmetic at {plan.arithmetic:.0%} of the peak, decoding at "
        f"{plan.reading:.0%} of the bandwidth and {plan.launch * 1000:g} ms a token, no reader"
    )
    print(table)


def _assumptions(options: argparse.Namespace, settings: Settings) -> Assumptions:
    budget, written = settings.memory_budget, options.written
    if written is None:
        usual = Assumptions().written
        written = min(usual, budget) if isinstance(budget, float) else usual
    if not (written <= 10 and 1 <= options.item_tokens <= 1e6):
        raise ConfigError("--written must be at most 10 and --item-tokens from 1 to 1,000,000.")
    return Assumptions(written, options.item_tokens)


def _shape(options: argparse.Namespace) -> tuple[Shape, str]:
    if options.source is None:
        return PUBLISHED, "published training set"
    source = load_source(options.source, SourceConfig(options.split, options.data_dir), None)
    count = _SAMPLE if source.size is None else min(_SAMPLE, source.size)
    episodes = [source.episode(index) for index in range(count)]
    return measure_shape(episodes), f"source {source.name} ({count} episodes measured)"


def _print_table(title: str, calls: Sequence[ModelCalls]) -> None:
    header = ["", "calls", "prompt/call", "reply/call", "prompt tokens", "reply tokens"]
    rows = []
    for call in calls:
        numbers = (call.calls, call.prompt, call.reply, call.prompt_tokens, call.reply_tokens)
        rows.append([call.kind, *(f"{value:,.0f}" for value in numbers)])
    total, prompts, replies = (
        f"{sum(column):,.0f}"
        for column in zip(*((c.calls, c.prompt_tokens, c.reply_tokens) for c in calls), strict=True)
    )
    rows.append(["all", total, "", "", prompts, replies])
    print(f"\n{title}\n{text_table(header, rows, rule=False)}")
