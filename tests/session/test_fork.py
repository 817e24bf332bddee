"""Copies in the middle of an episode: they go on identically, and apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import finemem_env
from finemem_env import Chunk, Episode, MemoryEnv, MemoryVectorEnv, Question
from finemem_env.data.registry import load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.errors import DataError, ReaderError
from finemem_env.locate import ENVIRONMENTS
from finemem_env.operations import render
from finemem_env.readers import make_reader
from finemem_env.rewards import ATTRIBUTIONS
from finemem_env.session import Session, Streamed, end_here, run_step
from finemem_env.settings import resolve
from finemem_env.testing import canonical
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.types import Op, Operation
from tests.envs.policies import policy_actions


def _rest(env: MemoryEnv, actions: list[str]) -> list[str]:
    return [canonical(env.step(action)) for action in actions]


@pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
@pytest.mark.parametrize("protocol", ["managed", "mem-alpha"])
def test_a_forked_environment_goes_on_identically(env_id: str, protocol: str) -> None:
    keywords: dict[str, Any] = {"protocol": protocol, "reward": "fine-mem-cited"}
    env = gym.make(env_id, **keywords).unwrapped
    assert isinstance(env, MemoryEnv)
    actions = list(policy_actions(env_id, 4))
    env.reset(seed=4)
    for action in actions[:4]:
        env.step(action)
    fork, other = env.fork(), env.fork()
    assert canonical(other.session.observe()) == canonical(env.session.observe())
    for _ in actions[4:]:
        other.step('[{"op": "INSERT", "content": "Something else."}]')
    assert _rest(env, actions[4:]) == _rest(fork, actions[4:])
    # The next episode of each is the same too: the random numbers to come are copied.
    assert canonical(env.reset()) == canonical(fork.reset()) == canonical(other.reset())
    assert [env.action_space.sample() for _ in range(5)] == [
        fork.action_space.sample() for _ in range(5)
    ]


def _stand(env: MemoryVectorEnv) -> str:
    """Where the episodes are, and what will be drawn."""
    drawn = [space.sample() for space in (env.action_space, env.single_action_space)]
    return canonical([env.render(), drawn, env.np_random.random()])


def _play(env: MemoryVectorEnv, steps: range) -> list[str]:
    """Steps on from the first one; an environment that is over is reset where that is up to us."""
    told = []
    for t in steps:
        operation = Operation(Op.INSERT, content=f"thing{t}.")
        step = env.step([render([operation])] * env.num_envs)
        told.append(canonical([*step[:1], *(part.tolist() for part in step[1:4]), str(step[4])]))
        over = np.array([session.terminated for session in env.sessions])
        if env.autoreset_mode is AutoresetMode.DISABLED and over.any():
            observations, infos = env.reset(options={"reset_mask": over})
            told.append(canonical([observations, str(infos)]))
    return [*told, _stand(env)]


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_a_forked_vector_environment_goes_on_identically(mode: AutoresetMode) -> None:
    env = MemoryVectorEnv("AR", num_envs=2, num_chunks=2, autoreset_mode=mode, render_mode="ansi")
    twin = env.fork()  # before the first reset, and without a seed
    assert canonical(env.reset()[0]) == canonical(twin.reset()[0])
    assert _stand(env) == _stand(twin)
    env.reset(seed=4)
    _play(env, range(1))
    env.reset(options={"reset_mask": np.array([False, True])})  # one is a step behind
    ends = set()
    for t in range(1, 5):
        ends.add(tuple(session.terminated for session in env.sessions))
        copies, aside = [env.fork(), env.fork().fork()], env.fork()
        aside.step(("[]",) * 2)
        aside.reset(seed=9)
        expected = _play(copies[0], range(t, t + 3))
        assert _play(copies[1], range(t, t + 3)) == expected
        step = _play(env, range(t, t + 1))[:-1]
        assert step == expected[: len(step)]
    assert len(ends) > 1 or mode is not AutoresetMode.NEXT_STEP


def test_a_vector_environment_is_not_forked_within_a_step() -> None:
    env = MemoryVectorEnv("AR", num_envs=2, num_chunks=2)
    env.reset(seed=0)
    env.sessions[1].advance("[]")
    with pytest.raises(ReaderError, match="inside a step"):
        env.fork()


def _written(tmp_path: Path) -> str:
    """A file of one episode."""
    path = tmp_path / "own.jsonl"
    write_episodes(path, [load_source("synthetic_cr", SourceConfig(num_chunks=4)).episode(2)])
    return str(path)


KINDS: dict[str, Callable[[Path], Any]] = {
    "generated": lambda path: "synthetic_lru",
    "a file": _written,
    "a mixture": lambda path: {"synthetic_ar": 1, _written(path): 1},
    "a stream": lambda path: _conversation(),
}


@pytest.mark.parametrize("memory", ["flat", "hierarchical"])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_go_on_identically_under_every_attribution(
    kind: str, memory: str, tmp_path: Path
) -> None:
    actions = [
        '[{"op": "INSERT", "content": "thing0 is in place0. Mara is here."}]',
        '[{"op": "UPDATE", "id": 1, "content": "thing0 is in place0."}, {"op": "DELETE", "id": 9}]',
        '[{"op": "INSERT", "content": "thing2 is in place2."}, {"op": "DELETE", "id": 1}]',
        "no operation at all",
    ]
    for attribution in ATTRIBUTIONS:
        env = MemoryEnv(
            source=KINDS[kind](tmp_path),
            reward="fine-mem",
            attribution=attribution,
            memory=memory,
            chunk_questions=2,
            memory_budget=40,
            num_chunks=4 if kind == "generated" else None,
        )
        env.reset(seed=3)
        while not env.session.terminated:
            t = env.session.step_index
            action = actions[t % len(actions)]
            copies = [env.fork(), env.fork(), env.fork().fork()]
            copies[0].step('[{"op": "DELETE", "id": 1}]')  # goes another way
            expected = _rest(env, [action])
            assert _rest(copies[1], [action]) == _rest(copies[2], [action]) == expected, t
            env = copies[1 + t % 2]
        assert env.session.record.finals


def _conversation() -> Iterator[Streamed]:
    for number in range(6):
        asked = Question(f"k{number}", f"Where is thing{number}?", (f"place{number}",))
        yield Chunk(f"c{number}", f"thing{number} is in place{number}.", questions=(asked,))
        if number % 2:
            yield Question("", f"Where was thing{number}?", (f"place{number}",))


@pytest.mark.parametrize("first", [0, 1])
def test_a_forked_stream_reads_on_by_itself(first: int) -> None:
    def make() -> MemoryEnv:
        return MemoryEnv(source=_conversation(), memory_budget=0.8, chunk_questions=1)

    actions = [
        render([Operation(Op.INSERT, content=f"thing{i} is in place{i}.")]) for i in range(6)
    ]
    whole = make()
    whole.reset(seed=1)
    expected = _rest(whole, actions)
    env = make()
    env.reset(seed=1)
    assert _rest(env, actions[:3]) == expected[:3]
    pair = [env, env.fork()]
    again = pair[first].fork()
    for one in (pair[first], pair[1 - first], again):
        assert _rest(one, actions[3:]) == expected[3:]


@pytest.mark.parametrize("fault", ["raises", "yields"])
def test_a_stream_that_broke_off_ends_for_no_copy(fault: str) -> None:
    def broken() -> Iterator[Streamed]:
        yield from ("Mara lives in Osta.", "The red key opens the cellar.")
        if fault == "raises":
            raise OSError("the line is dead")
        yield 4  # type: ignore[misc]

    env = MemoryEnv(source=broken())
    env.reset(seed=0)
    for copy in (env.fork(), env.fork(), env):
        with pytest.raises((OSError, DataError), match=r"the line is dead|found int"):
            copy.step("[]")
        with pytest.raises(ReaderError, match="an error cut off"):
            copy.step("[]")


def test_a_fork_before_the_first_reset_and_within_a_step() -> None:
    env = MemoryEnv(num_chunks=2)
    with pytest.raises(gym.error.ResetNeeded):
        env.fork().session  # noqa: B018
    env.reset(seed=0)
    env.session.advance(render([Operation(Op.SKIP)]))
    with pytest.raises(ReaderError, match="inside a step"):
        env.session.fork()


def test_a_forked_reader_is_replaced_alone() -> None:
    env = MemoryEnv(num_chunks=2)
    env.reset(seed=0)
    fork = env.fork()
    fork.factory.reader = object()  # type: ignore[assignment]
    env.step(render([Operation(Op.SKIP)]))


def _short(episode: Episode, chunks: int) -> Episode:
    """What the first chunks hold, with the final questions that they answer."""
    questions = tuple(
        one for one in episode.questions if all(entry.chunk < chunks for entry in one.evidence)
    )
    return dataclasses.replace(episode, chunks=episode.chunks[:chunks], questions=questions)


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_an_early_end_is_the_end_of_the_shorter_text(attribution: str) -> None:
    episode = load_source("synthetic_ar", SourceConfig(num_chunks=6)).episode(1)
    reader = make_reader({"name": "local"})
    settings = resolve(
        reward="fine-mem", attribution=attribution, memory_budget=60, chunk_questions=0
    )
    whole, short = (
        Session(one, settings, np.random.default_rng(0), approx_tokens)
        for one in (episode, _short(episode, 4))
    )
    for chunk in episode.chunks[:4]:
        kept = Operation(Op.INSERT, content=split_sentences(chunk.text)[0])
        for session in (whole, short):
            run_step([session], [render([kept])], reader)
    (ended,) = end_here([whole], reader)
    assert 0 < len(ended.record.finals) < len(episode.questions)
    assert ended.terminated
    assert ended.record.results[-1] == short.record.results[-1]
    assert ended.outcome() == short.outcome()
    # The session itself can go on, and an episode that is over ends as it did.
    assert not whole.terminated
    assert not whole.record.finals
    assert end_here([ended], reader)[0].record == ended.record
    with pytest.raises(ReaderError, match="end"):
        ended.end()


def test_an_episode_ends_after_a_step_at_the_earliest() -> None:
    env = MemoryEnv(num_chunks=2)
    env.reset(seed=0)
    with pytest.raises(ReaderError, match="no step"):
        end_here([env.session], env.factory.reader)


def test_branches_of_a_group_share_their_beginning() -> None:
    env = finemem_env.MemoryEnv(num_chunks=3, memory_budget="unlimited")
    env.reset(seed=5)
    chunks = env.session.episode.chunks
    env.step(render([Operation(Op.INSERT, content=chunks[0].text)]))
    scores = []
    for keep in (True, False):
        branch = env.fork()
        for chunk in chunks[1:]:
            operation = Operation(Op.INSERT, content=chunk.text) if keep else Operation(Op.SKIP)
            *_, info = branch.step(render([operation]))
        scores.append(info["score"])
    assert scores[0] > scores[1]
    assert np.isclose(env.session.step_index, 1)
