"""Settings of the parts of a run, each checked by type and range wherever it is made.

Every field has its default and its line of help beside it, from which the command line is made.
Without torch, so that the command line explains itself and refuses a mistake before anything heavy
is imported.
"""

# ruff: noqa: RUF009 - `setting` only calls `dataclasses.field`

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agents.curriculum import chunks_at, parse_curriculum
from finemem_env.backends.options import check_fields, check_number, read_options, setting
from finemem_env.backends.transport import Address, Patience
from finemem_env.errors import ConfigError, nearest

LossType = Literal["grpo", "dapo", "dr_grpo", "bnpo"]
Precision = Literal["float32", "bfloat16", "mixed"]
Schedule = Literal["constant", "linear"]
Compare = Literal["step", "state"]
SAMPLERS = ("transformers", "vllm")
TINY = "tiny"  # the model that comes with the package
_MANY = 2**20  # of anything that is kept in a list: a mistyped number must not fill the memory
_WIDE = 2**16  # rank of adapters
_LARGE = 1e30  # of numbers that must fit into float32 as well
EVAL_EPISODES, FINAL_EPISODES = 32, 50  # where nothing else is said and there are so many


class _Checked:
    """Settings that are checked wherever they are made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Validate types and ranges."""
        check_fields(self)


@dataclass(frozen=True, slots=True)
class ModelConfig(_Checked):
    """Which model and how it is held.

    `precision`: float32; bfloat16 (weights too); mixed (float32 weights, bfloat16 arithmetic).
    """

    model: str = setting(TINY, "name, .gguf file, folder or hub id of a causal LM (docs/models.md)")
    revision: str | None = setting(None, "hub revision of the model")
    precision: Precision = setting("float32", "type of weights and arithmetic")
    device: str = setting("auto", "torch device; auto takes the accelerator if there is one")
    layers: int | None = setting(None, "keep only so many blocks, the first; none keeps all", low=1)
    frozen_layers: int = setting(
        0, "embeddings and so many first blocks are not trained; 0 trains all", low=0
    )
    gradient_checkpointing: bool = setting(False, "recompute activations: less memory, slower")
    lora_rank: int = setting(
        0, "rank of LoRA adapters on all linear layers; 0 trains all weights", low=0, below=_WIDE
    )
    lora_alpha: int | None = setting(
        None, "scale of the adapters; none is twice the rank", low=1, below=_MANY
    )
    tools: bool = setting(False, "give the operations to the chat template as tools")

    def __post_init__(self) -> None:
        """Validate types and ranges, and that there are adapters to scale."""
        check_fields(self)
        if self.lora_alpha is not None and not self.lora_rank:
            raise ConfigError("lora_alpha: needs lora_rank; without it all weights are trained.")


