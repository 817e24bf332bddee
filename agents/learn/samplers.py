"""Who draws the replies of a run: the trainer's own model, vLLM in each process, or servers."""

from __future__ import annotations

import os
from pathlib import Path

from agents.learn.distributed import World, whole
from agents.learn.engines import Engine, Engines
from agents.model.policy import Policy
from agents.settings import (
    EngineOptions,
    Precision,
    SamplingConfig,
    ServerOptions,
    check_sampler,
    server_addresses,
)
from finemem_env.backends.retry import RetryPolicy
from finemem_env.backends.sampler import Sampler, save_weights
from finemem_env.backends.transport import Patience
from finemem_env.errors import BackendError, ConfigError

# Largest difference of a probe token's log-probability that rounding explains.
TOLERANCE = {"float32": 1e-3, "mixed": 0.25, "bfloat16": 0.25}
# Attempts to connect to one of several servers; the others wait for it.
_CONNECTS = 4


def make_engines(
    policy: Policy, sampling: SamplingConfig, precision: Precision, folder: Path, world: World
) -> Engines | None:
    """The engines of a run, with the policy's weights and checked against it.

    None where the trainer's own model draws. Every process of `world` calls this.

    Args:
        policy: whose weights they get.
        sampling: names the sampler and has its options.
        precision: of the trainer.
        folder: where weights are handed over; a server must see it under the same path.
        world: the processes of the run.

    Raises:
        ConfigError: vLLM cannot run here (with what else there is), or settings do not fit.
        BackendError: no server answers, or its log-probabilities are not the trainer's.
    """
    options = check_sampler(sampling.sampler, sampling.sampler_args)
    if options is None:
        return None
    shared = isinstance(options, ServerOptions)
    if isinstance(options, EngineOptions) and options.devices > 1 and world.size > 1:
        raise ConfigError(
            f"sampler_args: devices: expected 1 with {world.size} processes, each of which has an "
            f"engine of its own, got {options.devices}. Such a model is for a server: vllm serve "
            "--tensor-parallel-size N, and --sampler http://…."
        )
    with world.agreed():
        if isinstance(options, ServerOptions):
            addresses = server_addresses(sampling.sampler)
            engines = [_connect(url, options, alone=len(addresses) == 1) for url in addresses]
    if not isinstance(options, ServerOptions):
        engines = [_load_engine(policy, precision, options, folder, world)]
    tolerance = options.tolerance or TOLERANCE[precision]
    return Engines(policy, engines, folder, tolerance, world, shared=shared)


def _connect(address: str, options: ServerOptions, *, alone: bool) -> Engine:
    from finemem_env.backends.vllm_server import ServerSampler

    patience = Patience(options.concurrency, options.timeout, options.deadline)
    try:
        server = ServerSampler.connect(
            address,
            model=options.model,
            patience=patience,
            api_key_env=options.api_key_env,
            policy=RetryPolicy() if alone else RetryPolicy(connects=_CONNECTS),
        )
    except BackendError as error:
        raise BackendError(f"{error} Or use --sampler transformers.") from error
    return Engine(address, server, server.answers)


def _load_engine(
    policy: Policy, precision: Precision, options: EngineOptions, folder: Path, world: World
) -> Engine:
    """An engine in this process, built from a copy of the weights that it can reload."""
    # An engine process of its own would end with Ctrl-C before the running update does.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    with world.agreed():
        check()
        save_weights(policy.model, folder, policy.tokenizer, gather=whole, write=world.main)
    with world.agreed():
        sampler = load(folder, precision, options, launched=world.size > 1)
    return Engine(f"vLLM in process {world.rank}", sampler)


def check() -> None:
    """Refuse a machine without vLLM, before anything is written."""
    from finemem_env.backends.vllm import check_vllm

    try:
        check_vllm()
    except ConfigError as error:
        raise _elsewhere(error) from error


def load(folder: Path, precision: Precision, options: EngineOptions, *, launched: bool) -> Sampler:
    """An engine with the weights of a folder."""
    from finemem_env.backends.vllm import VLLMConfig, VLLMSampler, load_engine

    config = VLLMConfig(
        str(folder.absolute()),
        dtype="float32" if precision == "float32" else "bfloat16",
        context_tokens=options.context_tokens,
        memory=options.memory,
        devices=options.devices,
        eager=options.eager,
        launched=launched,
    )
    try:
        return VLLMSampler(load_engine(config))
    except ConfigError as error:
        raise _elsewhere(error) from error


def _elsewhere(error: ConfigError) -> ConfigError:
    return ConfigError(
        f"{error} For training: --sampler transformers, or --sampler http://… with the address of "
        "a vLLM server."
    )
