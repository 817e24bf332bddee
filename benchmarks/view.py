"""How long a page of a large episode takes in a real browser: `python -m benchmarks.view`.

Makes an episode of 219 chunks, 10,000 items and 100 questions, writes its page, opens it in a
headless Chromium and prints the time to the first paint, the time until it can be used, the time of
one key, and the memory of its script.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.browser import Browser, address, chromium
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import positive
from finemem_env.errors import ConfigError
from finemem_env.inspect import Choice
from finemem_env.operations import render
from finemem_env.readers import LocalReader
from finemem_env.session import Session, run_step
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens
from finemem_env.trace import Trace, record_trace, write_traces
from finemem_env.types import Chunk, Episode, Evidence, Op, Operation, Question
from finemem_env.view import collect, page


def large_trace(steps: int, items: int, questions: int) -> Trace:
    """The trace of an agent that stores every sentence of its chunks and rewrites some."""
    each = -(-items // steps)
    facts = [f"Box {n} of the archive holds letter {n * 7919 % 100003}." for n in range(items)]
    chunks = tuple(
        Chunk(f"c{t}", " ".join(facts[t * each : (t + 1) * each]) or "Nothing.")
        for t in range(steps)
    )
    places = [n * items // questions for n in range(questions)]
    finals = tuple(
        Question(
            f"q{n}",
            f"Which letter does box {n} of the archive hold?",
            (facts[n].split()[-1].rstrip("."),),
            evidence=(Evidence(n // each, facts[n]),),
        )
        for n in places
    )
    episode = Episode("large", "AR", "benchmark", chunks, finals)
    settings = resolve(memory_budget="unlimited", chunk_questions=0, max_operations=2 * each)
    session = Session(episode, settings, np.random.default_rng(0), approx_tokens, 10_000)
    reader = LocalReader()
    for t in range(steps):
        own = [Operation(Op.INSERT, content=text) for text in facts[t * each : (t + 1) * each]]
        if t % 3 == 2:
            own.append(Operation(Op.UPDATE, item_id=1 + t * each // 2, content=f"Box lost in {t}."))
        run_step([session], [render(own or [Operation(Op.SKIP)])], reader)
    return record_trace(session, agent="stores all")


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = program("benchmarks.view", __doc__)
    add = parser.add_argument
    add("--steps", type=positive, default=219, help="chunks of the episode")
    add("--items", type=positive, default=10_000, help="items that are stored")
    add("--questions", type=positive, default=100, help="final questions")
    options = parser.parse_args(arguments)
    browser = chromium()
    if browser is None:
        raise ConfigError("no Chromium is on the PATH; install one, e.g. apt-get install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jsonl"
        write_traces(path, [large_trace(options.steps, options.items, options.questions)])
        start = time.process_time()
        html = page("large", collect(path, Choice(), 1))
        made = time.process_time() - start
        out = Path(folder) / "large.html"
        out.write_text(html, encoding="utf-8")
        print(f"page written in {made:.1f} s of CPU time, {len(html) / 1e6:.1f} MB")
        _measure(Browser(browser), out)
    return 0


def _measure(browser: Browser, out: Path) -> None:
    try:
        browser.open(address(out))
        browser.run("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        paint = browser.run("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
        loaded = browser.run("performance.timing.domComplete - performance.timing.navigationStart")
        marks = browser.run("document.querySelectorAll('.grid *').length")
        key = browser.run(_KEY)
        memory = browser.run("performance.memory.usedJSHeapSize")
        print(f"first paint {paint or 0:.0f} ms, usable after {loaded:.0f} ms, {marks} shapes")
        print(f"one key {key:.0f} ms, memory of the script {memory / 1e6:.0f} MB")
    finally:
        browser.close()


_KEY = """(() => {
  const start = performance.now();
  for (let n = 0; n < 20; n++)
    dispatchEvent(new KeyboardEvent("keydown", { key: n % 2 ? "ArrowRight" : "ArrowDown" }));
  document.body.offsetHeight;
  return (performance.now() - start) / 20;
})()"""


if __name__ == "__main__":
    sys.exit(main())
