"""Episodes from iterators, and chunk sizes chosen from the length of a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finemem_env import Chunk, MemoryEnv, Question
from finemem_env.data.schema import read_episodes, write_episodes
from finemem_env.data.source import AutoTokens
from finemem_env.errors import ConfigError, DataError
from finemem_env.operations import render
from finemem_env.session import Streamed
from finemem_env.types import Op, Operation
from tests.data.publishers import write_all

MARA = "Mara lives in Osta."
KEY = "The red key opens the cellar."
GATE = "The code of the gate is 4711."


def _question(question_id: str, text: str, gold: str, after: int | None = None) -> Question:
    return Question(question_id, text, (gold,), asked_after=after)


STREAM: tuple[Streamed, ...] = (
    Chunk("a", MARA, time="2024-01-01"),
    _question("where", "Where does Mara live?", "Osta"),
    KEY,
    Chunk(
        "c",
        GATE,
        questions=(Question("code", "What is the code of the gate?", ("4711",)),),
    ),
    _question("key", "What does the red key open?", "the cellar"),
)
FACTS = (MARA, KEY, GATE)


def _env(source: object, **keywords: Any) -> MemoryEnv:  # noqa: ANN401
    return MemoryEnv(source=source, **({"memory_budget": "unlimited"} | keywords))


def _insert(text: str) -> str:
    return render([Operation(Op.INSERT, content=text)])


def _play(env: MemoryEnv, actions: Sequence[str]) -> tuple[list[float], list[dict[str, Any]]]:
    rewards, infos = [], []
    for action in actions:
        _, reward, _, _, info = env.step(action)
        rewards.append(reward)
        infos.append(info)
    return rewards, infos


def test_chunks_and_questions_come_one_step_ahead() -> None:
    seen = []

    def arriving() -> Iterator[Streamed]:
        for number, item in enumerate(STREAM):
            seen.append(number)
            yield item

    env = _env(arriving())
    observation, info = env.reset(seed=0)
    assert '<chunk index="0" of="?" time="2024-01-01">' in observation
    assert (info["num_chunks"], info["episode_id"], seen) == (-1, "stream/0", [0, 1, 2])
    _, infos = _play(env, [_insert(MARA)])
    assert seen == [0, 1, 2, 3]
    assert infos[0]["num_chunks"] == -1
    assert [asked.question.id for asked, _ in env.session.record.finals] == ["where"]
    _, infos = _play(env, [_insert(KEY)])
    assert infos[0]["num_chunks"] == 3, "the last chunk is known when it is being read"
    assert not env.session.terminated
    _, infos = _play(env, [_insert(GATE)])
    assert env.session.terminated
    assert [(one["id"], one["score"]) for one in infos[0]["answers"]] == [("where", 1), ("key", 1)]
    assert len(infos[0]["step_rewards"]) == 3


def test_the_same_rewards_as_of_an_episode_known_whole(tmp_path: Path) -> None:
    env = _env(list(STREAM))
    env.reset(seed=3)
    streamed, infos = _play(env, [_insert(text) for text in FACTS])
    path = tmp_path / "stream.jsonl"
    write_episodes(path, [env.session.episode])
    (stored,) = read_episodes(path)
    assert [question.asked_after for question in stored.questions] == [0, 2]
    whole = _env(str(path))
    whole.reset(seed=3, options={"episode_id": "stream/0"})
    known, known_infos = _play(whole, [_insert(text) for text in FACTS])
    assert streamed == pytest.approx(known)
    assert infos[-1]["step_rewards"] == pytest.approx(known_infos[-1]["step_rewards"])
    assert infos[-1]["evidence_credit"] == pytest.approx(known_infos[-1]["evidence_credit"])
    assert sum(infos[-1]["step_rewards"]) == pytest.approx(sum(streamed))


def test_a_question_waits_for_the_step_it_names() -> None:
    stream = [
        MARA,
        _question("late", "Where does Mara live?", "Osta", after=1),
        _question("never", "What is the code of the gate?", "4711", after=9),
        _question("", "Where does Mara live?", "Osta"),
        KEY,
        GATE,
    ]
    env = _env(stream)
    env.reset(seed=0)
    asked = []
    for text in FACTS:
        env.step(_insert(text))
        asked.append([one.question.id for one, _ in env.session.record.finals])
    assert asked[0] == ["q2"]
    assert asked[1] == ["q2", "late"]
    assert asked[2] == ["q2", "late", "never"], "a step that never comes is the last"


def test_a_budget_share_is_of_the_tokens_read() -> None:
    env = _env(list(STREAM), memory_budget=1.0)
    env.reset(seed=0)
    budgets = [env.session.memory.budget]
    for text in FACTS[:2]:
        env.step(_insert(text))
        budgets.append(env.session.memory.budget)
    count = env.factory.count_tokens
    assert budgets == [sum(map(count, FACTS[: t + 1])) for t in range(3)]


def test_chunk_questions_are_drawn_as_the_chunks_come() -> None:
    env = _env(list(STREAM), chunk_questions=1)
    env.reset(seed=0)
    _, infos = _play(env, [_insert(text) for text in FACTS])
    assert [len(info["chunk_answers"]) for info in infos] == [0, 0, 1]


@pytest.mark.parametrize("scope", ["seen", "current"])
@pytest.mark.parametrize("after", [None, 1, 2])
def test_a_chunk_question_is_not_a_final_one_that_is_known(scope: str, after: int | None) -> None:
    both = "Where does Mara live?"
    asked = [Question("k", both, ("Osta",)), Question("l", "Who lives in Osta?", ("Mara",))]
    stream = [Chunk("a", MARA, questions=tuple(asked)), KEY, GATE]
    stream.insert(1 if after is None else after, _question("f", both, "Osta", after))
    env = _env(stream, chunk_questions=5, chunk_question_scope=scope)
    env.reset(seed=0)
    _, infos = _play(env, [_insert(text) for text in FACTS])
    told = [[one["id"] for one in info["chunk_answers"]] for info in infos]
    # What comes after the second chunk cannot be known when the first is asked about.
    first = ["k", "l"] if after == 2 else ["l"]
    assert told == [first, *([["l"], ["l"]] if scope == "seen" else [[], []])]


def test_a_list_starts_anew_and_an_iterator_does_not() -> None:
    env = _env(list(STREAM))
    assert [env.reset(seed=0)[1]["episode_id"] for _ in range(2)] == ["stream/0", "stream/0"]
    once = _env(iter(STREAM))
    once.reset(seed=0)
    with pytest.raises(ConfigError, match="iterator serves one episode"):
        once.reset(seed=0)


def test_a_stream_of_one_chunk_is_known_at_once() -> None:
    env = _env([MARA])
    _, info = env.reset(seed=0)
    assert info["num_chunks"] == 1
    _, _, terminated, _, info = env.step(_insert(MARA))
    assert terminated
    assert info["answers"] == ()


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        ([], "expected a chunk first"),
        ([_question("q", "Who?", "me"), MARA], "expected a chunk first"),
        ([MARA, 4], "a Chunk, a Question or a str, found int"),
    ],
)
def test_what_is_no_stream_is_refused(stream: list[Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        _env(stream).reset(seed=0)


def test_what_a_stream_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="question_fraction"):
        _env(list(STREAM), question_fraction=0.5).reset(seed=0)
    with pytest.raises(ConfigError, match="episode_id"):
        _env(list(STREAM)).reset(seed=0, options={"episode_id": "stream/0"})
    judged = Question("j", "Is it?", ("yes",), metric="judge")
    with pytest.raises(ConfigError, match="judge"):
        _env([MARA, judged, KEY]).reset(seed=0)


@pytest.mark.parametrize(
    ("size", "chosen"), [(200, 128), (5_000, 500), (5_001, 501), (1_000_000, 2_048)]
)
def test_auto_is_a_tenth_of_the_document_within_the_observation(size: int, chosen: int) -> None:
    assert AutoTokens.within(4_096).choose(size) == chosen


def test_auto_says_what_it_chose(tmp_path: Path) -> None:
    write_all(tmp_path)
    keywords: dict[str, Any] = {
        "source": "fairytaleqa",
        "data_dir": tmp_path,
        "chunk_tokens": "auto",
        "max_observation_tokens": 300,
    }
    env = MemoryEnv(**keywords)
    env.reset(seed=0)
    chosen = env.session.episode.metadata["chunk_tokens"]
    assert isinstance(chosen, int)
    assert 1 <= chosen <= 150
    assert max(env.session.chunk_tokens) <= 2 * chosen
    other = MemoryEnv(**(keywords | {"memory_view": "recent:1"}))
    other.reset(seed=0)
    assert other.session.episode == env.session.episode
    with pytest.raises(ConfigError, match="finite max_observation_tokens"):
        MemoryEnv(**(keywords | {"max_observation_tokens": "unlimited"}))
    with pytest.raises(ConfigError, match="length of a document"):
        MemoryEnv(chunk_tokens="auto", max_observation_tokens=300)


def test_a_vector_environment_reads_streams_in_step() -> None:
    from finemem_env.vector import MemoryVectorEnv

    env = MemoryVectorEnv(None, num_envs=2, source=list(STREAM), memory_budget="unlimited")
    env.reset(seed=0)
    rewards = np.zeros(2)
    for text in FACTS:
        _, reward, terminated, _, _ = env.step([_insert(text)] * 2)
        rewards += reward
    assert terminated.all()
    assert rewards[0] == pytest.approx(rewards[1])
    assert rewards[0] > 0
