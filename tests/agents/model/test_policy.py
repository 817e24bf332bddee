"""Policies from a folder: prompts, sampling, scoring, LoRA, checkpointing, reference, saving."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch

from agents.learn.loss import Denominators, LossConfig
from agents.learn.update import accumulate_gradients
from agents.model.batching import Row, micro_batches
from agents.model.logprobs import score_rows
from agents.model.policy import Policy, load_policy
from agents.settings import ModelConfig
from finemem_env.backends.local import find_units
from finemem_env.backends.policy import manage_request
from finemem_env.backends.sampler import save_weights
from finemem_env.backends.template import ChatTemplate, give_plain_template
from finemem_env.errors import BackendError, ConfigError
from tests.agents.model.test_batching import computed_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# peft reads a property that transformers has renamed.
VARIANTS: list[dict[str, Any]] = [{}, {"lora_rank": 4}, {"gradient_checkpointing": True}]
CHUNK = "Instructions: keep what will be asked. " * 2
PROMPTS = [("Keep facts.", f"{CHUNK}Memory: {i} items") for i in range(4)]


@pytest.fixture(scope="module")
def folder(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    path = tmp_path_factory.mktemp("model")
    make_model().save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def load(folder: str, **options: Any) -> Policy:  # noqa: ANN401
    return load_policy(ModelConfig(folder, device="cpu", **options))


def rollout(policy: Policy, temperature: float = 0.6) -> list[Row]:
    prompts = policy.encode(PROMPTS)
    found = policy.sample(
        prompts, max_new_tokens=8, temperature=temperature, seed=0, groups=[0] * len(prompts)
    )
    return [
        Row(p, c.token_ids, c.logprobs, advantage=(-1.0) ** i, group=0)
        for i, (p, c) in enumerate(zip(prompts, found, strict=True))
    ]


def gradient(policy: Policy, rows: list[Row], *, share: bool) -> dict[str, torch.Tensor]:
    policy.model.zero_grad()
    policy.model.train()
    counts = Denominators.of([len(r.completion) for r in rows], [1.0] * 4, max_completion_length=8)
    accumulate_gradients(
        policy.scorer(0.6), rows, LossConfig(), counts, micro_tokens=1000, share=share
    )
    policy.model.train(False)
    return {
        name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize(
    "options", [{}, {"lora_rank": 4}, {"gradient_checkpointing": True}], ids=str
)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampler_and_trainer_agree(
    folder: str, options: dict[str, Any], temperature: float
) -> None:
    if "lora_rank" in options:
        pytest.importorskip("peft", reason="LoRA needs peft")
    policy = load(folder, **options)
    rows = rollout(policy, temperature)
    found = score_rows(
        policy.scorer(temperature), rows, micro_tokens=500, share=policy.shares_prefixes
    )
    for row, logprobs in zip(rows, found, strict=True):
        assert row.sampler_logprobs == pytest.approx(logprobs, abs=1e-4)


def test_gradient_checkpointing_changes_nothing(folder: str) -> None:
    plain, saving = load(folder), load(folder, gradient_checkpointing=True)
    assert plain.shares_prefixes
    assert saving.shares_prefixes
    rows = rollout(plain)
    first = gradient(plain, rows, share=True)
    for share in (True, False):
        second = gradient(saving, rows, share=share)
        assert first.keys() == second.keys()
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], atol=1e-5, rtol=1e-3)


def saved_bytes(policy: Policy, rows: list[Row]) -> int:
    """What the forward pass of an update keeps for the backward pass."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    (batch,) = micro_batches(rows, 4000, share=policy.shares_prefixes)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        policy.scorer()(batch).logprobs.sum()
    return sum(kept.values())


