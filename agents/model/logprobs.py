"""Log-probabilities of completion tokens under a causal language model.

Logits are made at the positions that predict a completion token and nowhere else, and in chunks:
beyond `MAX_LOGITS` values the chunks are recomputed in the backward pass, so that the logits of the
whole batch never exist at once. From the logits on all is float32, whatever the model's type.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from agents.model.batching import MicroBatch, Row, micro_batches, unflatten
from finemem_env.backends.local import (
    RecordedPrefix,
    Sharing,
    abilities,
    base_causal_lm,
    evaluating,
    has_plain_head,
    known_inputs,
    last_positions,
    reading,
    unused_mask,
    with_cache,
)
from finemem_env.errors import ConfigError

MAX_LOGITS = 2**26  # logits of one chunk: 256 MB in float32
EntropyMode = Literal["none", "value", "gradient"]


class TokenScores(NamedTuple):
    """Per-token log-probability and entropy in nats, (N,) float32 each."""

    logprobs: Tensor
    entropy: Tensor | None


def score_tokens(
    hidden: Tensor,
    head: Callable[[Tensor], Tensor],
    targets: Tensor,
    *,
    temperature: float = 1.0,
    entropy: EntropyMode = "value",
    max_logits: int = MAX_LOGITS,
) -> TokenScores:
    """Log softmax(head(hidden) / temperature) at `targets`, without keeping the logits.

    Args:
        hidden: (N, D) outputs that predict the targets.
        head: (n, D) to logits (n, V).
        targets: (N,) token ids.
        temperature: of the sampler; the distribution scored is the one that was sampled from.
        entropy: "none", "value" (no gradient), or "gradient" for an entropy bonus.
        max_logits: largest n * V held at once.

    Raises:
        ConfigError: for a temperature that is not positive.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature: expected a positive number, got {temperature!r}.")

    def chunk(part: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        return _score_chunk(head(part), ids, temperature, entropy)

    if not len(targets):
        empty = head(hidden).float().sum(-1)  # through the head, whose weights DDP waits for too
        return TokenScores(empty, None if entropy == "none" else torch.zeros_like(empty))
    vocabulary = int(head(hidden[:1].detach()).shape[-1])
    size = max(1, max_logits // vocabulary)
    recompute = len(targets) > size and torch.is_grad_enabled()
    parts = [
        checkpoint(chunk, h, t, use_reentrant=False, preserve_rng_state=False)
        if recompute
        else chunk(h, t)
        for h, t in zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    ]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return TokenScores(columns[0], columns[1] if len(columns) > 1 else None)


def _score_chunk(
    logits: Tensor, targets: Tensor, temperature: float, entropy: EntropyMode
) -> tuple[Tensor, ...]:
    """Log-probabilities of `targets` (n,) and, unless "none", entropies, from logits (n, V)."""
    logits = logits.float()
    if temperature != 1.0:
        logits = logits / temperature
    total = torch.logsumexp(logits, dim=-1)
    logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - total
    if entropy == "none":
        return (logprobs,)
    with contextlib.nullcontext() if entropy == "gradient" else torch.no_grad():
        probabilities = torch.exp(logits - total[:, None])
        return logprobs, torch.special.entr(probabilities).sum(-1)


class Scorer(nn.Module):
    """A causal LM as a function from a micro-batch to the scores of its completion tokens.

    Wrap this, not the model, with DDP or FSDP: its `forward` is the only entry that training needs.
    Models whose logits are more than `lm_head(hidden)` (soft caps, scales) are found by a probe and
    run through their own `forward`, at the price of logits at all positions.

    Raises:
        ConfigError: a model class that cannot be run this way.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        temperature: float = 1.0,
        autocast: torch.dtype | None = None,
        max_logits: int = MAX_LOGITS,
    ) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.autocast = autocast
        self.max_logits = max_logits
        self.plain_head = _has_plain_head(model)

    def forward(self, batch: MicroBatch, entropy: EntropyMode = "value") -> TokenScores:
        """Scores of the N completion tokens of `batch`, in its order."""
        device = batch.input_ids.device.type
        with torch.autocast(device, self.autocast, enabled=self.autocast is not None):
            outputs = self._outputs(batch).flatten(0, 1).index_select(0, batch.source)
            return score_tokens(
                outputs,
                self._head,
                batch.targets,
                temperature=self.temperature,
                entropy=entropy,
                max_logits=self.max_logits,
            )

    def _head(self, outputs: Tensor) -> Tensor:
        """Logits of selected outputs."""
        model: Any = base_causal_lm(self.model)
        logits: Tensor = model.get_output_embeddings()(outputs) if self.plain_head else outputs
        return logits

    def _outputs(self, batch: MicroBatch) -> Tensor:
        """(B, S, D) hidden states, or (B, S, V) logits of a model without a plain head."""
        model: Any = base_causal_lm(self.model)
        body = model.base_model if self.plain_head else model
        keywords: dict[str, Any] = {}
        mask = batch.attention_mask
        if batch.prefix_ids is not None and batch.unit is not None and mask is not None:
            prefix = RecordedPrefix(model)
            cache = with_cache(body, prefix.recording)
            with reading(batch.prefix_ids, last_positions(batch.prefix_ids)):  # for the cache alone
                body(input_ids=batch.prefix_ids, use_cache=True, **cache)
            if abilities(model).cascade:
                seen = torch.empty_like(batch.prefix_ids, dtype=torch.bool)
                seen[batch.unit] = mask[:, : seen.shape[1]]
                shared, mask = prefix.kept_once(Sharing(batch.unit, seen)), unused_mask(mask.device)
            else:
                shared = prefix.shared(batch.unit)
            keywords = {"use_cache": True, **with_cache(body, shared)}
        with reading(batch.input_ids, batch.source):
            result = body(
                input_ids=batch.input_ids,
                attention_mask=mask,
                **known_inputs(body, position_ids=batch.position_ids),
                **(keywords or known_inputs(body, use_cache=False)),
            )
        outputs: Tensor = result.last_hidden_state if self.plain_head else result.logits
        return outputs


def _has_plain_head(model: nn.Module) -> bool:
    """See `has_plain_head`; the model is left in the modes it was in."""
    inner: Any = base_causal_lm(model)
    with evaluating(inner):
        return has_plain_head(inner)


@torch.no_grad()
def score_rows(
    scorer: nn.Module, rows: Sequence[Row], *, micro_tokens: int, share: bool = True
) -> list[tuple[float, ...]]:
    """Log-probabilities of every completion token, per row: `old` and `reference` tables."""
    device = next(scorer.parameters()).device
    table: dict[int, tuple[float, ...]] = {}
    for batch in micro_batches(rows, micro_tokens, share=share):
        scores: TokenScores = scorer(batch.to(device), "none")
        table |= unflatten(scores.logprobs, batch)
    return [table[i] for i in range(len(rows))]
