"""Fewer blocks of a causal LM, and fewer that are trained: what makes a model affordable on a CPU.

A model that keeps its first blocks alone needs training before it says anything, since the head
reads what the last block wrote. Blocks that are not trained need no backward pass below the first
one that is.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from finemem_env.backends.local import base_causal_lm
from finemem_env.errors import ConfigError


def keep_layers(model: nn.Module, count: int) -> None:
    """Drop all blocks after the first `count`, in place.

    Raises:
        ConfigError: the model has fewer, or its class keeps them in another way than Llama's.
    """
    body, blocks = _blocks(model, "layers", count)
    body.layers = blocks[:count]
    config: Any = base_causal_lm(model).config
    config.num_hidden_layers = count
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]


def freeze_layers(model: nn.Module, count: int) -> None:
    """Leave the embeddings (with a head tied to them) and the first `count` blocks untrained.

    Adapters of those blocks are not trained either.

    Raises:
        ConfigError: as for `keep_layers`.
    """
    _, blocks = _blocks(model, "frozen_layers", count)
    for part in (base_causal_lm(model).get_input_embeddings(), *blocks[:count]):
        part.requires_grad_(False)


def _blocks(model: nn.Module, option: str, count: int) -> tuple[Any, Any]:
    """The module that holds the blocks, and their list."""
    body: Any = base_causal_lm(model).base_model
    blocks = getattr(body, "layers", None)
    if not isinstance(blocks, nn.ModuleList):
        kind = type(base_causal_lm(model)).__name__
        raise ConfigError(f"{option}: model class {kind} has no list of blocks called layers.")
    if count > len(blocks):
        raise ConfigError(f"{option}: the model has {len(blocks)} blocks, got {count}.")
    return body, blocks
