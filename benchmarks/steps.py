"""Speed of the environments: dense steps per second, and cost per step as episodes grow.

    python -m benchmarks.steps
    python -m benchmarks.steps --memory 2000 4000 8000

Everything is timed in one run, in CPU time of one process, so that a busy machine changes little. A
dense step stores three sentences of its chunk and asks five chunk questions; resets are included.
With `--memory`, the peak memory of one process instead, after so many tiny episodes.
"""

from __future__ import annotations

import dataclasses
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, at_least_zero, positive
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_row, markdown_table
from finemem_env.env import MemoryEnv
from finemem_env.locate import ENVIRONMENTS
from finemem_env.operations import render
from finemem_env.readers import make_reader
from finemem_env.registration import make_env
from finemem_env.session import Session, run_step
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.types import Chunk, Episode, Op, Operation, Question, Reader

_COLUMNS = (
    "chunks of 2,000 tokens",
    "first tenth [ms/step]",
    "last tenth [ms/step]",
    "of that rendering",
    "last/first without rendering",
    "last step, 100 questions [ms]",
)
_LENGTHS = (10, 40, 100, 219)
_CHUNK_WORDS = 1600  # about 2,000 tokens with punctuation


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the two tables, a line as it comes."""
    parser = program("benchmarks.steps", __doc__)
    parser.add_argument("--seconds", type=at_least_zero, default=3.0, help="per environment")
    parser.add_argument(
        "--memory", type=positive, nargs="*", metavar="N", help="peak memory after N episodes"
    )
    add_seed(parser, "seed of the first episode")
    options = parser.parse_args(arguments)
    if options.memory:
        begin(f"{max(options.memory)} tiny episodes in one process")
        _print_memory(sorted(options.memory), options.seed)
        return 0
    begin(f"{options.seconds:g} s of dense steps in every environment, then long episodes")
    print(markdown_table(["id", "dense steps/s", "against 1,000"], []))
    for env_id in ENVIRONMENTS:
        rate = dense_rate(env_id, options.seconds, options.seed)
        print(markdown_row([env_id, f"{rate:,.0f}", f"{rate / 1000:.2f}"]), flush=True)
    print("\n" + markdown_table(_COLUMNS, []))
    for chunks in _LENGTHS:
        print(_growth_row(chunks, options.seed), flush=True)
    return 0


def _print_memory(marks: Sequence[int], seed: int) -> None:
    """Peak memory of this process after each of so many episodes in all."""
    tiny = {"facts_per_chunk": 1, "distractors_per_chunk": 1}
    env = make_env("FineMem-AR-v0", num_chunks=2, memory_budget="unlimited", difficulty=tiny)
    print(markdown_table(["episodes", "peak memory [MB]"], []))
    for episode in range(marks[-1]):
        _episode(env, seed + episode)
        if episode + 1 in marks:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(markdown_row([f"{episode + 1:,}", f"{peak:.0f}"]), flush=True)


def dense_rate(env_id: str, seconds: float, seed: int) -> float:
    """Steps per second of a policy that stores three sentences a step, resets included."""
    env = make_env(env_id)
    _episode(env, seed)
    steps, start = 0, time.process_time()
    while (passed := time.process_time() - start) < seconds:
        seed += 1
        steps += _episode(env, seed)
    return steps / passed


def _episode(env: MemoryEnv, seed: int) -> int:
    env.reset(seed=seed)
    over, steps = False, 0
    while not over:
        over = env.step(_store(env.session.episode.chunks[steps]))[2]
        steps += 1
    return steps


def _store(chunk: Chunk) -> str:
    sentences = split_sentences(chunk.text)[:3]
    return render([Operation(Op.INSERT, content=text) for text in sentences])


def _growth_row(chunks: int, seed: int) -> str:
    steps, renders = _long_episode(chunks, seed)
    return markdown_row([str(chunks), *growth(steps, renders, 2), f"{steps[-1]:.1f}"])


def growth(steps: Sequence[float], renders: Sequence[float], digits: int) -> list[str]:
    """Medians in ms of the first and last tenth, of rendering in the last, ratio without it.

    The last step answers the final questions too: it is left out.
    """
    body, views = steps[:-1], renders[:-1]
    tenth = max(1, len(body) // 10)
    bare = [step - view for step, view in zip(body, views, strict=True)]
    medians = (np.median(part) for part in (body[:tenth], body[-tenth:], views[-tenth:]))
    ratio = np.median(bare[-tenth:]) / np.median(bare[:tenth])
    return [*(f"{value:.{digits}f}" for value in medians), f"{ratio:.2f}"]


def _long_episode(chunks: int, seed: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each step with its observation, and of the observation alone."""
    settings = resolve(memory_budget="unlimited")
    episode = synthetic_episode(chunks, seed)
    session = Session(episode, settings, np.random.default_rng(seed), approx_tokens, 2**22)
    reader = make_reader({"name": "local"})
    return time_steps(
        session, lambda chunk: render([Operation(Op.INSERT, content=chunk.text)]), reader
    )


def time_steps(
    session: Session, act: Callable[[Chunk], str], reader: Reader
) -> tuple[list[float], list[float]]:
    """Milliseconds of CPU of each step with its observation, and of the observation alone."""
    steps, renders = [], []
    gc.disable()
    for chunk in session.episode.chunks:
        action = act(chunk)
        start = time.process_time()
        run_step([session], [action], reader)
        middle = time.process_time()
        session.observe()
        end = time.process_time()
        steps.append(1000 * (end - start))
        renders.append(1000 * (end - middle))
    gc.enable()
    return steps, renders


def synthetic_episode(
    chunks: int, seed: int, questions: int = 100, words: Sequence[int] = (_CHUNK_WORDS,)
) -> Episode:
    """`chunks` chunks of Zipf-like words with five questions each, and `questions` final ones.

    Chunk t has `words[t % len(words)]` words.
    """
    rng = np.random.default_rng(seed)
    made = tuple(_chunk(t, rng, words[t % len(words)]) for t in range(chunks))
    chunk_questions = [question for chunk in made for question in chunk.questions]
    finals = tuple(
        dataclasses.replace(
            chunk_questions[i], id=f"q{n}", question=f"{chunk_questions[i].question} At the end?"
        )
        for n, i in enumerate(rng.integers(len(chunk_questions), size=questions))
    )
    return Episode(f"long-{chunks}", "AR", "benchmark", made, finals)


def _chunk(t: int, rng: np.random.Generator, size: int) -> Chunk:
    words = [f"w{word}" for word in np.minimum(rng.zipf(1.3, size=size), 20_000)]
    sentences = [" ".join(words[i : i + 12]).capitalize() + "." for i in range(0, len(words), 12)]
    facts = [f"The code of box {t}x{n} is {rng.integers(10**6)}." for n in range(5)]
    questions = tuple(
        Question(f"k{t}-{n}", f"What is the code of box {t}x{n}?", (fact.split()[-1][:-1],))
        for n, fact in enumerate(facts)
    )
    return Chunk(f"c{t}", " ".join(_merged(sentences, facts)), questions=questions)


def _merged(sentences: list[str], facts: list[str]) -> Iterator[str]:
    gap = len(sentences) // (len(facts) + 1)
    for number, sentence in enumerate(sentences):
        yield sentence
        if number % gap == gap - 1 and number // gap < len(facts):
            yield facts[number // gap]


if __name__ == "__main__":
    sys.exit(main())
