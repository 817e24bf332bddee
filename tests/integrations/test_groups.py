"""Groups of rollouts as rows, and what of `info` leaves the process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from finemem_env.errors import ConfigError
from finemem_env.integrations import Message, ReplyRow, play_groups, step_info
from finemem_env.types import Answer, Competency, Episode, ReadRequest

ENV = "FineMem-AR-v0"
TASK: dict[str, Any] = {"num_chunks": 3, "difficulty": {"facts_per_chunk": 2}}
SKIP = '[{"op":"SKIP"}]'


class Writer:
    """Replies by their number, so that rollouts differ; and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[list[Message]]] = []

    def __call__(self, prompts: list[list[Message]]) -> list[str]:
        self.asked.append(prompts)
        return [self.reply(number, prompt) for number, prompt in enumerate(prompts)]

    def reply(self, number: int, prompt: list[Message]) -> str:
        chunk = prompt[-1]["content"].split("</chunk>")[0].partition(">\n")[2]
        kept = [line for line in chunk.split(". ") if line.strip()][: number + 1]
        return json.dumps([{"op": "INSERT", "content": line} for line in kept] or [{"op": "SKIP"}])


def plain(seed: int, replies: Sequence[str]) -> dict[str, Any]:
    """The last `info` of the environment itself under these replies."""
    env = gym.make(ENV, **TASK)
    env.reset(seed=seed)
    for reply in replies:
        *_, info = env.step(reply)
    return info


def rollout_of(rows: Sequence[ReplyRow], seed: int, number: int) -> list[ReplyRow]:
    return [row for row in rows if (row.seed, row.rollout) == (seed, number)]


def test_rewards_are_those_of_the_plain_environment() -> None:
    rows = play_groups(ENV, [5, 3], 2, Writer(), env_args=TASK)
    assert [(*row.group, row.rollout) for row in rows] == [
        (seed, step, number) for seed in (5, 3) for step in range(3) for number in range(2)
    ]
    for seed in (5, 3):
        for number in range(2):
            mine = rollout_of(rows, seed, number)
            info = plain(seed, [row.reply for row in mine])
            assert tuple(row.reward for row in mine) == info["step_rewards"]
            assert tuple(row.valid for row in mine) == info["step_reward_valid"]
            assert {(row.score, row.episode_id) for row in mine} == {
                (info["score"], info["episode_id"])
            }
            for t, row in enumerate(mine):
                assert row.reward_to_go == pytest.approx(sum(info["step_rewards"][t:]))
    assert len({tuple(row.reward for row in rollout_of(rows, 5, n)) for n in range(2)}) == 2


def test_a_step_is_one_batch_of_fresh_prompts() -> None:
    writer = Writer()
    rows = play_groups(ENV, [1, 2], 2, writer, env_args=TASK)
    assert [len(asked) for asked in writer.asked] == [4, 4, 4]
    env = gym.make(ENV, **TASK)
    observation, info = env.reset(seed=1)
    (first, _) = [row for row in rows if row.group == (1, 0)]
    assert first.messages == [
        {"role": "system", "content": info["instructions"]},
        {"role": "user", "content": observation},
    ]
    bare = play_groups(ENV, [1], 1, writer, env_args=TASK, instructions=False)
    assert bare[0].messages == first.messages[1:]


def test_instructions_in_the_observation_are_not_said_twice() -> None:
    task = TASK | {"include_instructions": True}
    (row, *_) = play_groups(ENV, [1], 1, Writer(), env_args=task)
    (other, *_) = play_groups(ENV, [1], 1, Writer(), env_args=TASK)
    assert row.messages == other.messages


