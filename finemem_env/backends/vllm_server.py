"""A vLLM server as a sampler: draws from token ids, and takes new weights while it runs.

A server that only answers questions needs nothing of this: it is an OpenAI-compatible endpoint.
Needs the extra `openai` here, and vLLM only on the server's side.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from finemem_env.backends.base import Failure, Sampling
from finemem_env.backends.retry import Refused, RetryPolicy
from finemem_env.backends.sampler import PLAIN, Sample, SampleOptions, TokenRows
from finemem_env.backends.transport import Address, Patience, Transport
from finemem_env.backends.vllm import columns, finite, row_seeds
from finemem_env.errors import BackendError

# A server takes what a request leaves out from the model's generation config, and Qwen3's has
# top_k 20: the log-probabilities would be those of a cut distribution.
_WHOLE: dict[str, object] = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
_FIRST = Patience(concurrency=1, timeout=10.0, deadline=30.0)  # of asking what is served
_GLANCE = Patience(concurrency=1, timeout=5.0, deadline=5.0)
# Calls that were given up may still run for a moment, and hold the cache.
_RESET_WAITS = (0.0, 0.5, 2.0, 5.0)
_NEVER = -9999.0
# What reading an answer of another form raises.
_OTHER = (AttributeError, LookupError, TypeError, ValueError)


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
        policy: when a call is tried again.

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
        policy: RetryPolicy | None = None,
    ) -> None:
        self.model = model
        self.context_tokens = context_tokens
        self._address = Address(base_url, api_key_env)
        self._transport: Transport[Any] = Transport(
            self._address, patience or Patience(), _read_completion, model, policy
        )

    @classmethod
    def connect(
        cls,
        base_url: str,
        *,
        model: str | None = None,
        patience: Patience | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        policy: RetryPolicy | None = None,
    ) -> ServerSampler:
        """The sampler of a server that runs, with the model and the context that it tells.

        Raises:
            BackendError: nobody answers within half a minute, it is no vLLM server, or it serves
                several models and none of them is called `model`.
        """
        models = _served(Address(base_url, api_key_env))
        if model is None and len(models) == 1:
            (model,) = models
        if model not in models:
            raise BackendError(f"{base_url} serves {sorted(models)}: name one as model.")
        return cls(
            model,
            base_url,
            context_tokens=models[model],
            patience=patience,
            api_key_env=api_key_env,
            policy=policy,
        )

    def answers(self) -> bool:
        """Whether somebody serves the model there right now."""
        try:
            return self.model in _served(self._address, _GLANCE, RetryPolicy(connects=1))
        except BackendError:
            return False

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample | None]:
        """One reply per prompt, in order; None where the server gave none in time.

        Groups need no hint: the server caches prefixes.

        Raises:
            BackendError: the server refuses the key or the settings, or has no such model.
        """
        fields = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "logprobs": 0,
        }
        extra = _WHOLE | {"stop_token_ids": list(options.stop_ids)}
        seeds = options.seeds or row_seeds(sampling.seed, len(prompts))
        calls = [
            self._call(prompt, fields if seed is None else fields | {"seed": seed}, extra)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        choices = self._run(calls)
        return [None if choice is None else self._read_sample(choice) for choice in choices]

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, temperature 1.

        Raises:
            BackendError: the server gave no reply in time, or as for `sample`.
        """
        extra = {"prompt_logprobs": 0}
        choices = self._run([self._call(ids, {"max_tokens": 1}, extra) for ids in sequences])
        if any(choice is None for choice in choices):
            raise BackendError(f"server {self._address.url} gave no log-probabilities in time.")
        try:
            return [
                [
                    float(column[str(token)]["logprob"])
                    for column, token in columns(choice.prompt_logprobs, sequence)
                ]
                for choice, sequence in zip(choices, sequences, strict=True)
            ]
        except _OTHER as error:
            raise self._strange("log-probabilities of the prompt's tokens") from error

    def update(self, folder: Path) -> None:
        """Let the server read the weights of a folder that it sees under the same path.

        Raises:
            BackendError: the server is not in development mode, or failed.
        """
        body = {
            "method": "reload_weights",
            "kwargs": {"weights_path": str(Path(folder).absolute())},
        }
        self._post("/collective_rpc", body)
        for wait in _RESET_WAITS:
            time.sleep(wait)
            reply = self._post("/reset_prefix_cache", {})
            if not isinstance(reply, dict) or reply.get("success", True):
                return
        raise BackendError(
            f"server {self._address.url} kept its prefix cache after a weight update: calls of "
            "another client still run, and it must have none."
        )

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
        return [None if isinstance(reply, Refused) else reply for reply, _ in outcomes]

    def _read_sample(self, choice: Any) -> Sample:  # noqa: ANN401
        try:
            ids, logprobs = tuple(choice.token_ids), tuple(choice.logprobs.token_logprobs)
            if len(ids) != len(logprobs):
                raise ValueError(f"{len(ids)} tokens and {len(logprobs)} log-probabilities")
            if not all(type(token) is int for token in ids):
                raise TypeError(f"token ids {ids}")
            return Sample(ids, tuple(map(_logprob, logprobs)), choice.finish_reason == "stop")
        except _OTHER as error:
            raise self._strange("token ids with a log-probability each") from error

    def _strange(self, missing: str) -> BackendError:
        return BackendError(
            f"server {self._address.url} answered without {missing}: expected a vLLM server "
            "(0.32 was tried) whose answers reach the trainer unchanged."
        )

    def _post(self, path: str, body: Mapping[str, object]) -> object:
        transport: Transport[object] = Transport(
            self._address,
            self._transport.patience,
            lambda reply: reply or {},
            path,
            self._transport.policy,
        )
        try:
            call = {"path": self._address.root + path, "cast_to": object, "body": dict(body)}
            ((reply, _),) = transport.run([call], partial(_timed, "post"))
        except BackendError as error:
            raise BackendError(
                f"{error} Weight updates need a vLLM server started with VLLM_SERVER_DEV_MODE=1."
            ) from error
        finally:
            transport.close()
        if isinstance(reply, Refused):
            raise BackendError(f"weight update through {path} failed: {reply.detail}")
        return reply


