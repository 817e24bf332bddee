"""Rollouts drawn by an engine that holds a copy of the weights; vLLM's place is taken by one of
transformers here, and `test_vllm_training.py` runs the real one.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch

from agents.grpo import main
from agents.learn.distributed import World
from agents.model import samplers
from agents.model.policy import ModelConfig, ModelSampler, Policy, load_policy
from agents.model.samplers import EngineSampler, make_sampler
from agents.runs.config import PRESETS, from_dict
from agents.settings import EngineOptions, SamplerSetup, ServerOptions, check_sampler
from agents.trainer import Run
from finemem_env.backends import Sampling
from finemem_env.backends.hf import HFSampler
from finemem_env.backends.logprobs import sequence_logprobs
from finemem_env.backends.sampler import Sample, largest_difference, save_weights
from finemem_env.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from finemem_env.backends.sampler import Sampler

# peft reads a property that transformers has renamed.
ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    **PRESETS["cpu"],
    "env_args": {**PRESETS["cpu"]["env_args"], "num_chunks": 2},
    "contexts": 1,
    "group_size": 3,
    "max_new_tokens": 60,
    "updates": 2,
    "lr": 1e-3,
    "warmup_updates": 0,
    "eval_every": 0,
    "eval_episodes": 1,
    "final_episodes": 0,
    "save_every": 1,
    "threads": 1,
    "sampler": "vllm",
}


class Engine:
    """Stands in for vLLM: a model of its own, which `fault` makes go wrong."""

    def __init__(self, policy: Policy, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        save_weights(policy.model, folder, policy.tokenizer)
        model = AutoModelForCausalLM.from_pretrained(folder)
        self.inner = HFSampler(model, policy.tokenizer)
        self.context_tokens: int | None = 400
        self.updates = 0
        self.fault = ""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        stop_ids: Sequence[int] = (),
    ) -> list[Sample | None]:
        if self.fault == "away":
            return [None] * len(prompts)
        found: list[Sample | None] = [*self.inner.sample(prompts, sampling, stop_ids)]
        if self.fault == "raw":
            whole = [
                [*prompt, *one.token_ids]
                for prompt, one in zip(prompts, found, strict=True)
                if one is not None
            ]
            raw = [
                tuple(row[len(prompt) - 1 :])
                for prompt, row in zip(prompts, self.logprobs(whole), strict=True)
            ]
            return [
                Sample(one.token_ids, row, one.finished)
                for one, row in zip(found, raw, strict=True)
                if one is not None
            ]
        return [None, *found[1:]] if self.fault == "one away" else found

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        return self.inner.logprobs(sequences)

    def update(self, folder: Path) -> None:
        self.updates += 1
        if self.fault != "keeps its weights":
            self.inner.update(folder)


@pytest.fixture
def policy() -> Policy:
    return load_policy(from_dict(PRESETS["cpu"]).model)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Every engine that a run makes in place of vLLM."""
    made: list[Engine] = []

    def load(policy: Policy, setup: SamplerSetup, options: EngineOptions) -> Sampler:
        made.append(Engine(policy, setup.folder))
        return made[-1]

    monkeypatch.setattr(samplers, "_load", load)
    return made


def setup(folder: Path, **changes: Any) -> SamplerSetup:  # noqa: ANN401
    given: dict[str, Any] = {"name": "vllm", "options": {}, "precision": "float32"}
    return SamplerSetup(**{**given, "folder": folder, "temperature": 1.0, **changes})


