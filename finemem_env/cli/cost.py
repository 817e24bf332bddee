"""`python -m finemem_env cost`: calls and tokens of a training step and of a benchmark.

Without --source, the published training set: 32 contexts x 8 rollouts of 10 chunks, 100 questions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from finemem_env.cli.cost_model import PUBLISHED, Assumptions, Call, Shape, costs, measure_shape
from finemem_env.data.registry import load_source
from finemem_env.data.source import SPLITS, SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.rewards import REWARDS
from finemem_env.settings import PROTOCOLS, Settings, resolve

__all__ = ["main"]

_SAMPLE = 20  # episodes that are measured


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table.

    Raises:
        ConfigError: an unknown name, or a number out of range.
        DataError: the source's files are missing or malformed.
    """
    given = _parser().parse_args(argv)
    for name in ("contexts", "rollouts", "updates", "episodes"):
        if getattr(given, name) < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {getattr(given, name)}.")
    training, evaluation = (_settings(given, share) for share in (given.question_fraction, 1.0))
    shape, where = _shape(given)
    assumed = _assumptions(given, training)
    print(
        f"{where}: {shape.chunks:.1f} chunks of {shape.chunk_tokens:,.0f} tokens, "
        f"{shape.finals:.1f} final questions, {shape.chunk_questions:.1f} per chunk"
    )
    print(
        f"protocol {training.protocol}, reward {training.reward.name} "
        f"({training.reward.attribution}), top_k {training.top_k}; the manager is assumed to write "
        f"{assumed.written:.0%} of a chunk in items of {assumed.item_tokens:g} tokens"
    )
    rollouts = given.contexts * given.rollouts
    share = given.question_fraction
    title = f"training step: {given.contexts} contexts x {given.rollouts} rollouts, {share:.0%}"
    step = costs(shape, training, rollouts, assumed)
    _print_table(f"{title} of the final questions", step)
    _print_table(f"training: {given.updates} such steps", _times(step, given.updates))
    benchmark = costs(shape, evaluation, given.episodes, assumed)
    _print_table(f"benchmark: one agent on {given.episodes} episodes, all questions", benchmark)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finemem_env cost", description=__doc__)
    parser.add_argument("--source", help="source or episode file to measure")
    parser.add_argument("--split", default="train", choices=SPLITS, help="default: train")
    parser.add_argument("--data-dir", help="parent of the sources' folders ($FINEMEM_DATA)")
    parser.add_argument("--protocol", default="fine-mem", help=f"one of {', '.join(PROTOCOLS)}")
    parser.add_argument("--reward", help=f"the protocol's, or one of {', '.join(REWARDS)}")
    parser.add_argument("--env-args", default="{}", help="further settings, as JSON")
    parser.add_argument("--contexts", type=int, default=32, help="per step (default: 32)")
    parser.add_argument("--rollouts", type=int, default=8, help="of each context (default: 8)")
    parser.add_argument("--updates", type=int, default=205, help="steps (default: 205, as Mem-α)")
    parser.add_argument("--episodes", type=int, default=100, help="of the benchmark (default: 100)")
    parser.add_argument(
        "--question-fraction", type=float, default=0.2, help="in training (default: 0.2)"
    )
    parser.add_argument(
        "--written", type=float, help="share of a chunk written (default: 0.7, or the budget)"
    )
    parser.add_argument(
        "--item-tokens", type=float, default=100.0, help="size of an item (default: 100)"
    )
    return parser


def _settings(given: argparse.Namespace, share: float) -> Settings:
    try:
        further = json.loads(given.env_args)
        options = {"protocol": given.protocol, "reward": given.reward, "question_fraction": share}
        return resolve(**(options | dict(further)))
    except (TypeError, json.JSONDecodeError) as error:
        raise ConfigError(f"--env-args: {error}.") from error


def _assumptions(given: argparse.Namespace, settings: Settings) -> Assumptions:
    """What the manager writes: as much as the budget takes, unless the user knows better."""
    budget, written = settings.memory_budget, given.written
    if written is None:
        usual = Assumptions().written
        written = min(usual, budget) if isinstance(budget, float) else usual
    if not (0 < written <= 10 and given.item_tokens >= 1):
        raise ConfigError("--written must be above 0 and --item-tokens at least 1.")
    return Assumptions(written, given.item_tokens)


def _shape(given: argparse.Namespace) -> tuple[Shape, str]:
    if given.source is None:
        return PUBLISHED, "published training set"
    config = SourceConfig(
        split=given.split, data_dir=Path(given.data_dir) if given.data_dir else None
    )
    source = load_source(given.source, config, None)
    count = _SAMPLE if source.size is None else min(_SAMPLE, source.size)
    episodes = [source.episode(index) for index in range(count)]
    return measure_shape(episodes), f"source {source.name} ({count} episodes measured)"


def _times(calls: Sequence[Call], factor: float) -> list[Call]:
    return [Call(one.kind, one.calls * factor, one.prompt, one.reply) for one in calls]


def _print_table(title: str, calls: Sequence[Call]) -> None:
    row = "{:18}{:>14}{:>13}{:>13}{:>18}{:>16}"
    print(f"\n{title}")
    print(row.format("", "calls", "prompt/call", "reply/call", "prompt tokens", "reply tokens"))
    for one in calls:
        numbers = (one.calls, one.prompt, one.reply, one.prompt_tokens, one.reply_tokens)
        print(row.format(one.kind, *(f"{number:,.0f}" for number in numbers)))
    sums = (
        sum(one.calls for one in calls),
        sum(one.prompt_tokens for one in calls),
        sum(one.reply_tokens for one in calls),
    )
    total, prompts, replies = (f"{number:,.0f}" for number in sums)
    print(row.format("all", total, "", "", prompts, replies))
