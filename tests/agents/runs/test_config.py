from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.runs.config import PRESETS, TINY, TrainConfig, add_arguments, from_dict, parse_config
from finemem_env.errors import ConfigError


def parse(*arguments: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parse_config(parser.parse_args(arguments))


def test_every_field_has_one_line_of_help() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    shown = parser.format_help()
    for one in fields(TrainConfig):
        text = one.metadata["help"]
        assert text
        assert "\n" not in text
        assert len(text) <= 80
        assert "--" + one.name.replace("_", "-") in shown


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_resolve_and_survive_json(name: str) -> None:
    config = parse("--preset", name)
    assert from_dict(config.as_dict()) == config


def test_no_arguments_is_the_cpu_preset() -> None:
    assert parse() == parse("--preset", "cpu")
    assert parse().model == TINY
    assert not parse().instructions


def test_command_line_beats_preset_and_json_is_merged() -> None:
    config = parse("--lr", "0.5", "--env-args", '{"num_chunks": 3}', "--epsilon-high", "0.3")
    assert config.lr == 0.5
    assert config.epsilon_high == 0.3
    assert config.env_args["num_chunks"] == 3
    assert config.env_args["memory_view"] == "recent:1"


def test_the_paper_preset_is_the_paper() -> None:
    config = parse("--preset", "paper")
    assert (config.group_size, config.lr, config.epsilon) == (8, 1e-6, 0.2)
    assert config.env_args == {"question_fraction": 0.2, "chunk_questions": 5}
    assert config.protocol == "fine-mem"
    estimator = config.estimator()
    assert (estimator.credit, estimator.baseline, estimator.scale, estimator.floor) == (
        "step",
        "context_step",
        "cell",
        0.0,
    )


@pytest.mark.parametrize(
    "values",
    [
        {"group_size": 1},
        {"updates": 0},
        {"temperature": 0.0},
        {"lr": 0.0},
        {"center": "leave_one_out", "scale": "cell"},
        {"epsilon": 2.0},
        {"learning_rate": 1.0},
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        from_dict(values)


def test_digest_allows_a_longer_run_and_nothing_that_changes_it() -> None:
    config = parse()
    assert config.digest() == parse("--updates", "7").digest()
    assert config.digest() != parse("--lr", "0.1").digest()


def test_evaluation_asks_every_question() -> None:
    config = parse("--preset", "paper")
    assert config.eval_env("test")["question_fraction"] == 1.0
    assert config.eval_env("test")["split"] == "test"
