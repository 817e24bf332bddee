"""The warm start of a pretrained model: an unselective teacher, resumed to the same weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest

from finemem_env.disk import claimed
from finemem_env.errors import ConfigError
from finemem_env.prompts import parse_observation

torch = pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.learn import imitation  # noqa: E402
from agents.learn.imitation import Imitation, imitate  # noqa: E402
from agents.learn.references import (  # noqa: E402
    REFERENCE_ENV_ARGS,
    TEXTS,
    Unselective,
    reference_lessons,
)
from agents.learn.update import TrainingError  # noqa: E402
from agents.model.depth import freeze_layers, keep_layers  # noqa: E402
from agents.model.policy import load_policy  # noqa: E402
from agents.model.tiny import TinyConfig, build_model  # noqa: E402
from agents.settings import ModelConfig  # noqa: E402
from agents.warmstart import main as warmstart  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of three small blocks."""
    path = tmp_path_factory.mktemp("model")
    size = TinyConfig(hidden_size=32, intermediate_size=32, layers=3, heads=2, kv_heads=1)
    build_model(tokenizer, size).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _config(folder: Path, **changes: Any) -> Imitation:  # noqa: ANN401
    model = ModelConfig(str(folder), device="cpu", frozen_layers=1)
    config = Imitation(model, texts=("synthetic",), steps=4, prompts=2, lr=1e-2, save_every=2)
    return dataclasses.replace(config, **changes)


def _weights(folder: Path) -> dict[str, Any]:
    return dict(load_policy(ModelConfig(str(folder), device="cpu")).model.state_dict())


def _played(text: str, count: int) -> Iterator[bool]:
    """Whether the environment takes each operation of the teacher, budget included."""
    args = {**REFERENCE_ENV_ARGS, "source": text, **TEXTS[text].env_args}
    env: Any = gym.make(TEXTS[text].env, question_fraction=0.01, **args).unwrapped
    rng = np.random.default_rng(3)
    for seed in range(count):
        observation, _ = env.reset(seed=seed)
        done = False
        while not done:
            action = Unselective().act(parse_observation(observation), rng)
            observation, _, done, _, _ = env.step(action)
            yield from (one.accepted for one in env.session.record.results[-1].operations)


def test_the_environment_takes_all_that_the_teacher_replies() -> None:
    taken = list(_played("synthetic", 8))
    assert len(taken) > 80
    assert all(taken)


@pytest.mark.parametrize("text", [name for name in TEXTS if name != "synthetic"])
def test_so_it_does_on_real_text(data_dir: Path, text: str) -> None:
    taken = list(_played(text, 2))
    assert len(taken) > 8
    assert all(taken)


def test_the_teacher_does_not_look_at_words() -> None:
    lesson = next(reference_lessons(["synthetic"], REFERENCE_ENV_ARGS, Unselective(), 0))
    view = parse_observation(lesson.observation)
    assert view.lines
    other = dataclasses.replace(view, lines=tuple("x" * len(line) for line in view.lines))
    unlimited = dataclasses.replace(view, budget=None), dataclasses.replace(other, budget=None)
    teacher, seeds = Unselective(), range(30)
    replies = [
        [teacher.act(one, np.random.default_rng(seed)) for seed in seeds] for one in unlimited
    ]
    assert replies[0] == replies[1]
    assert len(set(replies[0])) > 20
    kept = [int(n) for text in replies[0] if text != "SKIP" for n in text.split()[1:]]
    assert set(kept) == set(range(1, len(view.lines) + 1))


def test_lessons_are_a_function_of_the_seed() -> None:
    def some(seed: int) -> list[object]:
        return list(
            islice(reference_lessons(["synthetic"], REFERENCE_ENV_ARGS, Unselective(), seed, 2), 8)
        )

    assert some(1) == some(1)
    assert some(1) != some(2)


def test_a_stopped_run_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imitation, "MAX_NEW_TOKENS", 4)
    said: list[str] = []
    whole = imitate(_config(folder), tmp_path / "whole", said.append)
    halted = imitate(_config(folder), tmp_path / "parts", said.append, lambda: True)
    assert halted == {"done": 1}
    again = imitate(_config(folder), tmp_path / "parts", said.append)
    first, second = _weights(tmp_path / "whole"), _weights(tmp_path / "parts")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert whole["replies"] == again["replies"]
    assert whole["tokens"] == again["tokens"]
    assert whole["replies"]["replies"] == 2 * TEXTS["synthetic"].env_args["num_chunks"]
    record = json.loads((tmp_path / "whole" / "warmstart.json").read_text())
    assert record["config"]["model"]["model"] == str(folder)
    numbers = [float(line.split("loss ")[1].split()[0]) for line in said[:4]]
    assert numbers[-1] < numbers[0]
    start = _weights(folder)
    moved = {name for name in start if not torch.equal(start[name], first[name])}
    assert any("layers.1" in name for name in moved)
    assert not any("layers.0" in name or "embed" in name for name in moved)
    with pytest.raises(ConfigError, match="other settings"):
        imitate(_config(folder, seed=5), tmp_path / "parts", said.append)


def test_what_cannot_be_learned_is_refused_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match="gradient norm nan: the weights were not changed"):
        imitate(_config(folder, lr=1e30), tmp_path / "far", lambda text: None)
    monkeypatch.setattr(imitation, "MAX_NEW_TOKENS", 10**6)
    with pytest.raises(ConfigError, match="exceed the model's context of"):
        imitate(_config(folder), tmp_path / "short", lambda text: None)


def test_fewer_blocks_are_the_first_ones(folder: Path) -> None:
    whole = load_policy(ModelConfig(str(folder), device="cpu"))
    cut = load_policy(ModelConfig(str(folder), device="cpu", layers=2))
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        model: Any = whole.model
        states = model(ids, output_hidden_states=True).hidden_states
        inner: Any = cut.model
        found = inner(ids, output_hidden_states=True).hidden_states
    assert torch.equal(found[1], states[1])
    torch.testing.assert_close(found[2], inner.model.norm(states[2]))
    for change in (keep_layers, freeze_layers):
        with pytest.raises(ConfigError, match="the model has 3 blocks, got 4"):
            change(whole.model, 4)


def test_a_shorter_model_is_saved_as_one(folder: Path, tmp_path: Path) -> None:
    cut = load_policy(ModelConfig(str(folder), device="cpu", layers=2))
    cut.save(tmp_path)
    again = load_policy(ModelConfig(str(tmp_path), device="cpu"))
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        first: Any = cut.model
        second: Any = again.model
        assert torch.equal(first(ids).logits, second(ids).logits)


def test_the_command_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(imitation, "MAX_NEW_TOKENS", 2)
    words = ["--model", str(folder), "--texts", "synthetic", "--steps", "1", "--prompts", "1"]
    words += ["--replies", "2", "--frozen-layers", "2", "--threads", "1"]
    assert warmstart([*words, str(tmp_path / "made")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1: loss ")
    record = json.loads(lines[-1])
    assert record["config"]["replies"] == 2
    assert record["config"]["model"]["frozen_layers"] == 2
    assert (tmp_path / "made" / "model.safetensors").is_file()
    with claimed(tmp_path / "none"):
        assert warmstart([*words, str(tmp_path / "none")]) == 2
    assert "none: another process writes there now" in capsys.readouterr().err
    assert warmstart([*words, "--layers", "9", str(tmp_path / "none")]) == 2
    assert "layers: the model has 3 blocks, got 9" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        warmstart([])