def _logprob(value: float | None) -> float:
    """NaN also for what a vLLM server writes in the place of minus infinity."""
    logprob = finite(value)
    return math.nan if logprob <= _NEVER else logprob


def _served(
    address: Address, patience: Patience | None = None, policy: RetryPolicy | None = None
) -> dict[str, int]:
    """The models that a vLLM server lists, with the context of each."""
    start = "Start one: VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --logprobs-mode processed_logprobs."
    version = "" if address.url.rstrip("/").endswith("/v1") else " Its address ends with /v1."
    listing: Transport[dict[str, int]] = Transport(
        address, patience or _FIRST, _read_models, "/models", policy
    )
    try:
        call = {"path": "/models", "cast_to": object}
        ((reply, _),) = listing.run([call], partial(_timed, "get"))
    except BackendError as error:
        raise BackendError(f"{error}{version} {start}") from error
    finally:
        listing.close()
    if isinstance(reply, Refused):
        detail = reply.detail.rstrip(".")
        raise BackendError(f"no vLLM server answers at {address.url}: {detail}. {start}")
    if not reply:
        raise BackendError(
            f"{address.url} is no vLLM server, and no other takes new weights.{version} {start}"
        )
    return reply


def _read_models(page: Any) -> dict[str, int]:  # noqa: ANN401
    """The models with their contexts; none in an answer of another form, which vLLM never gives."""
    found: dict[str, int] = {}
    models = page.get("data") if isinstance(page, dict) else None
    for model in models if isinstance(models, list) else ():
        length = model.get("max_model_len") if isinstance(model, dict) else None
        if type(length) is int and length > 0:
            found[str(model.get("id"))] = length
    return found


def _timed(method: str, client: Any) -> Any:  # noqa: ANN401
    """The client's plain `get` or `post`, with a timeout."""

    async def call(*, timeout: float, **fields: Any) -> Any:  # noqa: ANN401
        return await getattr(client, method)(**fields, options={"timeout": timeout})

    return call


def _read_completion(reply: Any) -> Any:  # noqa: ANN401
    """The only choice of a text completion; one that the server broke off is none."""
    choices = getattr(reply, "choices", None)
    if not choices:
        return Refused(Failure.EMPTY, "the reply holds no choice")
    if choices[0].finish_reason not in ("stop", "length"):
        return Refused(Failure.SERVER, f"the reply ended with {choices[0].finish_reason!r}")
    return choices[0]
