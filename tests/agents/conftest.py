"""A tokenizer and a model small enough to build in every test process; no torch: all skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

TEXTS = [
    "On 12 May Anna moved to Paris. Her badge is K-193.",
    "Instructions: keep what will be asked. Memory: empty.",
    '[{"op":"INSERT","content":"Anna moved to Paris."}]',
] * 20


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    pytest.importorskip("torch", reason="the agents need torch")
    pytest.importorskip("transformers", reason="the agents need transformers")
    from agents.model.tiny import train_tokenizer

    return train_tokenizer(TEXTS, vocab_size=320)


@pytest.fixture(scope="session")
def make_model(tokenizer: PreTrainedTokenizerFast) -> Callable[..., PreTrainedModel]:
    """A random two-layer model, with logits spread enough for the tests to mean something."""
    import torch

    from agents.model.tiny import TinyConfig, build_model

    def make(seed: int = 0, spread: float = 8.0, tie: bool = True) -> PreTrainedModel:
        size = TinyConfig(
            hidden_size=32,
            intermediate_size=64,
            layers=2,
            heads=4,
            kv_heads=2,
            context=256,
            tie_embeddings=tie,
        )
        model = build_model(tokenizer, size, seed=seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(spread)
        model.train(False)
        return model

    return make
