"""Sampling from token ids, and new weights for a sampler: one interface for every engine.

A trainer and its sampler are two programs that hold the same weights; when they do not, every
importance ratio is wrong and nothing crashes. So `WeightSync` compares the log-probabilities of a
probe after each update and refuses to go on when they differ.
"""

from __future__ import annotations

import copy
import importlib
import shutil
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from finemem_env.backends.base import Sampling
from finemem_env.backends.logprobs import sequence_logprobs
from finemem_env.errors import BackendError

TokenRows = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One reply: its token ids, the end token included, and their log-probabilities.

    The log-probabilities are of the distribution at the temperature that drew them, before top-p.
    `finished` is False for a reply that stopped at `max_tokens`. `engine`: which of several it was.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool
    engine: int = 0


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """What a sampler is told of the rows beside how replies are drawn.

    `stop_ids` end a reply beside the model's own end tokens, and stay in it. Rows of equal `groups`
    begin alike; a hint. `seeds`, one per row, stand in the place of `sampling.seed`, for engines: a
    reply then depends on its own row and not on the batch. A model of this process draws the batch
    as a whole and goes by `sampling.seed`.
    """

    stop_ids: Sequence[int] = ()
    groups: Sequence[Hashable | None] | None = None
    seeds: Sequence[int] | None = None


PLAIN = SampleOptions()


@runtime_checkable
class Sampler(Protocol):
    """What draws replies to prompts of token ids: a model of this process, or an engine."""

    @property
    def context_tokens(self) -> int | None:
        """Longest prompt and reply together; None where there is no limit."""
        ...

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> Sequence[Sample | None]:
        """One reply per prompt, in order; None where the engine is away and gave none in time.

        Args:
            prompts: token ids.
            sampling: how replies are drawn.
            options: end tokens, groups and seeds of the rows.

        Raises:
            BackendError: the engine cannot run them.
        """
        ...

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, given those before it, temperature 1."""
        ...

    def update(self, folder: Path) -> None:
        """Take the weights of a transformers folder of the same architecture."""
        ...


class WeightsDifferError(BackendError):
    """Trainer and sampler do not hold the same weights; the sampler must not be used."""


class WeightSync:
    """Hands a trainer's weights to its sampler through a folder, and checks that they arrived.

    Args:
        sampler: takes the weights.
        folder: where they are written, seen by trainer and sampler alike; replaced at every push.
        probe: token id sequences of at least two tokens, such as a few prompts with replies.
        tolerance: largest difference of a token's log-probability between trainer and sampler:
            1e-3 suits float32, .25 bfloat16.
    """

    def __init__(
        self,
        sampler: Sampler,
        folder: Path,
        probe: Sequence[Sequence[int]],
        tolerance: float = 1e-3,
    ) -> None:
        if not probe or any(len(sequence) < 2 for sequence in probe):
            raise BackendError("weight probe: expected sequences of at least two tokens each.")
        self.sampler = sampler
        self.folder = folder
        self.probe = [list(sequence) for sequence in probe]
        self.tolerance = tolerance
        self._before: tuple[list[list[float]], list[list[float]]] | None = None

    def push(self, model: Any) -> float:  # noqa: ANN401
        """Give the weights of `model` (a transformers causal LM) to the sampler, and check them.

        Returns:
            The largest difference of the probe's log-probabilities.

        Raises:
            BackendError: as for `check`.
        """
        save_weights(model, self.folder)
        self.sampler.update(self.folder)
        return self.check(model)

    @property
    def said(self) -> list[list[float]] | None:
        """The sampler's log-probabilities of the probe at the last check."""
        return self._before and self._before[1]

    def check(self, model: Any) -> float:  # noqa: ANN401
        """Compare the sampler with `model` on the probe; as `compare`."""
        return self.compare(sequence_logprobs(model, self.probe))

    def compare(self, trainer: list[list[float]]) -> float:
        """Compare the sampler with the trainer's log-probabilities of the probe.

        Returns:
            The largest difference of the probe's log-probabilities.

        Raises:
            WeightsDifferError: the difference is above the tolerance, or the sampler did not change
                since the last check while the trainer did.
            BackendError: the sampler is away.
        """
        sampler = self.sampler.logprobs(self.probe)
        difference = largest_difference(trainer, sampler)
        # Not ≤ rather than >: a NaN must be refused too.
        if not difference <= self.tolerance:
            raise WeightsDifferError(
                f"weight update refused: log-probabilities of the probe differ by {difference:.3g} "
                f"between trainer and sampler (tolerance {self.tolerance:g}). Known causes: other "
                "runs that give their weights to the same server; tied embeddings, which engines "
                "reload wrongly from a folder that holds them once (save_weights writes them "
                "twice, and an engine is best built from such a folder)."
            )
        if self._before and sampler == self._before[1]:
            moved = largest_difference(trainer, self._before[0])
            if moved > 1e-5:
                raise WeightsDifferError(
                    f"weight update refused: the trainer's probe moved by {moved:.3g} and the "
                    "sampler's not at all, so it kept its old weights."
                )
        self._before = (trainer, sampler)
        return difference


