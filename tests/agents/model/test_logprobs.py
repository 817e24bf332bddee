"""Chunked selective log-softmax equals the plain one, in value, gradient and entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import torch

from agents.model.batching import Row, micro_batches
from agents.model.logprobs import EntropyMode, Scorer, score_tokens
from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@pytest.mark.parametrize("max_logits", [1, 3 * 11, 10**6])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_equals_full_log_softmax(max_logits: int, temperature: float) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 5, generator=draw, requires_grad=True)
    head = torch.nn.Linear(5, 11)
    targets = torch.randint(0, 11, (7,), generator=draw)
    scores = score_tokens(
        hidden,
        head,
        targets,
        temperature=temperature,
        entropy="gradient",
        max_logits=max_logits,
    )
    full = torch.log_softmax(head(hidden) / temperature, dim=-1)
    plain = full.gather(-1, targets[:, None]).squeeze(-1)
    entropy = -(full.exp() * full).sum(-1)
    torch.testing.assert_close(scores.logprobs, plain)
    torch.testing.assert_close(scores.entropy, entropy)
    weight = torch.randn(7, generator=draw)
    assert scores.entropy is not None
    ours = (weight * scores.logprobs).sum() + scores.entropy.sum()
    theirs = (weight * plain).sum() + entropy.sum()
    wanted = (hidden, head.weight, head.bias)
    for mine, other in zip(
        torch.autograd.grad(ours, wanted), torch.autograd.grad(theirs, wanted), strict=True
    ):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("mode", ["none", "value"])
def test_logging_the_entropy_costs_no_gradient(mode: EntropyMode) -> None:
    hidden = torch.randn(4, 5, requires_grad=True)
    scores = score_tokens(
        hidden, torch.nn.Linear(5, 6), torch.zeros(4, dtype=torch.long), entropy=mode
    )
    assert (scores.entropy is None) == (mode == "none")
    assert scores.entropy is None or not scores.entropy.requires_grad


def test_logits_never_exist_for_all_tokens() -> None:
    """The head sees at most max_logits / V rows at a time, in the backward pass too."""
    seen: list[int] = []

    class Head(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
            seen.append(len(input))
            return super().forward(input)

    hidden = torch.randn(20, 4, requires_grad=True)
    scores = score_tokens(hidden, Head(4, 8), torch.zeros(20, dtype=torch.long), max_logits=24)
    scores.logprobs.sum().backward()  # type: ignore[no-untyped-call]
    assert max(seen) == 3
    assert len(seen) == 1 + 7 + 7  # the vocabulary's size, forward, recomputed


def test_bfloat16_scores_are_float32() -> None:
    head = torch.nn.Linear(4, 8).bfloat16()
    scores = score_tokens(torch.randn(3, 4).bfloat16(), head, torch.zeros(3, dtype=torch.long))
    assert scores.logprobs.dtype == torch.float32


def test_no_tokens_still_reach_the_parameters() -> None:
    hidden, head = torch.randn(0, 4, requires_grad=True), torch.nn.Linear(4, 8)
    scores = score_tokens(hidden, head, torch.zeros(0, dtype=torch.long))
    assert scores.logprobs.shape == (0,)
    assert scores.logprobs.dtype == torch.float32
    scores.logprobs.sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in (hidden, *head.parameters()))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_refuses_a_temperature(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        score_tokens(
            torch.zeros(1, 2),
            torch.nn.Linear(2, 3),
            torch.zeros(1, dtype=torch.long),
            temperature=temperature,
        )


def test_a_model_with_a_scaled_head_is_found_out(
    make_model: Callable[..., PreTrainedModel],
) -> None:
    """Logits that are more than lm_head(hidden) go through the model's own forward."""
    from transformers import CohereConfig, CohereForCausalLM

    assert Scorer(make_model()).plain_head
    torch.manual_seed(0)
    scaled = CohereForCausalLM(
        CohereConfig(
            vocab_size=40,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            logit_scale=0.25,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    scaled.train(False)
    with torch.no_grad():
        for parameter in scaled.parameters():
            if parameter.ndim == 2:
                parameter.mul_(20)
    scorer = Scorer(scaled)
    assert not scorer.plain_head
    row = Row(tuple(range(5, 30)), (7, 8, 9))
    (batch,) = micro_batches([row], 100)
    ids = torch.tensor([row.prompt + row.completion])
    with torch.no_grad():
        full = torch.log_softmax(scaled(input_ids=ids).logits, dim=-1)[0, 24:27]
        scores = scorer(batch)
    torch.testing.assert_close(scores.logprobs, full[range(3), [7, 8, 9]])
