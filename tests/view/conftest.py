"""A run, a trace that means harm, and a browser where there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from baselines.runs.run import AgentChoice, RunConfig, run
from benchmarks.browser import Browser, chromium
from finemem_env.trace import Trace, read_traces, write_traces
from finemem_env.types import Medium

EVIL = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    "<!-- \u202egnp.exe\u2066 \x1b[2J \ud800 @@DATA@@ javascript:window.pwned=3\u2028\U000e0041end"
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two agents, two episodes each."""
    path = tmp_path_factory.mktemp("run")
    agents = tuple(map(AgentChoice, ("store_chunks", "oracle")))
    env_args = {"num_chunks": 4, "split": "test"}
    run(RunConfig(env_args=env_args, agents=agents, episodes=2), path)
    return path


def spoiled(trace: Trace) -> Trace:
    """The trace with harm in every text that it has."""
    answers = tuple(
        dataclasses.replace(
            answer, question=EVIL, golds=(EVIL,), prediction=EVIL, type=EVIL, metric=EVIL
        )
        for answer in trace.answers
    )
    steps = tuple(
        dataclasses.replace(
            step,
            action=EVIL if t else f'[{{"op": "INSERT", "content": {EVIL!r}}}]',
            chunk=EVIL + "x" * 300_000,
            time=EVIL,
            media=(Medium("image", EVIL, b"<svg onload='window.pwned = 4'>", EVIL, 1),),
            answers=tuple(dataclasses.replace(one, question=EVIL) for one in step.answers),
        )
        for t, step in enumerate(trace.steps)
    )
    settings = {**trace.settings, "protocol": EVIL}
    return dataclasses.replace(
        trace, agent=EVIL, episode_id=EVIL, answers=answers, steps=steps, settings=settings
    )


@pytest.fixture(scope="session")
def evil(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of traces that means harm."""
    path = tmp_path_factory.mktemp("evil") / "evil.jsonl"
    trace = next(read_traces(folder / "traces.jsonl"))
    write_traces(path, [spoiled(trace), trace])
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on the PATH: the page is not looked at in a browser")
    made = Browser(program)
    yield made
    made.close()