def shake(policy: Policy) -> None:
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vlm", {}, r"Did you mean 'vllm'.*http://"),
        ("transformers", {"memory": 0.5}, "takes none"),
        ("vllm", {"memry": 0.5}, "Did you mean 'memory'"),
        ("vllm", {"tolerance": 0}, "tolerance must be above 0"),
        ("vllm", {"eager": "yes"}, "eager must be true or false"),
        ("http://127.0.0.1:1/v1", {"devices": 2}, "unknown option"),
        ("http://127.0.0.1:1/v1", {"concurrency": 0}, "concurrency must be at least 1"),
        ("http://user:secret@127.0.0.1:1/v1", {}, "must not hold a user"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_loaded(
    name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        from_dict({"sampler": name, "sampler_args": options})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("cls", [EngineOptions, ServerOptions])
def test_the_page_names_every_option_with_its_default(cls: type) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    page = page[page.index("## Training with vLLM") : page.index("## Chunk questions")]
    for one in dataclasses.fields(cls):
        words: dict[object, str] = {None: "none", False: "false"}
        plain = words.get(one.default, str(one.default))
        shown = re.search(rf"`{one.name}` ?(?:\((.*?)\)|\| (.*?) \|)", page)
        assert shown, one.name
        value = shown[1] or shown[2]
        assert one.name == "api_key_env" or value.startswith(plain.removesuffix(".0"))


def test_the_default_is_the_trainers_own_model(policy: Policy, tmp_path: Path) -> None:
    assert check_sampler("transformers", {}) is None
    assert isinstance(policy.sampler, ModelSampler)
    made = make_sampler(policy, setup(tmp_path, name="transformers"))
    assert isinstance(made, ModelSampler)
    assert made.refresh() == {}


def test_an_engine_gets_every_update_and_its_draws_are_the_trainers(
    policy: Policy, engines: list[Engine], tmp_path: Path
) -> None:
    sampler = make_sampler(policy, setup(tmp_path / "sampler", temperature=0.7))
    assert sampler.context_tokens == 400
    shake(policy)
    assert sampler.refresh()["train/sampler_difference"] < 1e-3
    prompts = policy.encode([("", f"Chunk {i}: Anna moved.") for i in range(3)])
    drawn = sampler.sample(prompts, Sampling(0.7, max_tokens=12, seed=1))
    for prompt, one in zip(prompts, drawn, strict=True):
        assert one is not None
        ids = torch.tensor([[*prompt, *one.token_ids]])
        with torch.no_grad():
            logits = policy.model(ids).logits[0, len(prompt) - 1 : -1] / 0.7
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(one.token_ids)[:, None])[:, 0]
        assert torch.allclose(expected, torch.tensor(one.logprobs), atol=1e-4)
        assert one.finished == (one.token_ids[-1] in policy.stop_ids)
    assert engines[0].updates == 2


def test_adapters_arrive_merged(engines: list[Engine], tmp_path: Path) -> None:
    model = from_dict(PRESETS["cpu"]).model.model
    policy = load_policy(ModelConfig(model, device="cpu", lora_rank=2))
    sampler = make_sampler(policy, setup(tmp_path / "sampler"))
    shake(policy)
    assert sampler.refresh()["train/sampler_difference"] < 1e-3
    assert any("lora_" in name for name, _ in policy.model.named_parameters())


def test_log_probabilities_of_another_temperature_are_refused(
    policy: Policy, engines: list[Engine], tmp_path: Path
) -> None:
    sampler = make_sampler(policy, setup(tmp_path / "sampler", temperature=0.5))
    assert isinstance(sampler, EngineSampler)
    engines[0].fault = "raw"
    sampler.compare_draws(1.0)
    with pytest.raises(BackendError, match="--logprobs-mode processed_logprobs"):
        sampler.compare_draws(0.5)


def test_a_row_without_a_reply_is_none_and_a_batch_without_any_is_an_error(
    policy: Policy, engines: list[Engine], tmp_path: Path
) -> None:
    sampler = make_sampler(policy, setup(tmp_path / "sampler"))
    prompts = [(5, 6, 7), (5, 6)]
    engines[0].fault = "one away"
    first, second = sampler.sample(prompts, Sampling(1.0, max_tokens=4, seed=0))
    assert first is None
    assert second is not None
    engines[0].fault = "away"
    with pytest.raises(BackendError, match=r"none of 2 replies in time.*--resume"):
        sampler.sample(prompts, Sampling(1.0, max_tokens=4, seed=0))
    assert sampler.sample([], Sampling()) == []


def test_several_training_processes_are_refused(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--sampler transformers"):
        make_sampler(policy, setup(tmp_path, processes=2))


def test_without_vllm_the_error_names_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    folder = tmp_path / "run"
    assert main(["--smoke", "--sampler", "vllm", "--output-dir", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "error: an engine in this process needs vllm, which is not installed." in said
    assert "--sampler transformers" in said
    assert not folder.exists()


def train(folder: Path, **changes: Any) -> Run:  # noqa: ANN401
    run = Run.start(from_dict(SMALL | changes), folder, resume=False, world=World())
    run.train()
    return run


def test_training_hands_over_the_weights_after_every_update(
    engines: list[Engine], tmp_path: Path
) -> None:
    run = train(tmp_path / "run", optimizer_steps=2)
    (engine,) = engines
    assert engine.updates == 3  # at the start, and after each of two updates
    probe = [list(range(20, 60))]
    found = engine.logprobs(probe)
    assert largest_difference(found, sequence_logprobs(run.policy.model, probe)) < 1e-4
    fresh = load_policy(run.config.model)
    assert largest_difference(found, sequence_logprobs(fresh.model, probe)) > 1e-3
    text = (run.folder / "metrics.jsonl").read_text()
    assert text.count("train/sampler_difference") == 2


def test_a_resumed_run_hands_over_the_weights_of_its_checkpoint(
    engines: list[Engine], tmp_path: Path
) -> None:
    first = train(tmp_path / "run", updates=1)
    config = from_dict(SMALL | {"sampler_args": {"tolerance": 0.01}})
    again = Run.start(config, tmp_path / "run", resume=True, world=World())
    probe = [list(range(20, 60))]
    assert engines[1].logprobs(probe) == engines[0].logprobs(probe)
    assert again.position.update == first.position.update == 1


def test_an_engine_that_keeps_its_weights_stops_the_run(
    engines: list[Engine], tmp_path: Path
) -> None:
    run = Run.start(from_dict(SMALL), tmp_path / "run", resume=False, world=World())
    engines[0].fault = "keeps its weights"
    with pytest.raises(BackendError, match="weight update refused"):
        run.train()
    assert run.position.update == 0