@pytest.mark.parametrize("options", [{}, {"lora_rank": 4}], ids=str)
def test_gradient_checkpointing_saves_memory(folder: str, options: dict[str, Any]) -> None:
    if options:
        pytest.importorskip("peft", reason="LoRA needs peft")
    rows = rollout(load(folder))
    plain = saved_bytes(load(folder, **options), rows)
    saving = saved_bytes(load(folder, gradient_checkpointing=True, **options), rows)
    assert saving < 0.6 * plain


def test_dropout_is_off_in_training(folder: str, tmp_path: Path) -> None:
    """Sampler and trainer must compute the same function, with checkpointing too."""
    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text()) | {"attention_dropout": 0.5}
    path.write_text(json.dumps(config))
    policy = load(str(tmp_path / "model"), gradient_checkpointing=True)
    model: Any = policy.model
    assert model.config.attention_dropout == 0.5
    assert not any(part.training for part in policy.model.modules())
    rows = rollout(policy)
    (batch,) = micro_batches(rows, 4000)
    torch.testing.assert_close(
        torch.cat([torch.tensor(rows[i].sampler_logprobs) for i in batch.rows]),
        policy.scorer(0.6)(batch).logprobs.detach(),
        atol=1e-4,
        rtol=0,
    )


def test_lora(folder: str, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="LoRA needs peft")
    policy = load(folder, lora_rank=4)
    rows = rollout(policy)
    found = gradient(policy, rows, share=True)
    assert found
    assert all("lora" in name for name in found)
    base = score_rows(load(folder).scorer(), rows, micro_tokens=500)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    policy.freeze_reference()  # costs nothing: the model without its adapters
    assert policy.reference_logprobs(rows, micro_tokens=500) == [
        pytest.approx(row, abs=1e-4) for row in base
    ]
    moved = score_rows(policy.scorer(), rows, micro_tokens=500)
    assert moved[0] != pytest.approx(base[0], abs=1e-2)
    policy.save(tmp_path)
    merged = score_rows(load(str(tmp_path)).scorer(), rows, micro_tokens=500)
    assert merged == [pytest.approx(row, abs=1e-3) for row in moved]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for it
def test_an_adapter_in_front_of_the_model_is_refused(folder: str) -> None:
    peft = pytest.importorskip("peft", reason="adapters need peft")
    policy = load(folder)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(ConfigError, match="such as LoRA, got PromptTuningConfig"):
        Policy(peft.get_peft_model(policy.model, config), policy.tokenizer)


def test_reference_stays_where_it_was(folder: str) -> None:
    policy = load(folder)
    rows = rollout(policy)
    with pytest.raises(ConfigError, match="freeze_reference"):
        policy.reference_logprobs(rows, micro_tokens=500)
    policy.freeze_reference()
    before = score_rows(policy.scorer(), rows, micro_tokens=500)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.1)
    assert score_rows(policy.scorer(), rows, micro_tokens=500) != before
    assert policy.reference_logprobs(rows, micro_tokens=500) == before


@pytest.mark.parametrize("precision", ["bfloat16", "mixed"])
def test_lower_precision(folder: str, precision: str) -> None:
    policy = load(folder, precision=precision)
    rows = rollout(policy)
    found = gradient(policy, rows, share=True)
    expected = torch.bfloat16 if precision == "bfloat16" else torch.float32
    assert {value.dtype for value in found.values()} == {expected}
    assert all(torch.isfinite(value).all() for value in found.values())
    exact = score_rows(load(folder).scorer(0.6), rows, micro_tokens=500)
    for row, logprobs in zip(rows, exact, strict=True):
        assert row.sampler_logprobs == pytest.approx(logprobs, abs=1.0)


def test_group_shares_instructions_and_chunk(folder: str) -> None:
    prompts = load(folder).encode(PROMPTS)
    (unit,) = find_units(prompts, [0] * 4)
    assert unit.prefix > 0.7 * len(prompts[0])
    (batch,) = micro_batches([Row(p, (5,), group=0) for p in prompts], 1000)
    assert computed_tokens(batch) < 0.5 * sum(map(len, prompts))


