"""The curriculum of episode lengths: what its text means, and what is refused."""

from __future__ import annotations

import pytest

from agents.curriculum import chunks_at, parse_curriculum
from agents.settings import EnvironmentConfig
from finemem_env.errors import ConfigError


def test_stages_follow_each_other() -> None:
    stages = parse_curriculum("3:20, 6:40,10")
    assert stages == ((0, 3), (20, 6), (60, 10))
    assert [chunks_at(stages, update) for update in (0, 19, 20, 59, 60, 999)] == [
        3,
        3,
        6,
        6,
        10,
        10,
    ]


def test_one_length_is_a_curriculum_of_one_stage() -> None:
    assert chunks_at(parse_curriculum("4"), 7) == 4


def test_no_text_is_no_curriculum() -> None:
    assert chunks_at(parse_curriculum(""), 5) is None


@pytest.mark.parametrize(
    "text", ["3:20", "3:20,", ",3", "3:0,6", "0:3,6", "6:5,3", "3:5,3", "a", "3-4", "3:٤,6", " "]
)
def test_other_texts_are_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^curriculum: expected .*, got "):
        EnvironmentConfig(curriculum=text)


def test_training_gets_the_length_and_evaluation_keeps_its_own() -> None:
    config = EnvironmentConfig(curriculum="1:2,5", env_args={"num_chunks": 9})
    assert [config.training(update)["num_chunks"] for update in (0, 1, 2, 3)] == [1, 1, 5, 5]
    assert config.evaluation("val")["num_chunks"] == 9
    assert config.training()["num_chunks"] == 9
