"""The curriculum of episode lengths: what its text means, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.curriculum import chunks_at, parse_curriculum
from agents.settings import EnvironmentConfig
from finemem_env.data.registry import load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError
from tests.data.publishers import write_all


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


def test_a_length_that_the_source_does_not_have_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the agents need torch")
    pytest.importorskip("transformers", reason="the agents need transformers")
    pytest.importorskip("tensorboard", reason="the agents need tensorboard")
    from agents.learn.distributed import World
    from agents.runs.config import TrainConfig
    from agents.trainer import Run

    path = tmp_path / "own.jsonl"
    write_episodes(path, [load_source("synthetic_ar", SourceConfig(num_chunks=2)).episode(0)])
    config = TrainConfig(source=str(path), curriculum="1:1,2", final_episodes=0)
    with pytest.raises(ConfigError, match=r"^curriculum: .*num_chunks"):
        Run.start(config, tmp_path / "run", resume=False, world=World())


def test_a_length_that_the_texts_do_not_fill_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the agents need torch")
    from agents.runs.config import TrainConfig
    from agents.runs.source import check_curriculum

    write_all(tmp_path)
    args = {"data_dir": str(tmp_path), "chunk_tokens": 20}
    fits, short = (
        TrainConfig(source="squad", env_args=args, curriculum=text) for text in ("1:1,2", "1:1,900")
    )
    check_curriculum(fits)
    with pytest.raises(ConfigError, match=r"^curriculum: squad: .* num_chunks=900"):
        check_curriculum(short)
