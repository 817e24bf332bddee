"""What differs between the causal LM classes of transformers, asked of the class or tried out.

A class that cannot be sampled or scored rightly is refused by name: a cache that a model ignores or
a soft cap that is missed gives other numbers and no error.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer

from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What a class that does not fit raises when it is tried.
FAULTS = (
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def base_causal_lm(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside a PEFT wrapper, or the model itself.

    Raises:
        ConfigError: an adapter that is not in the model but in what is put before its inputs.
    """
    inner: Any = model
    for adapter in getattr(inner, "peft_config", {}).values():
        if getattr(adapter, "is_prompt_learning", False):
            raise ConfigError(
                "expected an adapter inside the model's layers, such as LoRA, got "
                f"{type(adapter).__name__}: its virtual tokens would be left out. Train LoRA, or "
                "serve this model (docs/models.md)."
            )
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner  # type: ignore[no-any-return]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in eval mode; afterwards each of its parts is in the mode that it was in."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def is_coarse(model: Any) -> bool:  # noqa: ANN401 - a transformers model
    """Whether its numbers have fewer bits than those of float32."""
    return torch.finfo(model.dtype).bits < 32


def known_inputs(model: Any, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401
    """Those of `inputs` that the signature of the model's `forward` names."""
    known = _parameters(model.__class__)
    return {name: value for name, value in inputs.items() if name in known}


def with_cache(model: Any, cache: Cache | None) -> dict[str, Cache | None]:  # noqa: ANN401
    """The keyword that hands `cache` to a transformers module, by the name its signature knows.

    transformers 5.24 renamed `past_key_values` to `cache`, one module at a time.
    """
    return {"cache" if "cache" in _parameters(model.__class__) else "past_key_values": cache}


@functools.cache
def _parameters(kind: Any) -> frozenset[str]:  # noqa: ANN401 - a class with a `forward`
    """Asked once per class: reading a signature takes longer than decoding a token should."""
    return frozenset(inspect.signature(kind.forward).parameters)


def new_cache(model: Any) -> Cache:  # noqa: ANN401 - a transformers model
    """An empty cache with the layer kinds of the model.

    Raises:
        ConfigError: the class takes no such cache.
    """
    if not {"cache", "past_key_values"} & _parameters(model.__class__):
        raise refused(model, "its forward takes no cache of keys and values")
    return DynamicCache(config=model.config)


def refused(model: Any, why: str) -> ConfigError:  # noqa: ANN401
    """The error for a class that cannot be sampled."""
    return ConfigError(
        f"model class {type(model).__name__} cannot be sampled token by token here: {why}. Use an "
        "attention model such as Qwen3 or Llama, or serve this one (docs/models.md)."
    )


@torch.no_grad()
def has_plain_head(model: Any) -> bool:  # noqa: ANN401 - a transformers causal LM in eval mode
    """Whether the logits are `lm_head(hidden)` and nothing more: no soft cap, no scale.

    Tried on four tokens, with the head's output blown up: a cap at 30 is seen however small the
    logits of the model are.

    Raises:
        ConfigError: the model cannot be run at all.
    """
    seen: list[Tensor] = []

    def blow_up(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        seen.append(output)
        return output * (1e3 / output.abs().max().clamp(min=1e-9))

    head = model.get_output_embeddings()
    if head is None:
        return False
    ids = torch.arange(4, device=model.device)[None]
    try:
        hidden = getattr(model.base_model(input_ids=ids), "last_hidden_state", None)
        with head.register_forward_hook(blow_up):
            own = model(input_ids=ids).logits
    except FAULTS as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"model class {type(model).__name__} cannot be scored here ({said}). Use another one."
        ) from error
    if len(seen) != 1 or hidden is None or not seen[0].isfinite().all():
        return False
    (inside,) = seen
    expected = inside * (1e3 / inside.abs().max().clamp(min=1e-9))
    try:
        again = head(hidden)
    except FAULTS:  # between the hidden states and this layer lies another
        return False
    near = 1e-2 * float(inside.abs().max())
    if again.shape != inside.shape:
        return False
    return torch.allclose(again, inside, rtol=0, atol=near) and torch.allclose(
        own.float(), expected.float(), rtol=1e-2, atol=1.0
    )


def checkpoint_layers(model: nn.Module) -> None:
    """Let every block of `model` recompute its activations in the backward pass.

    transformers' own switch works in training mode only, which turns dropout on, and takes the
    cache away, with which a common prefix is shared.

    Raises:
        ConfigError: the class has no blocks that transformers would checkpoint.
    """
    blocks: list[Any] = [
        part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)
    ]
    if not blocks:
        raise ConfigError(
            f"gradient_checkpointing: model class {type(model).__name__} does not support it."
        )
    for block in blocks:
        block.forward = functools.partial(_checkpointed, block.forward)


def _checkpointed(forward: Any, *inputs: Any, **keywords: Any) -> Any:  # noqa: ANN401
    if not torch.is_grad_enabled():
        return forward(*inputs, **keywords)
    # Computed again in what is a context then (`last_block.reading`), and without dropout, so that
    # no random state needs to be kept.
    again = functools.partial(copy_context().run, forward)
    return checkpoint(again, *inputs, use_reentrant=False, preserve_rng_state=False, **keywords)
