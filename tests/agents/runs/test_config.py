"""Settings: one flat name each, checked wherever they are made, with the defaults that run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.grpo import main
from agents.learn.advantages import Estimator
from agents.runs.config import PRESETS, SETTINGS, TrainConfig
from agents.runs.evaluation import HeldOut
from agents.runs.options import add_arguments, parse_config
from agents.settings import TINY, LossConfig, ModelConfig, OptimizerConfig
from finemem_env.errors import ConfigError
from tests.baselines.runs.test_episodes import episode_file


def parse(*arguments: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser, arguments)
    return parse_config(parser.parse_args(arguments)).config


def shown(*arguments: str) -> str:
    """The text of --help, in one line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser, arguments)
    return " ".join(parser.format_help().split())


def test_every_setting_has_one_line_of_help() -> None:
    text = shown()
    for name, one in SETTINGS.items():
        line = one.field.metadata["help"]
        assert line
        assert "\n" not in line
        assert len(line) <= 80
        assert "--" + name.replace("_", "-") in text


@pytest.mark.parametrize(
    "arguments",
    [(), ("--preset", "paper"), ("--model", "Qwen/Qwen3-4B"), ("--smoke",)],
    ids=" ".join,
)
def test_help_shows_the_defaults_that_the_command_uses(arguments: tuple[str, ...]) -> None:
    text, settings = shown(*arguments), parse(*arguments).as_dict()
    for name, one in SETTINGS.items():
        if name in ("model", "env_args"):  # given, and a long object
            continue
        value = settings[name]
        default = json.dumps(value) if isinstance(value, dict) else value
        assert f"{one.field.metadata['help']} (default: {default})" in text, name


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_resolve_and_survive_json(name: str) -> None:
    config = parse("--preset", name)
    assert TrainConfig(**json.loads(json.dumps(config.as_dict()))) == config


def test_no_arguments_is_the_cpu_preset() -> None:
    config = parse()
    assert config == parse("--preset", "cpu")
    assert config.model.model == TINY
    assert not config.sampling.instructions
    assert (config.optimizer.updates, config.optimizer.lr) == (150, 3e-4)


def test_command_line_beats_preset_and_json_is_merged() -> None:
    config = parse("--lr", "0.5", "--env-args", '{"num_chunks": 3}', "--epsilon-high", "0.3")
    assert config.optimizer.lr == 0.5
    assert config.loss.epsilon_high == 0.3
    assert config.environment.env_args["num_chunks"] == 3
    assert config.environment.env_args["memory_view"] == "recent:1"


def test_the_paper_preset_is_the_paper() -> None:
    config = parse("--preset", "paper")
    assert (config.sampling.group_size, config.optimizer.lr, config.loss.epsilon) == (8, 1e-6, 0.2)
    environment = config.environment
    assert environment.env_args == {"question_fraction": 0.2, "chunk_questions": 5}
    assert environment.protocol == "fine-mem"
    assert config.estimator == Estimator("step", "context_step", "mean", "cell", 0.0)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (("--source", "squad"), {"num_chunks"}),
        (("--source", '{"squad": 1, "synthetic": 2}'), {"num_chunks"}),
        (("--env-args", '{"source": "squad"}'), {"num_chunks"}),
        (("--source", "notes.jsonl"), set()),
        (("--env", "Mine-v0"), set()),
        (("--source", "synthetic"), {"num_chunks", "difficulty"}),
        (("--source", "Synthetic-AR"), {"num_chunks", "difficulty"}),
        (("--env", "FineMem-CR-v0"), {"num_chunks", "difficulty"}),
    ],
    ids=str,
)
def test_what_a_preset_says_of_its_data_is_not_for_others(
    arguments: tuple[str, ...], kept: set[str]
) -> None:
    found = parse(*arguments).environment.env_args
    assert found.keys() & {"num_chunks", "difficulty"} == kept
    assert found["memory_view"] == "recent:1"  # what the packaged model was made for
    typed = '{"num_chunks": 4, "difficulty": {"a": 1}}'
    if "--env-args" not in arguments:
        own = parse(*arguments, "--env-args", typed).environment.env_args
        assert own["num_chunks"] == 4
        assert own["difficulty"]["a"] == 1


