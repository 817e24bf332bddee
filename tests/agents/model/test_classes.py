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

from agents.model.logprobs import Scorer
from benchmarks.model_checks import SPREAD, check_sampling, check_training, prompts, spread_weights
from finemem_env.backends import Sampling
from finemem_env.backends.local import abilities, sample
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


def build(name: str, settings: dict[str, Any], spread: float = SPREAD) -> Any:  # noqa: ANN401
    """A random model, with logits spread enough for the tests to mean something."""
    config = getattr(transformers, {"Llama4": "Llama4TextConfig"}.get(name, f"{name}Config"))
    kind = getattr(transformers, f"{name}ForCausalLM", None)
    kind = kind or getattr(transformers, f"{name}LMHeadModel")
    torch.manual_seed(0)
    return spread_weights(kind(config(**VOCABULARY, **settings)), spread)


@pytest.fixture(scope="module", params=CLASSES)
def model(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
    return build(request.param, CLASSES[request.param][0])


def test_sampling_is_that_of_a_plain_pass_and_of_generate(
    model: Any,  # noqa: ANN401
    request: pytest.FixtureRequest,
) -> None:
    name = request.node.callspec.params["model"]
    assert abilities(model).share == CLASSES[name][1]
    check_sampling(model)


@pytest.mark.parametrize("saving", [False, True], ids=["plain", "checkpointing"])
def test_scores_and_gradients_are_those_of_a_plain_pass(model: Any, saving: bool) -> None:  # noqa: ANN401
    check_training(model, saving=saving)


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