@dataclass(frozen=True, slots=True)
class EnvironmentConfig:
    """What is played."""

    env: str = setting("FineMem-AR-v0", "environment id")
    source: str | dict[str, Any] | None = setting(
        None, "data source, or a mixture as JSON; none is synthetic"
    )
    protocol: str | None = setting(None, "bundle of environment settings; none is managed")
    reward: str | None = setting(None, "reward preset; none is the protocol's")
    env_args: dict[str, Any] = setting({}, "other keywords of the environment, as JSON")
    eval_env_args: dict[str, Any] = setting({}, "keywords that differ in evaluation, as JSON")
    curriculum: str = setting(
        "", "lengths of training episodes, chunks:updates, e.g. 3:20,6:40,10; empty: none"
    )

    def __post_init__(self) -> None:
        """Validate types and the curriculum, and that nothing is said twice."""
        check_fields(self)
        parse_curriculum(self.curriculum)
        for name in ("source", "protocol", "reward"):
            if getattr(self, name) is not None and name in self.env_args:
                raise ConfigError(f"{name}: is given by itself and again in env_args.")
        if "split" in self.eval_env_args:
            raise ConfigError("eval_env_args: split is that of eval_split, and test at the end.")

    def training(self, update: int | None = None) -> dict[str, Any]:
        """Keywords of the training environment; those of one update where a curriculum is set."""
        named = {"source": self.source, "protocol": self.protocol, "reward": self.reward}
        keywords = {**{k: v for k, v in named.items() if v is not None}, **self.env_args}
        chunks = None if update is None else self.chunks(update)
        return keywords if chunks is None else keywords | {"num_chunks": chunks}

    @property
    def stages(self) -> tuple[int, ...]:
        """The first update of every stage of the curriculum; none without one."""
        return tuple(first for first, _ in parse_curriculum(self.curriculum))

    def chunks(self, update: int) -> int | None:
        """Chunks of a training episode by the curriculum; None without one."""
        return chunks_at(parse_curriculum(self.curriculum), update)

    def evaluation(self, split: str) -> dict[str, Any]:
        """Keywords of the environment of evaluations: every final question is asked."""
        return self.training() | {"question_fraction": 1.0} | self.eval_env_args | {"split": split}


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How many replies an update draws, and how.

    `compare`: what the rollouts of a group have in common at a step: its index and the start of the
    episode, or the memory, from which each goes on `local_steps` steps (local re-rollouts,
    docs/credit.md). Either draws contexts x group_size x T replies.
    """

    contexts: int = setting(4, "episodes per update over all processes", low=1, below=_MANY)
    group_size: int = setting(8, "rollouts of every episode (G)", low=2, below=_MANY)
    compare: Compare = setting("step", "a group shares the step, or state: the memory as well")
    local_steps: int = setting(
        2, "steps that a group goes on from one memory; with --compare state", low=1
    )
    max_new_tokens: int = setting(256, "longest reply in tokens", low=1)
    temperature: float = setting(1.0, "of sampling; the loss uses the same", above=0)
    sample_tokens: int | None = setting(
        None, "cache positions of one decoding batch; none: no cut", low=1
    )
    instructions: bool = setting(True, "put the environment's instructions into the prompt")
    sampler: str = setting(
        "transformers", "transformers, vllm, or addresses of vLLM servers with commas between"
    )
    sampler_args: dict[str, Any] = setting({}, "options of the sampler, as JSON (docs/models.md)")
    overlap: int = setting(
        0, "1: servers draw update n + 1 while n is optimised, one step off-policy", low=0, below=2
    )

    def __post_init__(self) -> None:
        """Validate types, ranges and the sampler's options."""
        check_fields(self)
        options = check_sampler(self.sampler, self.sampler_args)
        if self.overlap and not isinstance(options, ServerOptions):
            raise ConfigError(
                f"overlap: needs vLLM servers (--sampler http://…), got sampler {self.sampler!r}, "
                "which computes where the update does."
            )


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The loss; names as in TRL's GRPOConfig where it has the option.

    `use_bias_correction_kl` multiplies the KL by the ratio, whose gradient makes that of the KL
    unbiased even where the ratio is 1 (DeepSeek-V3.2; TRL's default).

    Raises:
        ConfigError: for an unknown loss or a number out of range.
    """

    loss_type: LossType = setting("dapo", "weights of tokens in the loss")
    epsilon: float = setting(0.2, "clip of the ratio below 1", above=0, below=1)
    epsilon_high: float | None = setting(
        None, "clip of the ratio above 1; none is epsilon", above=0, below=_LARGE
    )
    delta: float | None = setting(
        None, "dual clip: bound of the ratio at negative advantages", below=_LARGE
    )
    beta: float = setting(
        0.0, "weight of the KL to the initial model, per token", low=0, option="kl_beta"
    )
    use_bias_correction_kl: bool = True
    entropy_coef: float = setting(0.0, "weight of the entropy bonus, per token")
    importance_cap: float | None = setting(
        2.0, "bound of the ratio trainer to sampler; none: off", above=0, below=_LARGE
    )

    def __post_init__(self) -> None:
        """Validate types and ranges."""
        check_fields(self)
        if self.delta is not None and not self.delta > 1 + self.clip_high:
            raise ConfigError(f"delta: expected more than 1 + epsilon_high, got {self.delta!r}.")

    @property
    def clip_high(self) -> float:
        """Distance of the upper clip from 1."""
        return self.epsilon if self.epsilon_high is None else self.epsilon_high


@dataclass(frozen=True, slots=True)
class OptimizerConfig(_Checked):
    """AdamW and its schedule."""

    updates: int = setting(100, "rollout batches to train on", low=1)
    lr: float = setting(1e-6, "peak learning rate of AdamW", above=0)
    lr_schedule: Schedule = setting("constant", "after the warm-up: constant, or linear to a tenth")
    warmup_updates: int = setting(0, "updates over which the learning rate rises linearly", low=0)
    weight_decay: float = setting(0.0, "of AdamW", low=0)
    adam_beta2: float = setting(0.99, "decay of AdamW's second moment", low=0, below=1)
    max_grad_norm: float = setting(1.0, "gradients are scaled down to this norm", above=0)
    optimizer_steps: int = setting(
        1, "optimizer steps per update, each on its share of the steps", low=1, below=_MANY
    )
    micro_tokens: int = setting(4096, "padded tokens of a micro-batch", low=1)

    def rate(self, update: int) -> float:
        """Learning rate of an update: linear warm-up, then constant or linear to a tenth."""
        rate = self.lr * min(1.0, (update + 1) / max(self.warmup_updates, 1))
        if self.lr_schedule == "linear":
            rate *= 1.0 - 0.9 * update / max(self.updates, 1)
        return rate


@dataclass(frozen=True, slots=True)
class EvaluationConfig(_Checked):
    """Which held-out episodes are played, and when."""

    eval_every: int = setting(
        20, "updates between evaluations; 0: at start and end, keeping the last", low=0
    )
    eval_episodes: int | None = setting(
        None,
        f"held-out episodes of an evaluation; none: {EVAL_EPISODES}, or all where there are fewer",
        low=1,
        below=_MANY,
    )
    eval_split: str = setting("val", "split of the evaluations that choose the best weights")
    final_episodes: int | None = setting(
        None,
        f"test episodes of the last table; 0: no table; none: {FINAL_EPISODES}, or all there are",
        low=0,
        below=_MANY,
    )
    eval_temperature: float = setting(0.0, "of sampling in evaluations; 0 is greedy", low=0)
    references: bool = setting(
        True,
        "play skip, fifo, salience and oracle beside evaluations, for eval/normalised",
    )


@dataclass(frozen=True, slots=True)
class SavingConfig(_Checked):
    """Checkpoints, logs and the machine."""

    save_every: int = setting(20, "updates between checkpoints", low=1)
    seed: int = setting(
        0, "decides episodes and draws; weights come from the model", low=0, below=2**32
    )
    threads: int = setting(0, "CPU threads of torch; 0 leaves torch's default", low=0, below=2**12)
    shard: bool = setting(False, "split weights and optimizer over the processes (FSDP2)")
    track: bool = setting(False, "log to wandb as well, where it is installed")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`sampler_args` of "vllm".

    `memory`: share of the device's memory for the engine, which has the trainer beside it.
    `context_tokens`: longest prompt and reply, None for the model's own. `devices`: tensor
    parallelism. `eager`: no CUDA graphs. `tolerance`: of the probe.
    """

    memory: float = 0.3
    context_tokens: int | None = None
    devices: int = 1
    eager: bool = False
    tolerance: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range before a model is loaded."""
        check_number("sampler_args", "memory", self.memory, 0, 1, above=True)
        check_number("sampler_args", "devices", self.devices, 1)
        if self.context_tokens is not None:
            check_number("sampler_args", "context_tokens", self.context_tokens, 64)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`sampler_args` of one or several servers.

    `model`: as the server names it, None for its only one. `concurrency`: calls in flight.
    `timeout`, `deadline`: seconds for one attempt, and for one reply with all attempts.
    `api_key_env`: the environment variable that holds the key. `tolerance`: of the probe.
    """

    model: str | None = None
    concurrency: int = 256
    timeout: float = 600.0
    deadline: float = 1200.0
    api_key_env: str = "OPENAI_API_KEY"
    tolerance: float | None = None


def server_addresses(name: str) -> list[str]:
    """The servers of `--sampler URL,URL`; none for another sampler."""
    if not name.startswith(("http://", "https://")):
        return []
    return [address.strip() for address in name.split(",") if address.strip()]


def check_sampler(name: str, options: Mapping[str, Any]) -> EngineOptions | ServerOptions | None:
    """The options of a sampler, checked without loading anything; None for transformers.

    Raises:
        ConfigError: no such sampler (with the nearest), or an option that does not fit.
    """
    checked: EngineOptions | ServerOptions
    if addresses := server_addresses(name):
        checked = read_options(ServerOptions, options, "sampler_args")
        Patience(checked.concurrency, checked.timeout, checked.deadline)
        for address in addresses:
            Address(address, checked.api_key_env)
        if len({address.rstrip("/") for address in addresses}) < len(addresses):
            raise ConfigError(f"sampler: expected every server once, got {name!r}.")
    elif name == "vllm":
        checked = read_options(EngineOptions, options, "sampler_args")
    elif "://" in name:  # which may hold a password
        raise ConfigError("sampler: the address of a vLLM server begins with http:// or https://.")
    elif name != "transformers":
        hint = "The address of a vLLM server begins with http:// or https://."
        raise ConfigError(f"{nearest('sampler', name, SAMPLERS)} {hint}")
    elif options:
        raise ConfigError("sampler_args: the sampler transformers takes none.")
    else:
        return None
    if checked.tolerance is not None:
        check_number("sampler_args", "tolerance", checked.tolerance, 0, above=True)
    return checked
