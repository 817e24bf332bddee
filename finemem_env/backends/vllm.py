"""vLLM in this process: a sampler and a backend. Extra `vllm`.

Prefix caching is on: the prompts of this project begin with what they share (instructions, chunk).
It is reset with every update, since cached keys and values belong to the old weights.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finemem_env.backends.base import Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.hf import load_generation_config, load_tokenizer
from finemem_env.backends.named import model_folder
from finemem_env.backends.options import check_number
from finemem_env.backends.sampler import PLAIN, Sample, SampleOptions, TokenRows
from finemem_env.backends.template import ChatTemplate, end_ids
from finemem_env.errors import BackendError, ConfigError
from finemem_env.extras import load

_ALTERNATIVES = (
    'Use {"name": "transformers"} in this process, or {"name": "openai", "base_url": …} with a '
    "server elsewhere."
)


@dataclass(frozen=True, slots=True)
class VLLMConfig:
    """The engine's settings.

    `model`: a folder or hub id. `revision`: of the hub id. `dtype`: "auto" is the checkpoint's.
    `context_tokens`: longest prompt and reply, None for the model's own. `memory`: share of the
    device's memory for weights and cache. `devices`: tensor parallelism. `thinking`:
    `enable_thinking` of the chat template. `eager`: no CUDA graphs, for quick starts. `launched`:
    this is one of several processes of a launcher, each of which holds an engine.
    """

    model: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    context_tokens: int | None = None
    memory: float = 0.9
    devices: int = 1
    thinking: bool = False
    eager: bool = False
    launched: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_number("vllm", "memory", self.memory, 0, 1, above=True)
        check_number("vllm", "devices", self.devices, 1)


def check_vllm() -> None:
    """Refuse a machine on which vLLM cannot run, before anything is loaded.

    Raises:
        ConfigError: vLLM is not installed, or finds no device it can run on.
    """
    version = _vllm().__version__
    platform = importlib.import_module("vllm.platforms").current_platform
    if not platform.device_type:
        raise ConfigError(
            f"vLLM {version} finds no device to run on: the package for CUDA runs on NVIDIA GPUs "
            f"only. {_ALTERNATIVES}"
        )


def load_engine(config: VLLMConfig) -> Any:  # noqa: ANN401
    """A `vllm.LLM` with prefix caching and log-probabilities of the sampling temperature.

    Raises:
        ConfigError: vLLM is not installed, finds no device it can run on, or cannot load the model.
    """
    check_vllm()
    try:
        return _vllm().LLM(
            model=model_folder(config.model, config.revision),
            revision=config.revision,
            dtype=config.dtype,
            max_model_len=config.context_tokens,
            gpu_memory_utilization=config.memory,
            tensor_parallel_size=config.devices,
            enforce_eager=config.eager,
            enable_prefix_caching=True,
            logprobs_mode="processed_logprobs",
            trust_remote_code=False,
            use_tqdm_on_load=False,
            **({"distributed_executor_backend": "external_launcher"} if config.launched else {}),
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"vLLM cannot run {config.model!r}: {error}. {_ALTERNATIVES}") from error


def load_backend(config: VLLMConfig) -> GenerationBackend:
    """The engine as a backend.

    Raises:
        ConfigError: as for `load_engine`, or the model has no chat template.
    """
    _vllm()
    tokenizer = load_tokenizer(config.model, config.revision)
    ends = end_ids(tokenizer, load_generation_config(config.model, config.revision))
    template = ChatTemplate(tokenizer, {"enable_thinking": config.thinking}, ends)
    return GenerationBackend(config.model, template, VLLMSampler(load_engine(config)))


class VLLMSampler:
    """Draws with an engine of this process, see `load_engine`."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401
        self.engine = engine

    @property
    def context_tokens(self) -> int | None:
        """The engine's longest prompt and reply together."""
        length: int = self.engine.llm_engine.model_config.max_model_len
        return length

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample | None]:
        """One reply per prompt, in order; groups need no hint, the engine caches prefixes."""
        settings = [
            _vllm().SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=seed,
                stop_token_ids=list(options.stop_ids),
                logprobs=0,
                detokenize=False,
            )
            for seed in options.seeds or row_seeds(sampling.seed, len(prompts))
        ]
        outputs = self.engine.generate(_prompts(prompts), settings, use_tqdm=False)
        return [_sample(output.outputs[0]) for output in outputs]

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, temperature 1."""
        settings = _vllm().SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self.engine.generate(_prompts(sequences), settings, use_tqdm=False)
        return [
            [column[token].logprob for column, token in columns(output.prompt_logprobs, sequence)]
            for output, sequence in zip(outputs, sequences, strict=True)
        ]

    def update(self, folder: Path) -> None:
        """Take the weights of a folder written by `save_weights`."""
        self.engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        if not self.engine.reset_prefix_cache():
            raise BackendError("vLLM kept its prefix cache after a weight update: calls still run.")


def _sample(output: Any) -> Sample:  # noqa: ANN401
    ids = tuple(output.token_ids)
    pairs = zip(output.logprobs, ids, strict=True)
    logprobs = tuple(finite(column[token].logprob) for column, token in pairs)
    return Sample(ids, logprobs, output.finish_reason == "stop")


def row_seeds(seed: int | None, count: int) -> list[int | None]:
    """One seed per prompt, so that the equal prompts of a group get different replies."""
    return [None if seed is None else seed + number for number in range(count)]


def finite(value: float | None) -> float:
    """NaN for what vLLM could not compute; such a reply is not trained on."""
    return math.nan if value is None else float(value)


def columns(table: Any, sequence: Sequence[int]) -> Any:  # noqa: ANN401
    """(candidates, token) of every position but the first, which has no probability."""
    return zip(table[1:], list(sequence)[1:], strict=True)


def _prompts(sequences: Sequence[Sequence[int]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": list(sequence)} for sequence in sequences]


def _vllm() -> Any:  # noqa: ANN401
    hint = f"It runs on Linux with an NVIDIA GPU. {_ALTERNATIVES}"
    return load("vllm", "an engine in this process", "vllm", hint)
