"""The rows that TRL gets; `tests/test_examples.py` trains with the real one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finemem_env.errors import ConfigError
from finemem_env.integrations import Message, play_groups
from finemem_env.integrations.trl import StepTask

ARGS: dict[str, Any] = {"num_chunks": 3, "difficulty": {"facts_per_chunk": 2}}
TASK = StepTask("FineMem-AR-v0", group_size=2, contexts=2, updates=3, env_args=ARGS, seed=7)


class Letters:
    """What `roll_out` uses of a trainer, with a letter as token; it writes what it is asked."""

    def __init__(self, logprobs: bool = False) -> None:
        self.processing_class = self
        self.logprobs = logprobs
        self.count = 0

    def _tokenize_prompts(self, prompts: list[list[Message]]) -> tuple[list[list[int]], None, None]:
        return [[*map(ord, prompt[-1]["content"])] for prompt in prompts], None, None

    def _generate_single_turn(
        self, ids: list[list[int]], *_: object
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        made = []
        for asked in ids:
            sentence = self.text(asked).partition(">\n")[2].split(". ")[self.count % 3]
            made.append([*map(ord, json.dumps([{"op": "INSERT", "content": sentence}]))])
            self.count += 1
        return made, [[float(len(one))] for one in made] if self.logprobs else None

    def batch_decode(self, ids: list[list[int]], **_: object) -> list[str]:
        return [self.text(one) for one in ids]

    @staticmethod
    def text(ids: list[int]) -> str:
        return "".join(map(chr, ids))


def prompts(*seeds: int) -> list[str]:
    return [f"{seed} {step}" for seed in seeds for step in range(3) for _ in range(2)]


@pytest.mark.parametrize("credit", ["step", "reward_to_go"])
def test_a_row_is_a_step_of_a_rollout(credit: Any) -> None:  # noqa: ANN401
    task = StepTask("FineMem-AR-v0", group_size=2, env_args=ARGS, credit=credit)
    made = task.roll_out(prompts(7, 9), Letters(logprobs=True))
    trainer = Letters()

    def generate(messages: list[list[Message]]) -> list[str]:
        asked, _, _ = trainer._tokenize_prompts(messages)
        return trainer.batch_decode(trainer._generate_single_turn(asked)[0])

    rows = play_groups("FineMem-AR-v0", [7, 9], 2, generate, env_args=ARGS)
    asked, replies, logprobs = made["prompt_ids"], made["completion_ids"], made["logprobs"]
    assert asked is not None
    assert replies is not None
    assert [*map(Letters.text, asked)] == [row.messages[-1]["content"] for row in rows]
    assert [*map(Letters.text, replies)] == [row.reply for row in rows]
    assert logprobs == [[float(len(one))] for one in replies]
    to_go = credit == "reward_to_go"
    assert made["step_reward"] == [row.reward_to_go if to_go else row.reward for row in rows]
    assert made["score"] == [row.score for row in rows]
    assert len({row.reply for row in rows}) == len(rows)


def test_without_logprobs_there_are_none() -> None:
    assert TASK.roll_out(prompts(7), Letters())["logprobs"] is None


@pytest.mark.parametrize("asked", [prompts(7)[:-2], prompts(7)[::-1], prompts(7) + ["9 0"] * 2])
def test_rows_that_are_no_whole_episodes_are_refused(asked: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected whole episodes of 3 steps, each 2 times"):
        TASK.roll_out(asked, Letters())


def test_rows_that_are_not_valid_get_no_reward() -> None:
    assert TASK.reward([1.0, None], [0.5, 0.0], log_metric=lambda *_: None) == [1.0, None]


@pytest.mark.parametrize("parts", [0, 5])
def test_parts_of_an_update_are_equal(parts: int) -> None:
    with pytest.raises(ConfigError, match="expected a divisor of 12, got"):
        TASK.config("nowhere", micro_batches=parts)
