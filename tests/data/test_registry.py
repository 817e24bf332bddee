"""What a user may type as a source, and what is said when it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from finemem_env.data.registry import SOURCES, SYNTHETIC, load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import BaseSource, Source, SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.registry import load_reference
from finemem_env.types import Competency
from tests.data.publishers import write_all


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("registry") / "data")


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_record_is_complete_and_loads(name: str) -> None:
    spec = SOURCES[name]
    assert isinstance(spec.factory, str)
    factory = load_reference("source", spec.factory)
    assert issubclass(factory, BaseSource)
    assert spec.name == name
    assert spec.competency in (None, *get_args(Competency))
    assert spec.description
    assert spec.licence
    assert bool(spec.files) == bool(spec.where)
    assert factory.__module__.startswith("finemem_env.data.")


@pytest.mark.parametrize("name", ["squad", "SQuAD", "S-q_u-ad"])
def test_names_ignore_case_and_dashes(name: str, small: Path) -> None:
    assert load_source(name, SourceConfig(data_dir=small)).name == "squad"


@pytest.mark.parametrize("competency", get_args(Competency))
def test_synthetic_is_the_generator_of_the_competency(competency: Competency) -> None:
    source = load_source("synthetic", competency=competency)
    assert source.name == SYNTHETIC[competency]
    assert source.episode(0).competency == competency


def test_synthetic_without_a_competency_is_the_even_mixture() -> None:
    source = load_source("synthetic")
    assert isinstance(source, Source)
    assert source.competencies == set(get_args(Competency))
    drawn = [source.episode(index).competency for index in range(40)]
    assert all(drawn.count(competency) >= 3 for competency in get_args(Competency))
    assert source.get(source.episode(7).episode_id) == source.episode(7)
    assert source.episode(7) == load_source("synthetic").episode(7)


def test_a_mixture_follows_its_weights(small: Path) -> None:
    config = SourceConfig(data_dir=small)
    source = load_source({"squality": 3, "fairytale-qa": 1}, config, "LRU")
    names = [source.draw(np.random.default_rng(i)).source for i in range(200)]
    assert 120 < names.count("squality") < 180
    assert source.name == "squality+fairytaleqa"
    with pytest.raises(ConfigError, match="unknown episode id"):
        source.get("squad/train/0")
    with pytest.raises(ConfigError, match="out of range"):
        source.episode(-1)


def test_knobs_of_a_mixture_go_where_they_belong(small: Path) -> None:
    config = SourceConfig(
        data_dir=small, num_chunks=2, chunk_tokens=120, difficulty={"labels": 3, "distractors": 1}
    )
    source = load_source({"banking77": 1, "hotpotqa": 1}, config)
    labelled = next(e for e in map(source.episode, range(30)) if e.source == "banking77")
    assert len(labelled.metadata["labels"]) == 3  # type: ignore[arg-type]
    bad = SourceConfig(data_dir=small, difficulty={"lables": 3})
    with pytest.raises(ConfigError, match="Did you mean 'labels'"):
        load_source({"banking77": 1, "hotpotqa": 1}, bad)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sqaud", "unknown source 'sqaud'. Did you mean 'squad'"),
        ("syntetic", "Did you mean 'synthetic'"),
        ("missing.jsonl", "no episode file at .*missing.jsonl"),
        ("./x/y", "no episode file"),
        ({}, "at least one source"),
        ({"squad": 0}, "weight > 0"),
        ({"squad": float("nan")}, "weight > 0"),
        ({"squad": "1"}, "weight > 0"),
        ({"squda": 1}, "Did you mean 'squad'"),
        (3, "expected a name, a path or a mapping"),
    ],
)
def test_bad_sources(source: str | dict[str, float], message: str, small: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_source(source, SourceConfig(data_dir=small))


def test_the_wrong_competency_names_the_environment(small: Path) -> None:
    config = SourceConfig(data_dir=small)
    with pytest.raises(ConfigError, match=r"squad' holds AR episodes, not LRU: use FineMem-AR-v0"):
        load_source("squad", config, "LRU")
    with pytest.raises(ConfigError, match=r"FineMem-AR-v0"):
        load_source({"squality": 1, "squad": 1}, config, "LRU")
    with pytest.raises(ConfigError, match="unknown competency 'XX'"):
        load_source("synthetic", config, "XX")  # type: ignore[arg-type]


def test_any_episode_file_is_a_source(small: Path, tmp_path: Path) -> None:
    squad = load_source("squad", SourceConfig(data_dir=small, num_chunks=3, chunk_tokens=200))
    path = tmp_path / "some.jsonl"
    write_episodes(path, [squad.episode(i) for i in range(3)])
    source = load_source(str(path), SourceConfig(), "AR")
    assert isinstance(source, Source)
    assert source.size == 3
    assert [source.episode(i) for i in range(3)] == [squad.episode(i) for i in range(3)]
    assert source.get("squad/train/2") == squad.episode(2)
    assert source.draw(np.random.default_rng(0)) in [squad.episode(i) for i in range(3)]
    with pytest.raises(ConfigError, match="episode id"):
        source.get("squad/train/3")
    with pytest.raises(ConfigError, match="3 episodes"):
        source.episode(3)
    with pytest.raises(ConfigError, match="FineMem-AR-v0"):
        load_source(str(path), SourceConfig(), "CR")
    with pytest.raises(ConfigError, match="fixed when it was built"):
        load_source(str(path), SourceConfig(num_chunks=4))


def test_a_changed_file_is_read_again(small: Path, tmp_path: Path) -> None:
    squad = load_source("squad", SourceConfig(data_dir=small, num_chunks=3, chunk_tokens=200))
    path = tmp_path / "some.jsonl"
    write_episodes(path, [squad.episode(0)])
    assert load_source(str(path)).size == 1
    write_episodes(path, [squad.episode(0), squad.episode(1)])
    assert load_source(str(path)).size == 2


def test_missing_data_names_the_folder(tmp_path: Path) -> None:
    for name, spec in SOURCES.items():
        if spec.files:
            with pytest.raises(
                DataError, match=r"which is missing\. Get it from https://"
            ) as error:
                load_source(name, SourceConfig("test", tmp_path))
            assert spec.where in str(error.value)
