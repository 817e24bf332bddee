"""Time and memory of long episodes: the size of the published test sets, and 1.4M tokens.

    python -m benchmarks.scale

Every row is one episode in a process of its own, so that its peak memory is its own. Times are CPU
times. The agent stores whole chunks, or ten sentences of each; a step includes the chunk questions
and its observation, and the last one 100 final questions.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.steps import growth, synthetic_episode, time_steps
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_row, markdown_table
from finemem_env.operations import render
from finemem_env.readers import make_reader
from finemem_env.session import Session
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.types import Chunk, Op, Operation

_SENTENCES = 10
_TOKENS = 2164  # of a chunk of the longest published test set
_SIZES = {"0.47M": 219, "1.4M": 647}
_COLUMNS = (
    "memory",
    "stored",
    "chunks",
    "tokens",
    "items",
    "first tenth [ms/step]",
    "last tenth [ms/step]",
    "of that rendering",
    "last/first without rendering",
    "last step [s]",
    "episode [s]",
    "memory at start, peak [MB]",
)
SETTINGS: dict[str, dict[str, Any]] = {
    "flat": {},
    "hierarchical": {"memory": "hierarchical", "memory_view": "recent:5"},
    "flat, no chunk questions": {"protocol": "memoryagentbench"},
    "hierarchical, mem-alpha": {"protocol": "mem-alpha"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """Times [ms] of the steps and of their observations, and memory [MB] before and at most."""

    tokens: int
    items: int
    steps: list[float]
    renders: list[float]
    base: float
    peak: float


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, a line as it comes."""
    parser = program("benchmarks.scale", __doc__)
    add = parser.add_argument
    add("--chunks", type=positive, nargs="*", default=list(_SIZES.values()), help="of an episode")
    add("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS), help="of the rows")
    add("--questions", type=positive, default=100, help="final questions")
    add_seed(parser, "seed of the episode")
    options = parser.parse_args(arguments)
    begin(f"episodes of {', '.join(map(str, options.chunks))} chunks, a process each")
    print(markdown_table(_COLUMNS, []))
    context = multiprocessing.get_context("spawn")
    for chunks in options.chunks:
        for name in options.settings:
            for stored in STORED:
                with context.Pool(1) as pool:
                    settings = (name, stored, chunks, options.questions, options.seed)
                    measured = pool.apply(measure, settings)
                print(row(name, stored, chunks, measured), flush=True)
    return 0


def measure(name: str, stored: str, chunks: int, questions: int, seed: int) -> Measured:
    """Play one long episode with the settings called `name` and take its times and memory."""
    episode = synthetic_episode(chunks, seed, questions, _chunk_words())
    base = _megabytes()
    settings = resolve(**({"memory_budget": "unlimited"} | SETTINGS[name]))
    session = Session(episode, settings, np.random.default_rng(seed), approx_tokens, 2**22)
    reader = make_reader({"name": "local"})
    steps, renders = time_steps(session, STORED[stored], reader)
    return Measured(
        sum(session.chunk_tokens), len(session.memory), steps, renders, base, _megabytes()
    )


def _chunk_words() -> list[int]:
    """Words that make chunks of about `_TOKENS` tokens, no two of one length.

    Texts of one length tie in BM25 wherever they share the same words, which real texts seldom do.
    """
    size = 1600
    tokens = approx_tokens(synthetic_episode(1, 0, 1, [size]).chunks[0].text)
    middle = round(size * _TOKENS / tokens)
    return [middle - 400 + 163 * t % 800 for t in range(800)]


def _whole(chunk: Chunk) -> str:
    return render([Operation(Op.INSERT, content=chunk.text)])


def _some(chunk: Chunk) -> str:
    sentences = split_sentences(chunk.text)
    chosen = sentences[:: max(1, len(sentences) // _SENTENCES)][:_SENTENCES]
    return render([Operation(Op.INSERT, content=text) for text in chosen])


STORED: dict[str, Callable[[Chunk], str]] = {"chunks": _whole, "sentences": _some}


def row(name: str, stored: str, chunks: int, measured: Measured) -> str:
    """One line of the table."""
    return markdown_row(
        [
            name,
            stored,
            str(chunks),
            f"{measured.tokens:,}",
            f"{measured.items:,}",
            *growth(measured.steps, measured.renders, 1),
            f"{measured.steps[-1] / 1000:.2f}",
            f"{sum(measured.steps) / 1000:.1f}",
            f"{measured.base:.0f}, {measured.peak:.0f}",
        ]
    )


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
