"""Causal LM classes built from small configs: right in sampling, scoring and gradient, or refused.

The measure is a plain forward pass of one row, without padding, cache or sharing, and `generate`.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import torch
import transformers

from agents.learn.loss import Denominators, LossConfig
from agents.learn.update import accumulate_gradients
from agents.model.batching import Row
from agents.model.logprobs import Scorer, score_rows
from finemem_env.backends import Sampling
from finemem_env.backends.local import abilities, checkpoint_layers, sample
from finemem_env.errors import ConfigError

VOCABULARY = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
NARROW: dict[str, Any] = {**WIDE, "num_key_value_heads": 2, "intermediate_size": 48}
GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4}
# name -> config, and whether rows share a prefix
CLASSES: dict[str, tuple[dict[str, Any], bool]] = {
    "Llama": (NARROW, True),
    "Qwen3": ({**NARROW, "head_dim": 8}, True),
    "GPT2": ({**GPT, "n_positions": 128}, True),
    "GPTNeoX": ({**WIDE, "intermediate_size": 48}, True),
    "Phi3": (NARROW, True),
    "OPT": ({**WIDE, "ffn_dim": 48, "word_embed_proj_dim": 32}, True),
    "Cohere": ({**NARROW, "logit_scale": 0.25}, True),
    "Falcon": ({**WIDE, "alibi": True}, True),  # takes no mask of four dimensions
    "Mistral": ({**NARROW, "sliding_window": 8}, False),
    "Gemma2": ({**NARROW, "head_dim": 8, "sliding_window": 8}, False),
    "Mpt": ({"d_model": 32, "n_layers": 2, "n_heads": 4}, False),  # positions by index
    "Bloom": ({"hidden_size": 32, "n_layer": 2, "n_head": 4}, False),
    # A local window by index that its cache does not show.
    "GPTNeo": (
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
        },
        False,
    ),
    "Llama4": (
        {
            **NARROW,
            "head_dim": 8,
            "intermediate_size_mlp": 48,
            "num_local_experts": 2,
            "attention_chunk_size": 8,
        },
        False,
    ),
}
REFUSED: dict[str, dict[str, Any]] = {
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},  # ignores the cache
    "OpenAIGPT": GPT,  # takes none
    "Rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
}

pytestmark = pytest.mark.filterwarnings("ignore")  # of kernels that are not there


def build(name: str, settings: dict[str, Any], spread: float = 6.0) -> Any:  # noqa: ANN401
    """A random model, with logits spread enough for the tests to mean something."""
    config = getattr(transformers, {"Llama4": "Llama4TextConfig"}.get(name, f"{name}Config"))
    kind = getattr(transformers, f"{name}ForCausalLM", None)
    kind = kind or getattr(transformers, f"{name}LMHeadModel")
    torch.manual_seed(0)
    model = kind(config(**VOCABULARY, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(spread)
    return model


def prompts() -> tuple[list[tuple[int, ...]], list[int]]:
    """Two groups of three rows, with prefixes of different length."""
    draw = torch.Generator().manual_seed(1)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 64, (count,), generator=draw).tolist())

    rows = []
    for length in (20, 27):
        prefix = ids(length)
        rows += [prefix + ids(count) for count in (1, 4, 2)]
    return rows, [0, 0, 0, 1, 1, 1]


def plain(model: Any, prompt: tuple[int, ...], reply: tuple[int, ...]) -> torch.Tensor:  # noqa: ANN401
    logits = model(input_ids=torch.tensor([prompt + reply])).logits[0, len(prompt) - 1 : -1]
    chosen: torch.Tensor = logits.float().log_softmax(-1)[range(len(reply)), list(reply)]
    return chosen


@pytest.fixture(scope="module", params=CLASSES)
def model(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
    return build(request.param, CLASSES[request.param][0])


def test_sampling_is_that_of_a_plain_pass_and_of_generate(
    model: Any,  # noqa: ANN401
    request: pytest.FixtureRequest,
) -> None:
    name = request.node.callspec.params["model"]
    assert abilities(model).share == CLASSES[name][1]
    rows, groups = prompts()
    found = sample(model, rows, Sampling(0.0, max_tokens=6), groups=groups)
    for prompt, one in zip(rows, found, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(
                plain(model, prompt, one.token_ids),
                torch.tensor(one.logprobs),
                atol=2e-4,
                rtol=1e-4,
            )
    for number in (0, 4):
        own = model.generate(
            torch.tensor([rows[number]]), max_new_tokens=6, do_sample=False, eos_token_id=-1
        )
        assert own[0, len(rows[number]) :].tolist() == list(found[number].token_ids)


@pytest.mark.parametrize("saving", [False, True], ids=["plain", "checkpointing"])
def test_scores_and_gradients_are_those_of_a_plain_pass(model: Any, saving: bool) -> None:  # noqa: ANN401
    given, groups = prompts()
    rows = [
        Row(prompt, (5, 9, 33, 7), advantage=(-1.0) ** number, group=group)
        for number, (prompt, group) in enumerate(zip(given, groups, strict=True))
    ]
    model.zero_grad()
    expected = [plain(model, row.prompt, row.completion) for row in rows]
    pairs = zip(expected, rows, strict=True)
    terms = [row.advantage * (own - own.detach()).exp().sum() for own, row in pairs]
    (-torch.stack(terms).sum() / 24).backward()  # type: ignore[no-untyped-call]
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    if saving:
        checkpoint_layers(model)
    scorer, share = Scorer(model), abilities(model).share
    scores = score_rows(scorer, rows, max_tokens=400, share=share)
    for own, found in zip(expected, scores, strict=True):
        assert found == pytest.approx(own.tolist(), abs=2e-4)
    model.zero_grad()
    counts = Denominators.of([4] * 6, [1.0] * 6, max_completion_length=4)
    accumulate_gradients(scorer, rows, LossConfig(), counts, max_tokens=400, share=share)
    largest = max(float(value.abs().max()) for value in wanted.values())
    for name, parameter in model.named_parameters():
        if name in wanted:
            torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-4 * largest, rtol=1e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_other_classes_are_refused_by_name(name: str) -> None:
    refused = build(name, REFUSED[name])
    rows, _ = prompts()
    with pytest.raises(ConfigError, match=f"model class {name}"):
        sample(refused, rows, Sampling(0.0, max_tokens=2))


@pytest.mark.parametrize("spread", [0.01, 1.0])
def test_a_soft_cap_is_seen_however_small_the_logits(spread: float) -> None:
    settings = CLASSES["Gemma2"][0]
    assert not Scorer(build("Gemma2", settings, spread)).plain_head
    assert Scorer(build("Gemma2", {**settings, "final_logit_softcapping": None}, spread)).plain_head
    assert not Scorer(build("Cohere", CLASSES["Cohere"][0], spread)).plain_head