def test_a_mixture_is_json() -> None:
    config = parse("--source", '{"squad": 1, "synthetic": 2}')
    assert config.environment.training()["source"] == {"squad": 1, "synthetic": 2}
    assert parse("--source", "none").environment.source is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"compare": "memory"}, "compare: expected"),
        ({"local_steps": 0}, "local_steps: expected an integer"),
        ({"compare": "state", "baseline": "context"}, "expected context_step with --compare state"),
        (
            {"group_size": 1},
            r"group_size: expected an integer \(at least 2, below 1048576\), got 1",
        ),
        *[
            ({name: 10**20}, f"{name}: .*below 1048576.*got 1000")
            for name in ("contexts", "optimizer_steps", "eval_episodes", "final_episodes")
        ],
        ({"lora_rank": 2**16}, "lora_rank: .*below 65536"),
        ({"epsilon_high": 1e308}, "epsilon_high: .*below 1e[+]30"),
        ({"delta": 1e308}, "delta: .*below 1e[+]30"),
        ({"importance_cap": 1e308}, "importance_cap: .*below 1e[+]30"),
        ({"updates": 0}, r"updates: expected an integer \(at least 1\), got 0\."),
        ({"updates": 2.5}, r"updates: expected an integer \(at least 1\), got 2\.5\."),
        ({"updates": True}, r"updates: .*got True"),
        ({"temperature": 0.0}, r"temperature: expected a number \(above 0\), got 0\.0\."),
        ({"temperature": float("nan")}, "temperature: .*got nan"),
        ({"eval_temperature": -1}, "eval_temperature: .*at least 0.*got -1"),
        ({"lr": 0.0}, r"lr: expected a number \(above 0\), got 0\.0\."),
        ({"lr": "3e-4"}, r"lr: expected a number \(above 0\), got '3e-4'\."),
        ({"lr_schedule": "cosine"}, "lr_schedule: expected 'constant' or 'linear', got 'cosine'"),
        ({"precision": "float16"}, "precision: expected .*'mixed', got 'float16'"),
        ({"credit": "returns"}, "credit: expected .*got 'returns'"),
        ({"center": "leave_one_out", "scale": "cell"}, "leave_one_out"),
        ({"epsilon": 2.0}, r"epsilon: expected a number \(above 0, below 1\), got 2\.0"),
        ({"epsilon_high": -1}, "epsilon_high: .*got -1"),
        ({"delta": 1.1}, r"delta: expected more than 1 \+ epsilon_high"),
        ({"kl_beta": -0.1}, "kl_beta: .*got -0.1"),
        ({"lora_rank": -1}, "lora_rank: .*got -1"),
        ({"lora_alpha": 64}, "lora_alpha: needs lora_rank"),
        ({"threads": 2**40}, "threads: .*below 4096"),
        ({"lr": 10**400}, r"lr: expected a number \(above 0\), got 1000"),
        ({"updates": 10**400}, r"updates: expected an integer \(at least 1\), got 1000"),
        ({"reward": "outcome", "env_args": {"reward": "chunk"}}, "reward: .*again in env_args"),
        ({"source": "squad", "env_args": {"source": "squad"}}, "source: .*again in env_args"),
        ({"env_args": {"split": "test"}}, "split: expected one that no evaluation .*got 'test'"),
        ({"env_args": {"split": "val"}}, "split: expected one that no evaluation .*got 'val'"),
        ({"eval_env_args": {"split": "train"}}, "eval_env_args: split is that of eval_split"),
        ({"env_args": "x"}, "env_args: expected a mapping, got 'x'"),
        ({"source": 3}, "source: expected a text or a mapping or null, got 3"),
        ({"instructions": "no"}, "instructions: expected true or false, got 'no'"),
        ({"save_every": 0}, "save_every"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed: .*below 4294967296"),
        ({"sampler": "vlm"}, "Did you mean 'vllm'"),
        ({"learning_rate": 1.0}, "unknown setting 'learning_rate'"),
        ({"warmup": 1}, "Did you mean 'warmup_updates'"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        TrainConfig(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--local-steps", "7"), "local_steps: needs --compare state"),
        (("--floor", "0.3", "--scale", "none"), "floor: needs --scale cell, group or batch"),
    ],
)
def test_an_option_that_nobody_looks_at_is_refused(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(*given)
    assert parse("--compare", "state", "--local-steps", "7").sampling.local_steps == 7


def test_a_part_is_checked_where_it_is_made_and_fits_into_the_whole() -> None:
    with pytest.raises(ConfigError, match=r"precision: .*got 'fp16'"):
        ModelConfig("x", precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lr_schedule"):
        OptimizerConfig(lr_schedule="cosine")  # type: ignore[arg-type]
    config = TrainConfig(loss=LossConfig(delta=3.0), lr=0.5)
    assert (config.loss.delta, config.optimizer.lr) == (3.0, 0.5)
    assert config == TrainConfig(delta=3.0, lr=0.5)


def test_a_split_that_is_not_evaluated_may_be_trained_on() -> None:
    other = TrainConfig(env_args={"split": "test"}, final_episodes=0)
    assert other.environment.training()["split"] == "test"


def test_a_resumed_run_may_be_longer_and_nothing_else_that_changes_it() -> None:
    fixed = parse().fixed()
    assert fixed == parse("--updates", "7").fixed()
    assert fixed != parse("--lr", "0.1").fixed()


def test_evaluation_asks_every_question() -> None:
    environment = parse("--preset", "paper").environment
    assert environment.evaluation("test")["question_fraction"] == 1.0
    assert environment.evaluation("test")["split"] == "test"


@pytest.mark.parametrize("made", [None, "grpo-1"])
def test_resume_needs_the_folder_of_a_run(
    made: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if made:
        (tmp_path / "runs" / made).mkdir(parents=True)
    for arguments, said in (
        (["--resume"], "expected the run's folder as --output-dir"),
        (["--resume", "--output-dir", "runs/mistyped"], "runs/mistyped holds none"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: --resume: expected")
        assert error.count("\n") == 1
        assert said in error
        assert ("runs/grpo-1" in error) == bool(made)
    assert not (tmp_path / "runs" / "mistyped").exists()


def test_a_device_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cuda:99", "gpu", "meta"):
        assert main(["--smoke", "--device", name, "--output-dir", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert (
            f"error: device: expected auto, cpu or an accelerator that this torch has, got '{name}'"
            in error
        )
        assert error.count("\n") == 1


def test_more_held_out_episodes_than_there_are_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = episode_file(tmp_path / "three.jsonl", 3)
    for option in ("--eval-episodes", "--final-episodes"):
        folder = tmp_path / "run"
        assert main(["--source", path, option, "4", "--output-dir", str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: 4 episodes are asked for")
        assert "holds 3" in error
        assert error.count("\n") == 1
        assert not folder.exists()
    few = HeldOut.of(TrainConfig(source=path))
    assert (len(few.validation), len(few.final)) == (3, 3)
    assert HeldOut.of(TrainConfig(source=path, final_episodes=0)).final == []
