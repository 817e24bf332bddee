"""The base class of sources: configuration, knobs, indices, ids and randomness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from finemem_env.data.source import (
    BaseSource,
    Source,
    SourceConfig,
    SourceSpec,
    episode_rng,
    resolve_knobs,
)
from finemem_env.errors import ConfigError, DataError
from finemem_env.types import Chunk, Episode, Question

SPEC = SourceSpec("dice", "AR", "x:Y", "dice", "none", ("dice/*.txt",), "the shop")


class Dice(BaseSource):
    """Tells one number."""

    knobs: ClassVar[Mapping[str, object]] = {"sides": 6, "bias": 0.0, "loud": False, "name": "die"}

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        value = str(rng.integers(10**12))
        question = Question("q0", "Which number?", (value,))
        return Episode(self.episode_id(index), "AR", "dice", (Chunk("c0", value),), (question,))


def _dice(
    split: str = "train",
    data_dir: Path | None = None,
    difficulty: Mapping[str, object] | None = None,
) -> Dice:
    return Dice(SPEC, SourceConfig(split, data_dir, difficulty=difficulty or {}))


def test_it_is_a_source() -> None:
    assert isinstance(_dice(), Source)
    assert _dice().competencies == {"AR"}


def test_episodes_depend_on_split_index_and_name_only() -> None:
    texts = {
        (split, index): _dice(split=split).episode(index).chunks[0].text
        for split in ("train", "val", "test")
        for index in range(20)
    }
    assert len(set(texts.values())) == 60
    assert _dice(split="val").episode(3).chunks[0].text == texts["val", 3]
    first = episode_rng("dice", "train", 0).integers(10**12)
    assert first != episode_rng("dise", "train", 0).integers(10**12)


def test_draw_and_get_agree() -> None:
    source = _dice()
    drawn = source.draw(np.random.default_rng(5))
    assert source.get(drawn.episode_id) == drawn
    assert drawn == source.draw(np.random.default_rng(5))


@pytest.mark.parametrize("episode_id", ["dice/val/0", "dice/train/x", "0", "", "dice/train/-1"])
def test_foreign_ids_are_refused(episode_id: str) -> None:
    with pytest.raises(ConfigError, match="dice/train/0"):
        _dice().get(episode_id)


def test_indices_beyond_the_size_are_refused() -> None:
    source = _dice()
    source.size = 3
    assert {source.draw(np.random.default_rng(i)).episode_id for i in range(40)} == {
        f"dice/train/{i}" for i in range(3)
    }
    for index in (3, -1):
        with pytest.raises(ConfigError, match="3 episodes"):
            source.episode(index)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"num_chunks": 0}, "num_chunks"),
        ({"num_chunks": True}, "num_chunks"),
        ({"chunk_tokens": 0}, "chunk_tokens"),
        ({"chunk_tokens": (5, 4)}, "chunk_tokens"),
        ({"chunk_tokens": (5,)}, "chunk_tokens"),
        ({"chunk_tokens": "10"}, "chunk_tokens"),
        ({"difficulty": 3}, "difficulty: expected a mapping"),
    ],
)
def test_bad_configuration(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SourceConfig(**options)


def test_token_range() -> None:
    assert SourceConfig().token_range((1, 2)) == (1, 2)
    assert SourceConfig(chunk_tokens=7).token_range((1, 2)) == (7, 7)
    assert SourceConfig(chunk_tokens=[3, 9]).token_range((1, 2)) == (3, 9)


def test_knobs_are_checked_against_their_defaults() -> None:
    assert _dice(difficulty={"sides": 8}).difficulty == {
        "sides": 8,
        "bias": 0.0,
        "loud": False,
        "name": "die",
    }
    assert _dice(difficulty={"bias": 1}).difficulty["bias"] == 1


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"side": 8}, "Did you mean 'sides'"),
        ({"sides": 8.0}, "expected int"),
        ({"sides": True}, "expected int"),
        ({"bias": "x"}, "expected float"),
        ({"loud": 1}, "expected bool"),
        ({"name": None}, "expected str"),
    ],
)
def test_bad_knobs(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _dice(difficulty=knobs)


def test_a_source_without_knobs_says_so() -> None:
    with pytest.raises(ConfigError, match="'plain' has no difficulty knobs"):
        resolve_knobs("plain", {"labels": 3}, {})


def test_missing_files_say_where_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINEMEM_DATA", raising=False)
    with pytest.raises(DataError, match=r"the shop\. data_dir is not set.*FINEMEM_DATA"):
        _dice().files("dice/*.txt")
    with pytest.raises(DataError, match=r"dice/\*\.txt, which is missing.*holds dice/"):
        _dice(data_dir=tmp_path).files("dice/*.txt")
    (tmp_path / "dice").mkdir()
    (tmp_path / "dice" / "a.txt").write_text("1")
    assert _dice(data_dir=tmp_path).files("dice/*.txt") == [tmp_path / "dice" / "a.txt"]
    monkeypatch.setenv("FINEMEM_DATA", str(tmp_path))
    assert len(_dice().files("dice/*.txt")) == 1
