"""The LLM memory manager: a causal language model with its tokenizer.

Loads any transformers causal LM from a folder or the hub (remote code is never run), optionally
with LoRA, and offers what rollouts and updates need: prompts to ids, sampling with exact ids and
log-probabilities, scoring of the same ids, and a frozen reference. Templates, loading and decoding
are those of `finemem_env.backends`, so a policy replies the same when it is trained and when it is
used.
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

from agents.assets import tiny_folder
from agents.model.batching import Row
from agents.model.depth import freeze_layers, keep_layers
from agents.model.logprobs import Scorer, score_rows
from agents.settings import TINY, ModelConfig
from finemem_env.backends import Sampling
from finemem_env.backends.hf import HFSampler, load_model, load_tokenizer
from finemem_env.backends.local import abilities, base_causal_lm, checkpoint_layers
from finemem_env.backends.policy import manage_request
from finemem_env.backends.sampler import Sample, SampleOptions, Sampler
from finemem_env.backends.template import ChatTemplate, give_plain_template
from finemem_env.errors import ConfigError
from finemem_env.extras import needs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt = tuple[str, str]  # instructions and observation


class Policy:
    """A model, its tokenizer, and what is derived from both.

    Args:
        model: a transformers causal LM, or a PEFT model around one, on its device.
        tokenizer: the model's; without a chat template it gets one that writes plain text.
        autocast: type of the arithmetic when it is not that of the weights.
        tools: give the operations to the chat template as tools.
        batch_tokens: cache positions of one decoding batch; None: one batch.

    Raises:
        ConfigError: tools without a chat template, no end token, or a model class that cannot be
            sampled here.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        autocast: torch.dtype | None = None,
        tools: bool = False,
        batch_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.tokenizer: Any = tokenizer
        self.autocast = autocast
        self.tools = tools
        inner: Any = base_causal_lm(model)
        self.device: torch.device = inner.device
        if tools and not self.tokenizer.chat_template:
            raise ConfigError("tools: needs a tokenizer with a chat template; this has none.")
        give_plain_template(self.tokenizer)
        self.own = HFSampler(model, tokenizer, batch_tokens, self.precision)
        self.sampler: Sampler = self.own  # of rollouts; may be set to an engine
        self.stop_ids = self.own.ends
        if not self.stop_ids:
            raise ConfigError("the tokenizer has no end token; set its eos_token.")
        variables = {"enable_thinking": False}
        self.template = ChatTemplate(self.tokenizer, variables, self.stop_ids)
        self._reference: nn.Module | None = None

    @property
    def context(self) -> int | None:
        """Longest prompt and reply of a rollout together, in tokens; None: no limit."""
        return self.sampler.context_tokens

    @property
    def shares_prefixes(self) -> bool:
        """Whether updates may compute the common prefix of a group once.

        FSDP gathers a block again when its output gets a gradient; that of a prefix comes through
        the cache.
        """
        inner: Any = base_causal_lm(self.model)
        sharded = any(isinstance(part, FSDPModule) for part in inner.modules())
        return abilities(inner).share and not sharded

    def encode(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """Token ids of the prompts, each of instructions ("" for none) and observation."""
        requests = [
            manage_request(observation, instructions, tools=self.tools)
            for instructions, observation in prompts
        ]
        return [tuple(ids) for ids in self.template.encode_all(requests)]

    def decode(self, replies: Sequence[Sequence[int]]) -> list[str]:
        """Texts of sampled ids; thinking stays in them, marked, and is not executed."""
        return [self.template.decode(ids) for ids in replies]

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        groups: Sequence[Hashable | None] | None = None,
    ) -> list[Sample]:
        """One reply per prompt, drawn by the model itself.

        Raises:
            ConfigError: for a prompt that leaves no room in the model's context.
        """
        longest = max((len(prompt) for prompt in prompts), default=0)
        context = self.own.context_tokens
        if context is not None and longest + max_new_tokens > context:
            raise ConfigError(
                f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's "
                f"context of {context}. Lower max_observation_tokens, chunk_tokens or "
                "memory_budget of the environment, or max_new_tokens."
            )
        sampling = Sampling(temperature, max_tokens=max_new_tokens, seed=seed)
        return self.own.sample(prompts, sampling, SampleOptions(groups=groups))

    def scorer(self, temperature: float = 1.0) -> Scorer:
        """The trainable log-probabilities at the sampling temperature; wrap it with DDP or FSDP."""
        return Scorer(self.model, temperature=temperature, autocast=self.autocast)

    def old_logprobs(
        self, rows: Sequence[Row], *, micro_tokens: int, temperature: float = 1.0
    ) -> list[tuple[float, ...]]:
        """Log-probabilities of every row's completion before the first optimizer step on it."""
        if self.sampler is self.own:
            return [row.sampler_logprobs for row in rows]
        scorer = self.scorer(temperature)
        return score_rows(scorer, rows, micro_tokens=micro_tokens, share=self.shares_prefixes)

    def freeze_reference(self) -> None:
        """Make the present weights the reference; with LoRA it is the model without adapters."""
        if not hasattr(self.model, "disable_adapter"):
            self._reference = copy.deepcopy(self.model).requires_grad_(False).train(False)

    def reference_logprobs(
        self, rows: Sequence[Row], *, micro_tokens: int, temperature: float = 1.0
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
            return score_rows(scorer, rows, micro_tokens=micro_tokens, share=self.shares_prefixes)

    def save(self, folder: Path) -> None:
        """Write a plain transformers folder (safetensors), LoRA adapters merged in a copy.

        Raises:
            ConfigError: the disk is full or not writable.
        """
        model: Any = self.model
        if hasattr(model, "merge_and_unload"):
            model = copy.deepcopy(model).merge_and_unload()
        try:
            model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        except Exception as error:  # safetensors raises its own type for a full disk
            raise ConfigError(
                f"{folder}: could not be written ({error}). Free some space and do it again."
            ) from error

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Autocast as in the update, so that both compute in the same type."""
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            yield


def load_policy(config: ModelConfig, batch_tokens: int | None = None) -> Policy:
    """Load model and tokenizer; they stay in eval mode, without dropout, in training too.

    Raises:
        ConfigError: there is no such model or device, its class does not fit, or LoRA is asked for
            without peft.
    """
    name = str(tiny_folder()) if config.model == TINY else config.model
    tokenizer = load_tokenizer(name, config.revision)
    dtype = "bfloat16" if config.precision == "bfloat16" else "float32"
    model: Any = load_model(name, config.revision, device=config.device, dtype=dtype)
    if config.layers is not None:
        keep_layers(model, config.layers)
    if config.gradient_checkpointing:
        checkpoint_layers(model)
    if config.lora_rank:
        model = _with_lora(model, config)
    if config.frozen_layers:
        freeze_layers(model, config.frozen_layers)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(f"frozen_layers: {config.frozen_layers} leave nothing to train.")
    autocast = torch.bfloat16 if config.precision == "mixed" else None
    return Policy(
        model, tokenizer, autocast=autocast, tools=config.tools, batch_tokens=batch_tokens
    )


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
    with warnings.catch_warnings():
        # peft asks for a name that transformers 5.24 deprecates; nobody who trains can mend it.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        wrapped: nn.Module = get_peft_model(model, lora)
    return wrapped.eval()
