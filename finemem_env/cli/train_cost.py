"""Memory and time of a training update on GPUs: estimates by arithmetic, of nothing that was run.

Per GPU, with P weights and n GPUs that split weights, gradients and AdamW (`--shard`):

    state       full: 16·P/n bytes (float32); LoRA: 2·P, and 16 bytes for each adapter weight
    copies      full: 2·P, the whole weights in bfloat16, which autocast keeps during a pass
    sampling    state, the whole weights again where they are split, copies, the cache of a batch
    update      state, copies, the input of every block (checkpointing), one block, some logits

    prefill     2·P floating point operations a prompt token
    decoding    passes over 2·P bytes and the cache, each a token of every row of a full batch
    update      8·P operations a token (forward, forward again, backward); LoRA 6·P

Attention is added to the operations. Not counted: communication between GPUs, the shared prefix of
a group, rows that a batch is short of before it is filled up, and the reader, which runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from finemem_env.cli.cost_model import ModelCalls
from finemem_env.cli.tables import text_table

Way = Literal["full", "lora"]
_LOGITS = 2**26 * 4 * 3  # a chunk of logits in float32, its gradient, and a copy
_CONTEXT = 2e9  # CUDA's own, and what is lost between allocations


@dataclass(frozen=True, slots=True)
class Model:
    """Sizes of a Llama-like model, from its config.json."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def block_weights(self) -> int:
        """Weights of the linear layers of one block."""
        own, shared = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return self.hidden * (2 * own + 2 * shared + 3 * self.intermediate)

    @property
    def weights(self) -> int:
        """All weights but those of norms."""
        tables = 1 if self.tied else 2
        return self.layers * self.block_weights + tables * self.vocabulary * self.hidden

    @property
    def cache_bytes(self) -> int:
        """Keys and values of one token in bfloat16."""
        return 2 * self.layers * self.kv_heads * self.head_dim * 2

    def adapters(self, rank: int) -> int:
        """Weights of LoRA adapters on all linear layers."""
        own, shared = self.heads * self.head_dim, self.kv_heads * self.head_dim
        sides = 2 * (self.hidden + own) + 2 * (self.hidden + shared)
        return self.layers * rank * (sides + 3 * (self.hidden + self.intermediate))


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory in bytes, peak of bfloat16 in operations a second, bandwidth in bytes a second."""

    memory: float
    peak: float
    bandwidth: float


MODELS = {
    "qwen3-1.7b": Model(28, 2048, 6144, 16, 8, 128, 151_936, True),
    "qwen3-4b": Model(36, 2560, 9728, 32, 8, 128, 151_936, True),
    "qwen3-8b": Model(36, 4096, 12_288, 32, 8, 128, 151_936, False),
}
GPUS = {
    "a100": Gpu(80e9, 312e12, 2.04e12),
    "h100": Gpu(80e9, 989e12, 3.35e12),
    "h200": Gpu(141e9, 989e12, 4.8e12),
    "rtx4090": Gpu(24e9, 165e12, 1.01e12),
}


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How it is trained; the defaults are those of the presets `paper` (full) and `gpu-4b-lora`.

    `max_new_tokens`: cache positions that every row has for its reply. `arithmetic`: share of the
    peak that prefill and update reach. `reading`: share of the bandwidth that decoding reaches.
    `launch`: seconds a decoded token costs besides, in Python and kernels.
    """

    way: Way
    rank: int = 32
    sample_tokens: int = 262_144
    micro_tokens: int = 32_768
    max_new_tokens: int = 2048
    arithmetic: float = 0.4
    reading: float = 0.6
    launch: float = 0.025

    @classmethod
    def of(cls, way: Way) -> TrainingPlan:
        """The plan of a preset."""
        if way == "full":
            return cls(way)
        return cls(way, sample_tokens=131_072, micro_tokens=16_384, max_new_tokens=1024)


@dataclass(frozen=True, slots=True)
class UpdateEstimate:
    """Bytes on each GPU and seconds of an update."""

    state: float
    sampling: float
    update: float
    prefill_seconds: float
    decode_seconds: float
    update_seconds: float

    @property
    def peak(self) -> float:
        """The larger of both phases, with what CUDA takes itself."""
        return max(self.sampling, self.update) + _CONTEXT

    @property
    def seconds(self) -> float:
        """Of a whole update, without the reader."""
        return self.prefill_seconds + self.decode_seconds + self.update_seconds


def estimate(
    model: Model, gpu: Gpu, count: int, manager: ModelCalls, steps: float, plan: TrainingPlan
) -> UpdateEstimate:
    """Memory and time of one update.

    Args:
        model: what is trained.
        gpu: of one kind.
        count: how many of them.
        manager: calls of the manager in the update, with its average prompt and reply.
        steps: chunks of an episode: so many generation batches follow one another.
        plan: how it is trained.
    """
    full = plan.way == "full"
    size, length = 4 if full else 2, manager.prompt + manager.reply
    weights = size * model.weights
    state = 16 * model.weights / count if full else weights + 16 * model.adapters(plan.rank)
    copies = 2 * model.weights if full else 0
    rows, room = manager.calls / count / steps, manager.prompt + plan.max_new_tokens  # of a step
    held = min(rows, max(1.0, plan.sample_tokens / room))  # rows that are decoded at a time
    gathered = weights if full and count > 1 else 0
    sampling = state + gathered + copies + held * room * model.cache_bytes
    block = 2 * (2 * model.hidden + 2 * model.heads * model.head_dim + 3 * model.intermediate)
    kept = plan.micro_tokens * (model.layers * model.hidden * size + 2 * block)
    tokens = manager.calls * length / count
    attention = 2 * model.layers * model.heads * model.head_dim * length  # causal, a token
    speed = gpu.peak * plan.arithmetic
    forward = 2 * model.weights + attention
    prefill = (manager.calls / count) * manager.prompt * forward / speed
    passes = steps * manager.reply * rows / held
    read = (2 * model.weights + held * length * model.cache_bytes) / (gpu.bandwidth * plan.reading)
    return UpdateEstimate(
        state=state,
        sampling=sampling,
        update=state + copies + kept + _LOGITS,
        prefill_seconds=prefill,
        decode_seconds=passes * (plan.launch + read),
        update_seconds=tokens * forward * (4 if full else 3) / speed,
    )


def training_table(
    model: Model,
    gpu: Gpu,
    counts: Sequence[int],
    manager: ModelCalls,
    steps: float,
    plan: TrainingPlan,
) -> str:
    """One line a number of GPUs: gigabytes on each, and minutes of an update."""
    header = ["GPUs", "state", "sampling", "update", "peak", "fits", "sample", "train", "all"]
    rows = []
    for count in counts:
        cost = estimate(model, gpu, count, manager, steps, plan)
        memory = (cost.state, cost.sampling, cost.update, cost.peak)
        times = (cost.prefill_seconds + cost.decode_seconds, cost.update_seconds, cost.seconds)
        fits = "yes" if cost.peak <= gpu.memory else "no"
        rows.append(
            [
                str(count),
                *(f"{value / 1e9:.0f} GB" for value in memory),
                fits,
                *(f"{value / 60:.1f} min" for value in times),
            ]
        )
    return text_table(header, rows, rule=False)