class Lengths:
    """Episodes of one and of three chunks."""

    name = "lengths"
    competencies: frozenset[Competency] = frozenset({"AR"})
    size = 2

    def __init__(self, whole: Episode) -> None:
        short = replace(
            whole, episode_id="short", chunks=whole.chunks[:1], questions=whole.questions[:1]
        )
        self._episodes = {one.episode_id: one for one in (short, whole)}

    def episode(self, index: int) -> Episode:
        return list(self._episodes.values())[index]

    def draw(self, rng: np.random.Generator) -> Episode:
        return self.episode(int(rng.integers(2)))

    def get(self, episode_id: str) -> Episode:
        return self._episodes[episode_id]


def test_episodes_of_different_length_end_on_their_own(tiny_episode: Episode) -> None:
    writer = Writer()
    task = {"source": Lengths(tiny_episode), "memory_budget": 1.0}
    rows = play_groups(ENV, range(6), 2, writer, env_args=task)
    steps = {seed: {row.step for row in rows if row.seed == seed} for seed in range(6)}
    short = [seed for seed in steps if steps[seed] == {0}]
    assert 0 < len(short) < 6
    assert [len(asked) for asked in writer.asked] == [12, *[12 - 2 * len(short)] * 2]
    assert any(row.score > 0 for row in rows if row.seed in short)


def test_no_reply_is_a_skip_whose_row_is_not_valid() -> None:
    def generate(prompts: list[list[Message]]) -> list[str | None]:
        return [None if 'index="1"' in prompt[-1]["content"] else SKIP for prompt in prompts]

    rows = play_groups(ENV, [1], 1, generate, env_args=TASK)
    assert tuple(row.reward for row in rows) == plain(1, [SKIP] * 3)["step_rewards"]
    assert [(row.valid, row.valid_to_go, row.reply) for row in rows] == [
        (True, False, SKIP),
        (False, False, ""),
        (True, True, SKIP),
    ]


def test_a_failed_reader_leaves_rows_that_are_not_valid() -> None:
    class Silent:
        version = "silent/1"

        def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
            return [Answer("", failed=True) for _ in requests]

    rows = play_groups(ENV, [1], 1, Writer(), env_args=TASK | {"reader": Silent()})
    assert [row.valid for row in rows] == [False] * 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((ENV, [1, 1], 2, Writer()), "expected different seeds"),
        ((ENV, [1], 0, Writer()), "group_size of at least 1"),
        ((ENV, [1], 2, lambda _: ["a"]), "generate: expected 2 texts"),
        ((ENV, [1], 1, lambda _: [["a"]]), r"got \['list'\]"),
        (("CartPole-v1", [1], 1, Writer()), "or an id of your own, got 'CartPole-v1'"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        play_groups(*arguments)
    assert "\n" not in str(error.value)


def test_step_info_is_json_and_holds_no_gold() -> None:
    env = gym.make(ENV, **TASK)
    _, info = env.reset(seed=1)
    seen = [step_info(info)]
    for reply in ("nothing", SKIP, '[{"op":"UPDATE","id":"9","content":"x"}]'):
        *_, info = env.step(reply)
        seen.append(step_info(info))
    assert json.loads(json.dumps(seen)) == seen
    assert seen[-1]["step_rewards"] == list(info["step_rewards"])
    assert seen[0]["step_rewards"] == []
    assert [sum(one["rejects"].values()) for one in seen] == [0, 1, 0, 1]
    assert len({tuple(sorted(one)) for one in seen}) == 1
    hidden = {"answers", "chunk_answers"}
    assert set(info) - set(seen[-1]) == hidden
    asked = [*info["answers"], *info["chunk_answers"]]
    secrets = {text for one in asked for text in (one["question"], *one["golds"])}
    assert len(secrets) > 4
    assert not any(secret in json.dumps(seen) for secret in secrets)


def test_the_door_imports_no_extra() -> None:
    code = (
        "import sys, finemem_env\n"
        "assert not any(name.startswith('finemem_env.integrations') for name in sys.modules)\n"
        "import finemem_env.integrations\n"
        "extras = {'torch', 'trl', 'transformers', 'datasets', 'ray', 'torchrl'}\n"
        "print(sorted(extras & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
