"""Whether a causal LM is sampled, scored and trained rightly here: against plain passes of one row.

The measure of everything is a forward pass without padding, cache or sharing, and `generate`.
Random weights are spread, so that a context that is lost shows in the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agents.learn.loss import Denominators, LossConfig
from agents.learn.update import accumulate_gradients
from agents.model.batching import Row, micro_batches
from agents.model.logprobs import Scorer, score_rows
from finemem_env.backends import Sampling
from finemem_env.backends.local import abilities, checkpoint_layers, sample
from finemem_env.backends.sampler import Sample

SPREAD = 6.0
TOKENS = 6
REPLY = (5, 9, 33, 7)
CLOSE = 2e-4  # nats
KEPT = 0.8  # share of the bytes that checkpointing may keep of so small a model


class WrongError(Exception):
    """Other numbers than those of a plain pass."""


def spread_weights(model: Any, factor: float = SPREAD) -> Any:  # noqa: ANN401 - a causal LM
    """The model in eval mode, its matrices times `factor`."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(factor)
    return model.eval()


def prompts() -> tuple[list[tuple[int, ...]], list[int]]:
    """Two groups of three rows, with prefixes of different length; ids from 3 to 63."""
    draw = torch.Generator().manual_seed(1)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 64, (count,), generator=draw).tolist())

    rows = []
    for length in (20, 27):
        prefix = ids(length)
        rows += [prefix + ids(count) for count in (1, 4, 2)]
    return rows, [0, 0, 0, 1, 1, 1]


def plain(model: Any, prompt: tuple[int, ...], reply: tuple[int, ...]) -> Tensor:  # noqa: ANN401
    """Log-probabilities of `reply` after `prompt`, from one forward pass."""
    logits = model(input_ids=torch.tensor([prompt + reply])).logits[0, len(prompt) - 1 : -1]
    chosen: Tensor = logits.float().log_softmax(-1)[range(len(reply)), list(reply)]
    return chosen


def check_sampling(model: Any) -> None:  # noqa: ANN401
    """Greedy replies have the log-probabilities of a plain pass and are those of `generate`.

    Raises:
        WrongError: they have and are not.
        ConfigError: the class is refused.
    """
    rows, groups = prompts()
    samples = sample(model, rows, Sampling(0.0, max_tokens=TOKENS), groups=groups)
    for prompt, drawn in zip(rows, samples, strict=True):
        with torch.no_grad():
            own = plain(model, prompt, drawn.token_ids)
        _equal("sampled log-probabilities", torch.tensor(drawn.logprobs), own)
    for number in (0, 4):
        own = model.generate(
            torch.tensor([rows[number]]),
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=-1,
            pad_token_id=0,
        )
        reply = own[0, len(rows[number]) :].tolist()
        if reply != list(samples[number].token_ids):
            raise WrongError(f"sampled {list(samples[number].token_ids)}, generate gives {reply}")
    _check_small_batches(model, samples)


def _check_small_batches(model: Any, samples: Sequence[Sample]) -> None:  # noqa: ANN401
    """Two rows at a time, which end at different steps, give the beginnings of `samples`."""
    rows, groups = prompts()
    end = samples[0].token_ids[1]
    found = sample(
        model,
        rows,
        Sampling(0.0, max_tokens=TOKENS),
        stop_ids=(end,),
        groups=groups,
        batch_tokens=2 * (max(map(len, rows)) + TOKENS),
    )
    for one, whole in zip(found, samples, strict=True):
        length = len(one.token_ids)
        if one.token_ids != whole.token_ids[:length] or one.finished != (end in whole.token_ids):
            raise WrongError(f"in small batches {one.token_ids}, in one {whole.token_ids}")
        _equal(
            "log-probabilities in small batches",
            torch.tensor(one.logprobs),
            torch.tensor(whole.logprobs[:length]),
        )


def check_training(model: Any, *, saving: bool = False) -> None:  # noqa: ANN401
    """Scores of given replies, and the gradient of the loss, are those of plain passes.

    Args:
        model: a causal LM in eval mode.
        saving: turn gradient checkpointing on, which then must keep less for the backward pass.

    Raises:
        WrongError: they are not.
        ConfigError: the class is refused, or has no blocks that can be recomputed.
    """
    prefixed, groups = prompts()
    rows = [
        Row(prompt, REPLY, advantage=(-1.0) ** number, group=group)
        for number, (prompt, group) in enumerate(zip(prefixed, groups, strict=True))
    ]
    expected, wanted = _plain_gradient(model, rows)
    scorer, share = Scorer(model), abilities(model).share
    if saving:
        before = kept_bytes(scorer, rows, share=share)
        checkpoint_layers(model)
        after = kept_bytes(scorer, rows, share=share)
        if after > KEPT * before:
            raise WrongError(f"checkpointing: keeps {after:,} bytes of {before:,}")
    scored = score_rows(scorer, rows, micro_tokens=400, share=share)
    for own, scores in zip(expected, scored, strict=True):
        _equal("scores", torch.tensor(scores), own)
    model.zero_grad()
    counts = Denominators.of([len(REPLY)] * 6, [1.0] * 6, max_completion_length=len(REPLY))
    accumulate_gradients(scorer, rows, LossConfig(), counts, micro_tokens=400, share=share)
    largest = max(float(value.abs().max()) for value in wanted.values())
    for name, parameter in model.named_parameters():
        if name in wanted:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            _equal(f"gradient of {name}", grad, wanted[name], 1e-4 * largest, 1e-3)


def kept_bytes(scorer: Scorer, rows: list[Row], *, share: bool) -> int:
    """What the forward pass of an update keeps for the backward pass, beside the weights."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    batches = list(micro_batches(rows, 4000, share=share))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        held = [scorer(batch).logprobs.sum() for batch in batches]
    del held
    return sum(kept.values())


def _plain_gradient(model: Any, rows: list[Row]) -> tuple[list[Tensor], dict[str, Tensor]]:  # noqa: ANN401
    """Scores by plain passes, and the gradient of the loss over them."""
    model.zero_grad()
    expected = [plain(model, row.prompt, row.completion) for row in rows]
    terms = [
        row.advantage * (own - own.detach()).exp().sum()
        for own, row in zip(expected, rows, strict=True)
    ]
    loss = -torch.stack(terms).sum() / (len(REPLY) * len(rows))
    loss.backward()  # type: ignore[no-untyped-call]
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return [own.detach() for own in expected], wanted


def _equal(what: str, own: Tensor, wanted: Tensor, atol: float = CLOSE, rtol: float = 1e-4) -> None:
    if not torch.allclose(own, wanted, atol=atol, rtol=rtol):
        gap = float((own - wanted).abs().max())
        raise WrongError(f"{what}: up to {gap:.2g} off, largest {float(wanted.abs().max()):.2g}")
