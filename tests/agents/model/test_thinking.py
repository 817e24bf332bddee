"""Thinking whose marks are special tokens is never executed: not in training, not in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium as gym
import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import finemem_env  # noqa: F401  (registers the environments)
from agents.learn.rollout import RolloutSampling, roll_out
from agents.model.policy import Policy
from finemem_env import backends
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.hf import HFConfig, load_backend
from finemem_env.backends.policy import ModelPolicy
from finemem_env.backends.sampler import PLAIN, Sample, SampleOptions, TokenRows
from finemem_env.operations import parse
from finemem_env.registration import make_rollout_env

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

ENV = "FineMem-AR-v0"
THOUGHT = '<think>[{"op":"INSERT","content":"only a thought"}]</think>'
SAID = '[{"op":"INSERT","content":"Anna moved"}]'


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """One whose marks of thinking are special tokens, as those of some published models."""
    from agents.model.tiny import train_tokenizer

    made = train_tokenizer([THOUGHT, SAID] * 20, vocab_size=320)
    made.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    ids = made(THOUGHT)["input_ids"]
    assert made.decode(ids, skip_special_tokens=True) != THOUGHT
    return made


def drawing(ids: Sequence[int]) -> Callable[..., list[Sample]]:
    """A sampler that always replies the same."""

    def sample(
        prompts: TokenRows, sampling: backends.Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample]:
        return [Sample(tuple(ids), (-1.0,) * len(ids), True) for _ in prompts]

    return sample


@pytest.mark.parametrize(
    ("reply", "stored"),
    [(THOUGHT + SAID, ["Anna moved"]), (THOUGHT, []), (THOUGHT.removesuffix("</think>"), [])],
    ids=["thought and said", "thought", "cut off"],
)
def test_training_and_use_execute_the_same_operations(
    reply: str,
    stored: list[str],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agents.model.tiny import TinyConfig, build_model

    size = TinyConfig(hidden_size=32, intermediate_size=64, layers=1, context=4096)
    model: PreTrainedModel = build_model(tokenizer, size)
    policy = Policy(model, tokenizer)
    ids = policy.template.target(reply)
    args = {"num_chunks": 2}

    monkeypatch.setattr(policy.sampler, "sample", drawing(ids))
    sampling = RolloutSampling(max_new_tokens=400, instructions=False)
    (rollout,) = roll_out(policy, make_rollout_env(ENV, args, 1), [3], sampling, seed=0)

    policy.save(tmp_path)
    backend = load_backend(HFConfig(str(tmp_path), device="cpu"))
    assert isinstance(backend, GenerationBackend)
    monkeypatch.setattr(backend.sampler, "sample", drawing(ids))
    manager = ModelPolicy(backend, give_instructions=False)
    env = gym.make(ENV, disable_env_checker=True, **args)
    observation, info = env.reset(seed=3)
    actions = []
    for _ in rollout.steps:
        actions.append(manager.act(observation, info))
        observation, _, _, _, info = env.step(actions[-1])

    assert [step.text for step in rollout.steps] == actions
    assert [parse(step.text) for step in rollout.steps] == [parse(action) for action in actions]
    trained = [item.content for item in rollout.session.memory.items()]
    used = [item.content for item in env.unwrapped.session.memory.items()]  # type: ignore[attr-defined]
    assert trained == used == stored
