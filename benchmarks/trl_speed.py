"""Speed and memory of an update (sampling included) against TRL's GRPOTrainer, in one run.

    python -m benchmarks.trl_speed

Both sides train the same model from a config, on the same prompts, with completions of the same
forced length, the same number of threads and the same type. Every side lives in a process of its
own and they take turns for several rounds, so that a busy machine slows all alike; the ratio is
taken round by round. Peak memory is what a side's process needs beyond its own imports.

TRL runs without vLLM, logging, saving, evaluation and gradient checkpointing, in float32 on a CPU
(its default there would be bfloat16), with one micro-batch of all rows and with four quarters;
ratios are against the faster of the two. Set-ups:

    same prompt   every group of 8 rows has one prompt of 100 tokens, as TRL's own groups have
    own memory    the rows of a group share 300 tokens (instructions and chunk) and go on with 100
                  tokens of their own (the memory), as the groups of `agents.grpo` do; TRL computes
                  such rows in full
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from finemem_env.cli.frame import Parser, command, program
from finemem_env.cli.options import positive
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.tables import markdown_table
from finemem_env.errors import BackendError, ConfigError
from finemem_env.extras import require

_ROOT = Path(__file__).resolve().parents[1]
_SIDES = "benchmarks.trl_sides"
_COLUMNS = ("side", "rows/s", "s/update", "sample", "update", "CPU s", "peak memory", "imports")


@dataclass(frozen=True, slots=True)
class UpdateTask:
    """What both sides do; `shared` of the `prompt` tokens are common to a group."""

    prompt: int = 100
    shared: int = 100
    completion: int = 48
    rows: int = 128
    group: int = 8
    vocabulary: int = 400
    threads: int = 2
    device: str = "cpu"
    mixed: bool = False
    seed: int = 0

    def prompts(self) -> list[list[int]]:
        """Token ids of every row's prompt, groups in a row; the first two ids are special."""
        from numpy.random import default_rng

        draw = default_rng(self.seed)

        def ids(count: int) -> list[int]:
            return [int(token) for token in draw.integers(2, self.vocabulary, size=count)]

        prompts = []
        for _ in range(self.rows // self.group):
            head = ids(self.shared)
            prompts += [[*head, *ids(self.prompt - self.shared)] for _ in range(self.group)]
        return prompts


SETUPS = {
    "same prompt": UpdateTask(),
    "own memory": UpdateTask(prompt=400, shared=300),
}


class Round(NamedTuple):
    """Seconds of one round of updates on one side."""

    seconds: float
    cpu: float  # of all threads
    sample: float
    updates: int
    peak: int  # bytes, of the process or the device, so far


class Side:
    """A process that does updates when told to."""

    def __init__(self, name: str, task: UpdateTask) -> None:
        self.name, self.task = name, task
        self.process = subprocess.Popen(
            [sys.executable, "-m", _SIDES, name, json.dumps(asdict(task))],
            cwd=_ROOT,
            env=os.environ | _environment(task),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.imports: int = self._read()["imports"]
        self.rounds: list[Round] = []

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()

    def run(self, updates: int) -> Round:
        """Do `updates` updates and wait for them."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer that is missing says it better
            self.process.stdin.write(f"{updates}\n")
            self.process.stdin.flush()
        return Round(**self._read())

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            raise BackendError(f"{self.name}: the process ended; its error is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _environment(task: UpdateTask) -> dict[str, str]:
    """Threads wait for one another as in any training: keep the cores free of other jobs."""
    return {"OMP_NUM_THREADS": str(task.threads), "TOKENIZERS_PARALLELISM": "0"}


def measure(
    task: UpdateTask,
    names: Sequence[str],
    rounds: int,
    updates: int,
    advance: Callable[[str], None] = lambda name: None,
) -> dict[str, Side]:
    """The sides, by name, after their rounds; the first update of each is not counted."""
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(Side(name, task)) for name in names}
        for side in sides.values():
            side.run(1)
        for _ in range(rounds):
            for side in sides.values():
                side.rounds.append(side.run(updates))
            advance("")
    return sides


def table(sides: dict[str, Side]) -> str:
    """A row per side (medians over rounds), and the ratios to the fastest other side."""
    text = markdown_table(_COLUMNS, [_cells(side) for side in sides.values()], padded=True)
    ours, others = sides["ours"], [side for name, side in sides.items() if name != "ours"]
    if not others:
        return text
    best = min(others, key=lambda side: statistics.median(turn.seconds for turn in side.rounds))
    ratios = [b.seconds / a.seconds for a, b in zip(ours.rounds, best.rounds, strict=True)]
    memory = _memory(ours) / _memory(best)
    return (
        f"{text}\n\nours against {best.name}: {statistics.median(ratios):.2f} times the rows/s "
        f"({min(ratios):.2f}-{max(ratios):.2f} over {len(ratios)} rounds), {memory:.2f} times "
        "the memory"
    )


def _cells(side: Side) -> list[str]:
    seconds = statistics.median(turn.seconds / turn.updates for turn in side.rounds)
    sample = statistics.median(turn.sample / turn.updates for turn in side.rounds)
    return [
        side.name,
        f"{side.task.rows / seconds:.0f}",
        f"{seconds:.2f}",
        f"{sample:.2f}",
        f"{seconds - sample:.2f}",
        f"{statistics.median(turn.cpu / turn.updates for turn in side.rounds):.2f}",
        f"{_memory(side) / 2**20:.0f} MiB",
        f"{side.imports / 2**20:.0f} MiB",
    ]


def _memory(side: Side) -> int:
    """Peak beyond the imports; on a device nothing is there before the model."""
    base = side.imports if side.task.device == "cpu" else 0
    return side.rounds[-1].peak - base


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table per set-up."""
    options = _parser().parse_args(arguments)
    require(("torch", "transformers", "datasets", "trl"), "the comparison", "trl")
    _check(options.splits, options.setups, options.device)
    names = ["ours", *[f"trl/{split}" for split in options.splits]]
    own = {"threads": options.threads, "device": options.device, "mixed": options.mixed}
    begin(f"set-ups {', '.join(options.setups)}, {options.rounds} rounds of {', '.join(names)}")
    for name in options.setups:
        task = replace(SETUPS[name], **own)
        with Progress(options.rounds, "round") as advance:
            sides = measure(task, names, options.rounds, options.updates, advance)
        load = " ".join(f"{average:.1f}" for average in os.getloadavg())
        print(
            f"{name}: {task.rows} rows of {task.prompt} + {task.completion} tokens, "
            f"{task.shared} shared by {task.group}; {task.threads} threads, {task.device}, "
            f"load {load}\n\n{table(sides)}\n",
            flush=True,
        )
    return 0


def _check(splits: Sequence[int], setups: Sequence[str], device: str) -> None:
    """Refuse what a side would end at."""
    import torch

    from finemem_env.backends.hf import find_device

    for name in setups:
        rows = SETUPS[name].rows
        if unfit := [split for split in splits if rows % split]:
            raise ConfigError(f"splits: expected divisors of {rows} rows, got {unfit[0]}.")
    if device == "auto":
        raise ConfigError("device: expected cpu or an accelerator that this torch has, got 'auto'.")
    find_device(torch, device)


def _parser() -> Parser:
    parser = program("benchmarks.trl_speed", __doc__)
    add = parser.add_argument
    add("--setups", nargs="+", choices=sorted(SETUPS), default=list(SETUPS), help="see above")
    add("--rounds", type=positive, default=5, help="turns of every side")
    add("--updates", type=positive, default=2, help="updates a turn")
    add("--splits", type=positive, nargs="+", default=[1, 4], help="micro-batches of TRL")
    cores = os.cpu_count() or 1
    add("--threads", type=positive, default=cores, help="of every side (default: all cores)")
    add("--device", default="cpu", help="torch device of both sides")
    add("--mixed", action="store_true", help="bfloat16 arithmetic on both sides")
    return parser


if __name__ == "__main__":
    sys.exit(main())
