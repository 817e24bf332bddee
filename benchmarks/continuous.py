"""What filling up a decoding batch saves: `python -m benchmarks.continuous`.

Draws the replies of one step index, whose lengths differ, with one thread: batch after batch, and
with waiting rows in the places of those that are done. Rows of a group share most of
their prompt, as the rollouts of one context do. The draws are the same: a reply differs only where
rounding decides between two tokens.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from finemem_env.cli.frame import command, program
from finemem_env.cli.options import at_least
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.tables import markdown_table
from finemem_env.extras import needs

if TYPE_CHECKING:
    from finemem_env.backends.sampler import Sample

GROUP, SHARED, OWN = 8, 300, (30, 100)  # rows of a group, and tokens of their prompts
LIMIT = 96  # longest reply
ENDS = 1 / 36  # share of the vocabulary that ends a reply
FLAT = 30.0  # a temperature at which all tokens are about equally probable


@dataclass(slots=True)
class Way:
    """One way to decode, as it was measured."""

    refill: bool
    seconds: list[float] = field(default_factory=list)
    passes: int = 0
    replies: list[Sample] = field(default_factory=list)


def prompts(rows: int, vocabulary: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """Token ids and groups of `rows` rows."""
    rng = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(vocabulary) for _ in range(count))

    prefixes = [ids(SHARED) for _ in range(0, rows, GROUP)]
    groups = [row // GROUP for row in range(rows)]
    return [prefixes[group] + ids(rng.randint(*OWN)) for group in groups], groups


def measure(model: Any, way: Way, rows: int, batch: int) -> None:  # noqa: ANN401
    """Decode once, `batch` rows at a time."""
    from finemem_env.backends import Sampling
    from finemem_env.backends.local import sample

    size = model.get_input_embeddings().num_embeddings
    texts, groups = prompts(rows, size)
    calls: list[object] = []
    hook = model.register_forward_hook(lambda *call: calls.append(None))
    start = time.process_time()
    way.replies = sample(
        model,
        texts,
        Sampling(FLAT, max_tokens=LIMIT, seed=0),
        stop_ids=range(int(size * ENDS)),
        batch_tokens=batch * (SHARED + OWN[1] + LIMIT),
        groups=groups,
        refill=way.refill,
    )
    way.seconds.append(time.process_time() - start)
    way.passes = len(calls)
    hook.remove()


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both ways in turns and print the table."""
    parser = program("benchmarks.continuous", __doc__)
    add = parser.add_argument
    add("--rows", type=at_least(1), default=64, help="replies of the step index")
    add("--batch", type=at_least(1), default=16, help="rows that are decoded at a time")
    add("--rounds", type=at_least(1), default=5, help="turns of each way")
    add("--model", help="name, folder or .gguf file (default: the packaged model)")
    options = parser.parse_args(arguments)
    begin(f"{options.rows} rows, {options.batch} at a time, {options.rounds} rounds, one thread")
    with needs("training", "train"):
        import torch
    from agents.assets import tiny_folder
    from finemem_env.backends.hf import load_model
    from finemem_env.backends.local import abilities

    torch.set_num_threads(1)
    model = load_model(options.model or str(tiny_folder()), device="cpu", dtype="float32")
    abilities(model)  # tried now, not in the first turn of the first way
    ways = {"batch after batch": Way(refill=False), "filled up": Way(refill=True)}
    with Progress(options.rounds, "round") as advance:
        for _ in range(options.rounds):
            for way in ways.values():
                measure(model, way, options.rows, options.batch)
            advance("")
    _tell(ways)
    return 0


def _tell(ways: dict[str, Way]) -> None:
    header = ["way", "CPU s (median)", "lowest", "highest", "forward passes"]
    rows = [
        [name, *(f"{f(way.seconds):.2f}" for f in (median, min, max)), str(way.passes)]
        for name, way in ways.items()
    ]
    print(markdown_table(header, rows, padded=True))
    old, new = ways.values()
    ratios = sorted(a / b for a, b in zip(old.seconds, new.seconds, strict=True))
    lengths = sorted(len(reply.token_ids) for reply in new.replies)
    same = sum(a.token_ids == b.token_ids for a, b in zip(old.replies, new.replies, strict=True))
    print(
        f"\nreplies of {lengths[0]} to {lengths[-1]} tokens, median {median(lengths):.0f}; "
        f"{median(ratios):.2f} times as fast ({ratios[0]:.2f}-{ratios[-1]:.2f}); "
        f"{same} of {len(lengths)} replies are the same"
    )


if __name__ == "__main__":
    sys.exit(main())