def check_replies(
    name: str, replies: Sequence[Sample | None], sampling: Sampling, vocabulary: int, slack: float
) -> None:
    """Refuse replies that the engine `name` cannot have drawn from what it was asked.

    Args:
        name: of the engine.
        replies: what it gave, None where it gave none.
        sampling: as it was asked.
        vocabulary: how many token ids there are.
        slack: by which rounding lifts a log-probability above 0; NaN says that there is none.

    Raises:
        BackendError: one is empty or too long, has another model's token ids, or what is no
            log-probability.
    """
    for reply in replies:
        if reply is None:
            continue
        ids, logprobs = reply.token_ids, reply.logprobs
        drawn = 1 <= len(ids) <= sampling.max_tokens and len(logprobs) == len(ids)
        known = drawn and min(ids) >= 0 and max(ids) < vocabulary
        if not known or any(logprob > slack for logprob in logprobs):
            raise BackendError(
                f"{name} refused: expected 1 to {sampling.max_tokens} token ids below {vocabulary} "
                f"with log-probabilities of at most 0, got {len(ids)} ids ({list(ids[:4])} …) with "
                f"{len(logprobs)} ({list(logprobs[:4])} …). It must serve the trainer's model."
            )


def largest_difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """Largest |difference| over all tokens; NaN if any is NaN, infinite if lengths differ."""
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        return float("inf")
    pairs = [
        abs(a - b)
        for row, other in zip(ours, theirs, strict=True)
        for a, b in zip(row, other, strict=True)
    ]
    return float("nan") if any(pair != pair for pair in pairs) else max(pairs)


def save_weights(
    model: Any,  # noqa: ANN401
    folder: Path,
    tokenizer: Any = None,  # noqa: ANN401
    *,
    gather: Callable[[Any], Any] = lambda tensor: tensor,
    write: bool = True,
) -> None:
    """Write a transformers model so that any engine reloads it rightly, aside and renamed.

    Tied embeddings are written as two tensors and the config says that they are not tied: the
    engine computes the same, and reloading cannot go wrong. LoRA adapters are merged in a copy.

    Args:
        model: a transformers causal LM, or a PEFT model around one.
        folder: replaced when it exists.
        tokenizer: written beside the weights when it is given.
        gather: makes a whole tensor of one that is split over processes, all of which call this.
        write: False in the processes that only hand over their parts.

    Raises:
        BackendError: the disk is full or not writable.
    """
    model = getattr(model, "module", model)  # DDP
    if hasattr(model, "merge_and_unload") and write:
        model = copy.deepcopy(model).merge_and_unload()
    weights = _whole_weights(model, gather, keep=write)
    if not write:
        return
    config = model.config
    tied = bool(getattr(config, "tie_word_embeddings", False))
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        config.tie_word_embeddings = False
        aside.mkdir(parents=True)
        _write(weights, aside)
        config.save_pretrained(aside)
        model.generation_config.save_pretrained(aside)
        if tokenizer is not None:
            tokenizer.save_pretrained(aside)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    except Exception as error:  # safetensors raises its own type for a full disk
        shutil.rmtree(aside, ignore_errors=True)
        raise BackendError(
            f"weights could not be handed over in {folder}: {error}. Free some space and go on "
            "with --resume."
        ) from error
    finally:
        config.tie_word_embeddings = tied


def _whole_weights(model: Any, gather: Callable[[Any], Any], *, keep: bool) -> dict[str, Any]:  # noqa: ANN401
    """Tensors by name on the CPU, one by one, so that a process that drops them needs no room."""
    weights = {}
    for name, value in model.state_dict().items():
        tensor = gather(value.detach())
        if keep:
            weights[name] = tensor.cpu().contiguous()
    if keep and bool(getattr(model.config, "tie_word_embeddings", False)):
        embedding = model.get_input_embeddings().weight
        names = {name for name, weight in model.named_parameters() if weight is embedding}
        weights["lm_head.weight"] = weights[next(iter(names))].clone()
    return weights


def _write(weights: dict[str, Any], folder: Path) -> None:
    safetensors = importlib.import_module("safetensors.torch")
    safetensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
