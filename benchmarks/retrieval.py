"""Speed of memory, retrieval and scoring against rank_bm25, in ratios taken in one run.

    python -m benchmarks.retrieval

`rebuild` tokenises every item and builds a `BM25Okapi` for every question, as Mem-α's published
server does; `cached` does so once per state of the memory; `ours` is the incremental BM25("okapi"),
its caches empty at the start. All find items of the same scores, which is checked, and score the
best one. CPU time of one process, so that a busy machine changes little.

First table: a memory that stands is asked. Once and spread over the episode, `store` is what the
memory costs while the items come in, provenance included, and `index` what their terms cost, which
wait for the first search; the last ratio has both. Second table: one step of an episode, which
replaces an item and asks five questions about what the memory is then.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.tables import markdown_table
from finemem_env.extras import load
from finemem_env.memory import Workspace
from finemem_env.retrieval import BM25
from finemem_env.scoring import score
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens, words
from finemem_env.types import Op, Operation, Question

_TOP_K = 5
_COLUMNS = ("items", "rebuild", "cached", "ours", "rebuild / ours", "cached / ours")
_CHUNK_QUESTIONS = 5  # asked after every step
_ANSWER = 160  # characters that are scored: about 40 tokens
_VOCABULARY = 20_000
T = TypeVar("T")


class RetrievalTask(NamedTuple):
    """Texts to store and the questions asked about them."""

    items: list[str]
    questions: list[Question]


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the two tables."""
    parser = program("benchmarks.retrieval", __doc__)
    add = parser.add_argument
    add("--items", type=positive, nargs="+", default=[10, 100, 400, 1000], help="in memory")
    add("--words", type=positive, default=200, help="words of an item")
    add("--questions", type=positive, default=100, help="questions asked at the end")
    add_seed(parser, "of texts and questions")
    options = parser.parse_args(arguments)
    _rank_bm25()
    begin(f"memories of {', '.join(map(str, options.items))} items, asked and changed")
    finals, steps = [], []
    with Progress(2 * len(options.items), "row") as advance:
        for count in options.items:
            task = make_task(count, options.words, options.questions, options.seed)
            finals.append(final_row(task))
            advance(f"{count} items, questions at the end")
            steps.append(step_row(task))
            advance(f"{count} items, one step")
    print(f"{options.questions} questions, items of {options.words} words [ms]:\n")
    header = [*_COLUMNS, "store", "index", "rebuild / (store + index + ours)"]
    print(markdown_table(header, finals, padded=True))
    print(f"\nReplace one item, then {_CHUNK_QUESTIONS} questions [ms]:\n")
    print(markdown_table(_COLUMNS, steps, padded=True))
    return 0


def make_task(items: int, length: int, questions: int, seed: int) -> RetrievalTask:
    """Zipf-like texts of `length` words; each question shares half of its 20 words with one."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, _VOCABULARY + 1)
    drawn = rng.choice(_VOCABULARY, (items, length), p=weights / weights.sum())
    texts = [[f"w{word}" for word in row] for row in drawn]
    queries = []
    for i in range(questions):
        source = texts[int(rng.integers(items))]
        noise = rng.choice(_VOCABULARY, 10, p=weights / weights.sum())
        shared = [source[int(j)] for j in rng.integers(0, length, 10)]
        text = " ".join([*shared, *(f"w{word}" for word in noise)])
        queries.append(Question(f"q{i}", text, (" ".join(source[:2]),)))
    return RetrievalTask([" ".join(text) for text in texts], queries)


def final_row(task: RetrievalTask) -> list[str]:
    """Milliseconds to answer all questions, to store the items, and the ratios.

    Ours goes first, so that nothing that it caches is there yet.

    Raises:
        AssertionError: it did not find items of the same scores as rank_bm25.
    """
    store, workspace = _timed(lambda: _stored(task.items))
    made, _ = _timed(lambda: workspace.search("", 1))
    ours, retrieved = _timed(lambda: [_ask(workspace, question) for question in task.questions])
    index = workspace.retriever
    assert isinstance(index, BM25)
    rebuild, expected = _timed(lambda: _reference(task, cached=False))
    cached, _ = _timed(lambda: _reference(task, cached=True))
    for question, ids, best in zip(task.questions, retrieved, expected, strict=True):
        scores = index.scores(question.question)
        if not np.allclose([scores[i] for i in ids], best[: len(ids)], atol=1e-9):
            raise AssertionError(f"not the items of rank_bm25: {question.question!r}")
    cells = _row(len(task.items), rebuild, cached, ours)
    once = [f"{1000 * value:,.2f}" for value in (store, made)]
    return [*cells, *once, f"{rebuild / (store + made + ours):,.0f}"]


def step_row(task: RetrievalTask, repeats: int = 20) -> list[str]:
    """Milliseconds of one edit with the questions after it, once the memory stands."""
    questions = task.questions[:_CHUNK_QUESTIONS]
    workspace = _stored(task.items)
    workspace.search("", 1)  # makes the index

    def step(number: int) -> list[list[int]]:
        item = workspace.memory.items()[number % len(workspace.memory)]
        content = f"{item.content} edit{number}"
        workspace.apply(0, [Operation(Op.UPDATE, content=content, item_id=item.id)])
        return [_ask(workspace, question) for question in questions]

    ours = _timed(lambda: [step(number) for number in range(repeats)])[0] / repeats
    small = RetrievalTask(task.items, questions)
    rebuild = _timed(lambda: _reference(small, cached=False))[0]
    cached = _timed(lambda: _reference(small, cached=True))[0]
    return _row(len(task.items), rebuild, cached, ours)


def _row(items: int, rebuild: float, cached: float, ours: float) -> list[str]:
    times = [f"{1000 * value:,.2f}" for value in (rebuild, cached, ours)]
    return [f"{items:,}", *times, f"{rebuild / ours:,.0f}", f"{cached / ours:,.1f}"]


def _reference(task: RetrievalTask, *, cached: bool) -> list[list[float]]:
    """The best scores per question."""
    index, best = None, []
    for question in task.questions:
        if index is None or not cached:
            index = _rank_bm25().BM25Okapi([words(text) for text in task.items])
        scores = index.get_scores(words(question.question))
        top = np.argsort(scores)[::-1][:_TOP_K]
        score(task.items[top[0]][:_ANSWER], question)
        best.append([float(scores[i]) for i in top])
    return best


def _rank_bm25() -> Any:  # noqa: ANN401
    return load("rank_bm25", "the comparison")


def _stored(items: Sequence[str]) -> Workspace:
    """A memory, with its index, that took in the items one by one."""
    settings = resolve(protocol="fine-mem", max_item_tokens="unlimited")
    workspace = Workspace(settings, approx_tokens)
    for text in items:
        workspace.apply(0, [Operation(Op.INSERT, content=text)])
    return workspace


def _ask(workspace: Workspace, question: Question) -> list[int]:
    items = workspace.search(question.question, _TOP_K)
    score(items[0].content[:_ANSWER] if items else "", question)
    return [item.id for item in items]


def _timed(run: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of one call, and what it returned."""
    gc.collect()
    gc.disable()
    start = time.process_time()
    result = run()
    passed = time.process_time() - start
    gc.enable()
    return passed, result


if __name__ == "__main__":
    sys.exit(main())