def render(tokenizer: Any, instructions: str, *, tools: bool = False) -> str:  # noqa: ANN401
    return ChatTemplate(tokenizer, {}).render(manage_request("Chunk", instructions, tools=tools))


def test_prompt_with_the_chat_template(folder: str) -> None:
    policy = load(folder)
    text = render(policy.tokenizer, "Keep facts.")
    assert text == (
        "<|im_start|>system\nKeep facts.<|im_end|>\n"
        "<|im_start|>user\nChunk<|im_end|>\n<|im_start|>assistant\n"
    )
    (ids,) = policy.encode([("Keep facts.", "Chunk")])
    assert policy.tokenizer.decode(ids) == text
    assert policy.encode([]) == []
    assert policy.decode([policy.template.target("café")]) == ["café"]
    assert policy.template.target("a")[-1] == policy.tokenizer.eos_token_id


def test_prompt_without_a_template_or_a_system_role(folder: str, tmp_path: Path) -> None:
    tokenizer = load(folder).tokenizer
    refusing = (
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}[{{ m['content'] }}]{% endfor %}"
    )
    tokenizer.chat_template = refusing
    assert render(tokenizer, "Keep.") == "[Keep.\n\nChunk]"
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"  # drops it without a word
    assert render(tokenizer, "Keep.") == "Keep.\n\nChunk"
    tokenizer.chat_template = None
    with pytest.raises(ConfigError, match="chat template"):
        Policy(load(folder).model, tokenizer, tools=True)
    give_plain_template(tokenizer)
    assert render(tokenizer, "Keep.") == "Keep.\n\nChunk\n\nOperations:\n"
    policy = Policy(load(folder).model, tokenizer)
    policy.save(tmp_path)  # what is deployed reads the same prompts
    assert load(str(tmp_path)).encode([("Keep.", "Chunk")]) == policy.encode([("Keep.", "Chunk")])


def test_tools_reach_the_template(folder: str) -> None:
    tokenizer = load(folder).tokenizer
    tokenizer.chat_template = (
        "{% for t in tools or [] %}{{ t.function.name }} {% endfor %}{{ messages[0]['content'] }}"
    )
    shown = render(tokenizer, "Keep.", tools=True)
    assert shown.startswith("INSERT UPDATE DELETE SKIP Keep.")


def test_prompt_beyond_the_context(folder: str) -> None:
    policy = load(folder)
    assert policy.context == 256
    with pytest.raises(ConfigError, match="a prompt of 250 tokens and 8 new ones exceed"):
        policy.sample([(5,) * 250], max_new_tokens=8, temperature=1.0, seed=0)


@pytest.mark.parametrize("layers", [False, True], ids=["of all", "by the kind of layer"])
def test_the_context_ends_where_positions_are_counted_anew(folder: str, layers: bool) -> None:
    policy = load(folder)
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 64}
    model: Any = policy.model
    model.config.rope_parameters = {"full_attention": rope} if layers else rope
    assert policy.context == 64


def test_stop_tokens(folder: str) -> None:
    policy = load(folder)
    tokenizer = policy.tokenizer
    assert policy.stop_ids == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert policy.own.pad == tokenizer.pad_token_id


def test_a_full_disk_is_one_line(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("No space left on device")

    policy = load(folder)
    monkeypatch.setattr(type(policy.model), "save_pretrained", full)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(ConfigError, match=r"could not be written \(No space left on device\)"):
        policy.save(tmp_path / "saved")
    with pytest.raises(BackendError, match=r"handed over in .*No space left on device"):
        save_weights(policy.model, tmp_path / "handed")
    assert not list(tmp_path.glob("*handed*"))
    assert policy.model.config.tie_word_embeddings  # type: ignore[union-attr]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="or a folder or hub id that"):
        load(str(tmp_path / "missing" / "model"))
    with pytest.raises(ConfigError, match="precision"):
        ModelConfig("x", precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lora_rank"):
        ModelConfig("x", lora_rank=-1)
