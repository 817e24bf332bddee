"""vLLM in this process and as a server: samplers and a backend. Extra `vllm`.

A vLLM server that only answers questions needs nothing of this module: it is an OpenAI-compatible
endpoint. What is here draws from token ids and takes new weights while it runs.

Prefix caching is on: the prompts of this project begin with what they share (instructions, chunk).
It is reset with every update, since cached keys and values belong to the old weights.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finemem_env.backends.base import Failure, Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.hf import load_tokenizer
from finemem_env.backends.options import check_number
from finemem_env.backends.retry import Refused
from finemem_env.backends.sampler import Sample
from finemem_env.backends.template import ChatTemplate
from finemem_env.backends.transport import Address, Patience, Transport
from finemem_env.errors import BackendError, ConfigError

__all__ = ["ServerSampler", "VLLMConfig", "VLLMSampler", "load_backend", "load_engine"]

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
    `enable_thinking` of the chat template. `eager`: no CUDA graphs, for quick starts.
    """

    model: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    context_tokens: int | None = None
    memory: float = 0.9
    devices: int = 1
    thinking: bool = False
    eager: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_number("vllm", "memory", self.memory, 0, 1, above=True)
        check_number("vllm", "devices", self.devices, 1)


def load_engine(config: VLLMConfig) -> Any:  # noqa: ANN401
    """A `vllm.LLM` with prefix caching and log-probabilities of the sampling temperature.

    Raises:
        ConfigError: vLLM is not installed, finds no device it can run on, or cannot load the model.
    """
    vllm = _vllm()
    platform = importlib.import_module("vllm.platforms").current_platform
    if not platform.device_type:
        raise ConfigError(
            f"vLLM {vllm.__version__} finds no device to run on: the package for CUDA runs on "
            f"NVIDIA GPUs only. {_ALTERNATIVES}"
        )
    try:
        return vllm.LLM(
            model=config.model,
            revision=config.revision,
            dtype=config.dtype,
            max_model_len=config.context_tokens,
            gpu_memory_utilization=config.memory,
            tensor_parallel_size=config.devices,
            enforce_eager=config.eager,
            enable_prefix_caching=True,
            logprobs_mode="processed_logprobs",
            trust_remote_code=False,
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
    template = ChatTemplate(tokenizer, {"enable_thinking": config.thinking})
    return GenerationBackend(config.model, template, VLLMSampler(load_engine(config)))


class VLLMSampler:
    """Draws with an engine of this process, see `load_engine`."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401
        self.engine = engine

    @property
    def context_tokens(self) -> int | None:
        """The engine's longest prompt and reply together."""
        found: int = self.engine.llm_engine.model_config.max_model_len
        return found

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Sample | None]:
        """One reply per prompt, in order. A seed fixes the replies of a batch as a whole."""
        settings = [
            _vllm().SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=seed,
                logprobs=0,
                detokenize=False,
            )
            for seed in _seeds(sampling.seed, len(prompts))
        ]
        outputs = self.engine.generate(_prompts(prompts), settings, use_tqdm=False)
        return [_sample(output.outputs[0]) for output in outputs]

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, temperature 1."""
        settings = _vllm().SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self.engine.generate(_prompts(sequences), settings, use_tqdm=False)
        return [
            [column[token].logprob for column, token in _columns(output.prompt_logprobs, sequence)]
            for output, sequence in zip(outputs, sequences, strict=True)
        ]

    def update(self, folder: Path) -> None:
        """Take the weights of a folder written by `save_weights`."""
        self.engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        if not self.engine.reset_prefix_cache():
            raise BackendError("vLLM kept its prefix cache after a weight update: calls still run.")


class ServerSampler:
    """Draws with a vLLM server, started with VLLM_SERVER_DEV_MODE=1 for weight updates.

    The server must be run with `--logprobs-mode processed_logprobs`, on a network that only the
    trainer reaches: the development mode lets every client change the model.

    Args:
        model: as the server names it.
        base_url: such as http://127.0.0.1:8000/v1.
        context_tokens: the server's --max-model-len.
        patience: concurrency, time-outs and deadline.
        api_key_env: the environment variable that holds the key.

    Raises:
        ConfigError: the package `openai` is missing.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        context_tokens: int | None = None,
        patience: Patience | None = None,
        api_key_env: str = "OPENAI_API_KEY",
    ) -> None:
        self.model = model
        self.context_tokens = context_tokens
        self._address = Address(base_url, api_key_env)
        self._transport: Transport[Any] = Transport(
            self._address, patience or Patience(), _read_completion, model
        )

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Sample | None]:
        """One reply per prompt, in order; None where the server gave none in time.

        Raises:
            BackendError: the server refuses the key or the settings, or has no such model.
        """
        fields = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "logprobs": 0,
        }
        calls = [
            self._call(prompt, fields if seed is None else fields | {"seed": seed}, {})
            for prompt, seed in zip(prompts, _seeds(sampling.seed, len(prompts)), strict=True)
        ]
        choices = self._run(calls)
        return [None if choice is None else _server_sample(choice) for choice in choices]

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, temperature 1.

        Raises:
            BackendError: the server gave no reply in time, or as for `sample`.
        """
        extra = {"prompt_logprobs": 0}
        choices = self._run([self._call(one, {"max_tokens": 1}, extra) for one in sequences])
        if any(choice is None for choice in choices):
            raise BackendError(f"server {self._address.url} gave no log-probabilities in time.")
        return [
            [
                column[str(token)]["logprob"]
                for column, token in _columns(choice.prompt_logprobs, sequence)
            ]
            for choice, sequence in zip(choices, sequences, strict=True)
        ]

    def update(self, folder: Path) -> None:
        """Let the server read the weights of a folder that it sees under the same path.

        Raises:
            BackendError: the server is not in development mode, or failed.
        """
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        self._post("/collective_rpc", body)
        self._post("/reset_prefix_cache", {})

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _call(
        self, prompt: Sequence[int], fields: Mapping[str, object], extra: Mapping[str, object]
    ) -> dict[str, object]:
        body = {"return_token_ids": True, **extra}
        return {"model": self.model, "prompt": list(prompt), "extra_body": body, **fields}

    def _run(self, calls: Sequence[Mapping[str, object]]) -> list[Any]:
        outcomes = self._transport.run(calls, lambda client: client.completions.create)
        return [None if isinstance(one, Refused) else one for one, _ in outcomes]

    def _post(self, path: str, body: Mapping[str, object]) -> None:
        transport: Transport[object] = Transport(
            self._address, self._transport.patience, lambda reply: reply or {}, path
        )
        try:
            call = {"path": self._address.root + path, "cast_to": object, "body": dict(body)}
            ((reply, _),) = transport.run([call], _poster)
        except BackendError as error:
            raise BackendError(
                f"{error} Weight updates need a vLLM server started with VLLM_SERVER_DEV_MODE=1."
            ) from error
        finally:
            transport.close()
        if isinstance(reply, Refused):
            raise BackendError(f"weight update through {path} failed: {reply.detail}")


def _poster(client: Any) -> Any:  # noqa: ANN401
    async def post(*, timeout: float, **fields: Any) -> Any:  # noqa: ANN401
        return await client.post(**fields, options={"timeout": timeout})

    return post


def _read_completion(reply: Any) -> Any:  # noqa: ANN401
    """The only choice of a text completion."""
    choices = getattr(reply, "choices", None)
    if not choices:
        return Refused(Failure.EMPTY, "the reply holds no choice")
    return choices[0]


def _server_sample(choice: Any) -> Sample:  # noqa: ANN401
    logprobs = tuple(map(_finite, choice.logprobs.token_logprobs))
    return Sample(tuple(choice.token_ids), logprobs, choice.finish_reason == "stop")


def _sample(output: Any) -> Sample:  # noqa: ANN401
    ids = tuple(output.token_ids)
    pairs = zip(output.logprobs, ids, strict=True)
    logprobs = tuple(_finite(column[token].logprob) for column, token in pairs)
    return Sample(ids, logprobs, output.finish_reason == "stop")


def _seeds(seed: int | None, count: int) -> list[int | None]:
    """One seed per prompt, so that the equal prompts of a group get different replies."""
    return [None if seed is None else seed + number for number in range(count)]


def _finite(value: float | None) -> float:
    """NaN for what vLLM could not compute, which the trainer takes as ratio 1."""
    return math.nan if value is None else float(value)


def _columns(columns: Any, sequence: Sequence[int]) -> Any:  # noqa: ANN401
    """(candidates, token) of every position but the first, which has no probability."""
    return zip(columns[1:], list(sequence)[1:], strict=True)


def _prompts(sequences: Sequence[Sequence[int]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": list(sequence)} for sequence in sequences]


def _vllm() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise ConfigError(
            f'vLLM is not installed: pip install "finemem-env[vllm]" (Linux with an NVIDIA GPU). '
            f"{_ALTERNATIVES}"
        ) from error
