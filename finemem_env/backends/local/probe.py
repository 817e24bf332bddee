"""What a model class can do here, tried out once per model: nothing is believed of a class unseen.

A cache that a model ignores, a mask that it takes for something else or positions that it counts by
index give other numbers and no error.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from finemem_env.backends.base import Sampling
from finemem_env.backends.local.cache import attended, is_plain
from finemem_env.backends.local.cascade import NAME, attending
from finemem_env.backends.local.causal_lm import (
    FAULTS,
    evaluating,
    is_coarse,
    known_inputs,
    new_cache,
    refused,
)
from finemem_env.backends.local.continuous import Continuous
from finemem_env.backends.local.decoding import decode
from finemem_env.backends.local.last_block import narrow
from finemem_env.backends.local.prefill import prefill
from finemem_env.backends.local.prefix import Unit
from finemem_env.errors import ConfigError

# Three prompts of different length; the first two share 6 tokens and the third has a prefix of 3.
_PROMPTS = ((3, 10, 17, 24, 31, 38, 5, 9), (3, 10, 17, 24, 31, 38, 7), (1, 6, 11, 2))
_ALONE = tuple(Unit((row,), 0) for row in range(3))
_SHARED = (Unit((0, 1), 6), Unit((2,), 3))
_TOKENS = 3
_ROOM = 100  # cache positions, enough for all three
# Names of a window that a class applies by the index in the sequence, beside its cache.
_WINDOWS = ("attention_window_size", "window_size")
# Names of how many keys an indexer selects: more than a short prompt has, so no trial shows it.
_SELECTIONS = ("index_topk",)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What rows of a batch may do.

    `share`: attend to a prefix computed once. `full_mask`: have masks of all four dimensions.
    `refill`: join a batch that is under way. `cascade`: attend to a prefix that is kept once; the
    model's attention function is then ours, which does what `sdpa` does in all other passes.

    Prefixes are not shared with sliding windows or recurrent layers, whose caches are more than a
    list of keys, nor without `position_ids`: such models count positions by the index in the
    padded sequence.
    """

    share: bool
    full_mask: bool
    refill: bool
    cascade: bool


# With the attention that the model had then: `set_attn_implementation` may give it another.
_KNOWN: weakref.WeakKeyDictionary[Any, tuple[str, Abilities]] = weakref.WeakKeyDictionary()


def abilities(model: Any) -> Abilities:  # noqa: ANN401 - a transformers causal LM
    """What `model` can do; it is tried on three short prompts the first time.

    And again when its attention was set to another: one that is not ours would read marked keys
    without their prefixes.

    Raises:
        ConfigError: its class cannot be sampled: it ignores its cache or mask, or fails.
    """
    attention, known = _KNOWN.get(model, (None, None))
    if known is None or attention != model.config._attn_implementation:
        try:
            with evaluating(model), torch.no_grad():
                known = _tried(model)
        except ConfigError:
            raise
        except FAULTS as error:
            said = " ".join(str(error).split())[:200]
            raise refused(model, f"{type(error).__name__} when it is tried: {said}") from error
        _KNOWN[model] = model.config._attn_implementation, known
    # The model may have moved since.
    return replace(known, cascade=known.cascade and model.device.type == "cpu")


def _tried(model: Any) -> Abilities:  # noqa: ANN401
    if any(getattr(model.config, name, None) for name in _SELECTIONS):
        raise refused(model, "it attends to a selection of keys, which padding changes")
    size = model.get_input_embeddings().num_embeddings
    prompts = [[token % size for token in prompt] for prompt in _PROMPTS]
    if not _right(model, prompts, _ALONE, full_mask=False):
        raise refused(model, "with its cache it gives other probabilities than without")
    plain = is_plain(new_cache(model)) and bool(new_cache(model).layers)
    full_mask = (
        plain
        and model.config._attn_implementation in {"sdpa", NAME}
        and _works(lambda: _right(model, prompts, _ALONE, full_mask=True))
    )
    share = (
        plain
        and bool(known_inputs(model.base_model, position_ids=None))
        and not any(getattr(model.config, name, None) for name in _WINDOWS)
        and _works(lambda: _right(model, prompts, _SHARED, full_mask=full_mask))
    )
    refill = share and _works(
        lambda: _right(model, prompts, _SHARED, full_mask=full_mask, refill=True)
    )
    _works(lambda: narrow(model, torch.tensor(prompts[:1], device=model.device)))
    cascade = share and full_mask and _cascades(model, prompts)
    return Abilities(share, full_mask, refill, cascade)


def _cascades(model: Any, prompts: list[list[int]]) -> bool:  # noqa: ANN401
    """Whether the model can attend to prefixes that are kept once; if so, it does from here on."""
    if model.device.type != "cpu":
        return False
    copied = prefill(model, prompts, _SHARED, 0).logits

    def check() -> bool:
        with attending(model):
            kept = prefill(model, prompts, _SHARED, 0, cascade=True)
            if not attended(kept.cache):
                raise NotImplementedError("attention of its own")
            near = 1e-2 if is_coarse(model) else 1e-4
            torch.testing.assert_close(
                kept.logits, copied, rtol=0, atol=near * float(copied.abs().max())
            )
            if not _right(model, prompts, _SHARED, full_mask=True, cascade=True):
                raise NotImplementedError("other log-probabilities")
        return True

    return _works(check)


def _works(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except FAULTS:
        return False


def _right(
    model: Any,  # noqa: ANN401
    prompts: list[list[int]],
    units: Sequence[Unit],
    *,
    full_mask: bool,
    refill: bool = False,
    cascade: bool = False,
) -> bool:
    """Whether decoding reports the log-probabilities that a plain forward pass gives."""
    sampling = Sampling(1.0, max_tokens=_TOKENS)
    draws = torch.linspace(0.1, 0.9, len(prompts) * _TOKENS).reshape(len(prompts), _TOKENS)
    if refill:  # their ends differ, as those of rows of different age do
        replies = Continuous(
            model, prompts, sampling, draws, batch_tokens=_ROOM, full_mask=full_mask
        ).run(units)
    else:
        state = prefill(model, prompts, units, 0, cascade=cascade)
        replies = decode(model, state, sampling, draws, full_mask=full_mask)
    # What the context does is the measure of an error: to a model that forgot it, it does nothing.
    allowed = 0.5 if is_coarse(model) else 0.1
    written = [[*prompt, *reply.token_ids] for prompt, reply in zip(prompts, replies, strict=True)]
    # The tokens of the replies, each with the one before it.
    ends = [ids[-_TOKENS - 1 :] for ids in written]
    pairs = [end[at : at + 2] for end in ends for at in range(_TOKENS)]
    forgetful = _logprobs(model, pairs).view(len(written), _TOKENS)
    for ids, reply, alone in zip(written, replies, forgetful, strict=True):
        whole = _logprobs(model, [ids])[0, -_TOKENS:]
        if whole.isnan().any():
            raise ConfigError(
                f"a model of class {type(model).__name__} whose weights give no numbers: they are "
                f"damaged, or overflow in {str(model.dtype).removeprefix('torch.')}."
            )
        reported = torch.tensor(reply.logprobs)
        if (reported - whole).norm() > allowed * (alone - whole).norm() + 1e-5:
            return False
    return True


def _logprobs(model: Any, rows: list[list[int]]) -> Tensor:  # noqa: ANN401
    """Log-probabilities of every token but the first, from one plain pass of rows of one length."""
    tokens = torch.tensor(rows, device=model.device)
    logits = model(input_ids=tokens).logits[:, :-1].float()
    chosen: Tensor = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return chosen.cpu()
