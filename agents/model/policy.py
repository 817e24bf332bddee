"""The LLM memory manager: a causal language model with its tokenizer.

Loads any transformers causal LM from a folder or the hub (remote code is never run), optionally
with LoRA, and offers what rollouts and updates need: prompts to ids, sampling with exact ids and
log-probabilities, scoring of the same ids, and a frozen reference.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from agents.model.batching import Row
from agents.model.cache import can_share
from agents.model.chat import Chat
from agents.model.logprobs import Scorer, base_causal_lm, score_rows
from agents.model.sampling import Completion, ModelSampler, RolloutSampler, SamplingConfig
from agents.settings import ModelConfig
from finemem_env.errors import ConfigError
from finemem_env.extras import needs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ModelConfig", "Policy", "load_policy"]


class Policy:
    """A model, its tokenizer, and what is derived from both.

    Args:
        model: a transformers causal LM, or a PEFT model around one, on its device.
        tokenizer: the model's.
        autocast: type of the arithmetic when it is not that of the weights.
        tools: give the operations to the chat template as tools.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        autocast: torch.dtype | None = None,
        tools: bool = False,
    ) -> None:
        self.model = model
        self.chat = Chat(tokenizer, tools=tools)
        self.autocast = autocast
        inner: Any = base_causal_lm(model)
        self.device: torch.device = inner.device
        self._own = ModelSampler(model, self.precision)
        self.sampler: RolloutSampler = self._own  # of rollouts; may be set to an engine
        self.stop_ids = _stop_ids(inner, self.chat.tokenizer)
        self._reference: nn.Module | None = None

    @property
    def context(self) -> float:
        """Longest prompt and reply of a rollout together, in tokens."""
        return self.sampler.context

    @property
    def pad_id(self) -> int:
        """What fills up batches; never attended to."""
        pad: int | None = self.chat.tokenizer.pad_token_id
        return self.stop_ids[0] if pad is None else pad

    @property
    def shares_prefixes(self) -> bool:
        """Whether updates may compute the common prefix of a group once.

        FSDP gathers a block again when its output gets a gradient; that of a prefix comes through
        the cache.
        """
        inner: Any = base_causal_lm(self.model)
        parts = list(inner.modules())
        checkpointing = any(getattr(part, "gradient_checkpointing", False) for part in parts)
        sharded = any(isinstance(part, FSDPModule) for part in parts)
        return can_share(inner) and not checkpointing and not sharded

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        groups: Sequence[Hashable | None] | None = None,
        max_tokens: int | None = None,
    ) -> list[Completion]:
        """One completion per prompt, drawn by the model itself; see `agents.model.sampling.sample`.

        Raises:
            ConfigError: for a prompt that leaves no room in the model's context.
        """
        longest = max((len(prompt) for prompt in prompts), default=0)
        if longest + max_new_tokens > self._own.context:
            raise ConfigError(
                f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's "
                f"context of {self._own.context}. Lower max_observation_tokens, chunk_tokens or "
                "memory_budget of the environment, or max_new_tokens."
            )
        config = self.sampling(max_new_tokens, temperature, max_tokens)
        return self._own.draw(prompts, config, seed=seed, groups=groups)

    def sampling(
        self, max_new_tokens: int, temperature: float, max_tokens: int | None = None
    ) -> SamplingConfig:
        """How completions are drawn, with the tokens that end and fill them."""
        return SamplingConfig(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            stop_ids=self.stop_ids,
            pad_id=self.pad_id,
            max_tokens=max_tokens,
        )

    def scorer(self, temperature: float = 1.0) -> Scorer:
        """The trainable log-probabilities at the sampling temperature; wrap it with DDP or FSDP."""
        return Scorer(self.model, temperature=temperature, autocast=self.autocast)

    def old_logprobs(
        self, rows: Sequence[Row], *, max_tokens: int, temperature: float = 1.0
    ) -> list[tuple[float, ...]]:
        """Log-probabilities of every row's completion before the first optimizer step on it."""
        if isinstance(self.sampler, ModelSampler):
            return [row.sampler_logprobs for row in rows]
        scorer = self.scorer(temperature)
        return score_rows(scorer, rows, max_tokens=max_tokens, share=self.shares_prefixes)

    def freeze_reference(self) -> None:
        """Make the present weights the reference; with LoRA it is the model without adapters."""
        if not hasattr(self.model, "disable_adapter"):
            self._reference = copy.deepcopy(self.model).requires_grad_(False).train(False)

    def reference_logprobs(
        self, rows: Sequence[Row], *, max_tokens: int, temperature: float = 1.0
    ) -> list[tuple[float, ...]]:
        """Log-probabilities of every row's completion under the frozen reference.

        Raises:
            ConfigError: before `freeze_reference`, for a model without LoRA.
        """
        model: Any = self._reference or self.model
        if self._reference is None and not hasattr(model, "disable_adapter"):
            raise ConfigError("no reference: call freeze_reference() before training starts.")
        off = contextlib.nullcontext() if self._reference else model.disable_adapter()
        with off:
            scorer = Scorer(model, temperature=temperature, autocast=self.autocast)
            return score_rows(scorer, rows, max_tokens=max_tokens, share=self.shares_prefixes)

    def save(self, folder: Path) -> None:
        """Write a plain transformers folder (safetensors), LoRA adapters merged in a copy."""
        model: Any = self.model
        if hasattr(model, "merge_and_unload"):
            model = copy.deepcopy(model).merge_and_unload()
        model.save_pretrained(folder)
        self.chat.tokenizer.save_pretrained(folder)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Autocast as in the update, so that both compute in the same type."""
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            yield


def load_policy(config: ModelConfig) -> Policy:
    """Load model and tokenizer.

    Raises:
        ConfigError: when there is no such model, or LoRA is asked for without peft.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    source: dict[str, Any] = {"revision": config.revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, **source)
        model: Any = AutoModelForCausalLM.from_pretrained(config.model, dtype=dtype, **source)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model {config.model!r}: expected the folder or hub id of a transformers causal LM "
            f"with its tokenizer. {error}"
        ) from error
    model.to(device)
    if config.gradient_checkpointing:
        with warnings.catch_warnings():
            # The name that every supported version has; newer ones announce another.
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.lora_rank:
        model = _with_lora(model, config)
    autocast = torch.bfloat16 if config.precision == "mixed" else None
    return Policy(model, tokenizer, autocast=autocast, tools=config.tools)


def _with_lora(model: nn.Module, config: ModelConfig) -> nn.Module:
    """Adapters on all linear layers, without dropout, so that sampler and trainer agree."""
    with needs("lora_rank > 0", "train"):
        from peft import LoraConfig, get_peft_model
    alpha = 2 * config.lora_rank if config.lora_alpha is None else config.lora_alpha
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    wrapped: nn.Module = get_peft_model(model, lora)
    return wrapped


def _stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:  # noqa: ANN401 - transformers
    """End tokens of the generation config and the tokenizer; padding ends a completion too."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    known = [*listed, tokenizer.eos_token_id, tokenizer.pad_token_id]
    stops = tuple(dict.fromkeys(token for token in known if token is not None))
    if not stops:
        raise ConfigError("the tokenizer has no end token; set its eos_token.")
    return stops
