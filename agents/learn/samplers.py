"""Who draws the replies of a run: the trainer's own model, vLLM in each process, or servers."""

from __future__ import annotations

import os

from agents.learn.distributed import World, whole
from agents.learn.engines import Engine, Engines
from agents.model.policy import Policy
from agents.settings import (
    EngineOptions,
    SamplerSetup,
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


def make_engines(policy: Policy, setup: SamplerSetup, world: World) -> Engines | None:
    """The engines of a run, with the policy's weights and checked against it.

    None where the trainer's own model draws. Every process of `world` calls this.

    Raises:
        ConfigError: vLLM cannot run here (with what else there is), or settings do not fit.
        BackendError: no server answers, or its log-probabilities are not the trainer's.
    """
    options = check_sampler(setup.name, setup.options)
    if options is None:
        return None
    shared = isinstance(options, ServerOptions)
    with world.agreed():
        if isinstance(options, ServerOptions):
            addresses = server_addresses(setup.name)
            engines = [_connect(one, options, alone=len(addresses) == 1) for one in addresses]
    if not isinstance(options, ServerOptions):
        engines = [_load_engine(policy, setup, options, world)]
    tolerance = options.tolerance or TOLERANCE[setup.precision]
    return Engines(policy, engines, setup.folder, tolerance, world, shared=shared)


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
    policy: Policy, setup: SamplerSetup, options: EngineOptions, world: World
) -> Engine:
    """An engine in this process, built from a copy of the weights that it can reload."""
    # An engine process of its own would end with Ctrl-C before the running update does.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    with world.agreed():
        check()
        save_weights(policy.model, setup.folder, policy.tokenizer, gather=whole, write=world.main)
    with world.agreed():
        sampler = load(setup, options, launched=world.size > 1)
    return Engine(f"vLLM in process {world.rank}", sampler)


def check() -> None:
    """Refuse a machine without vLLM, before anything is written."""
    from finemem_env.backends.vllm import check_vllm

    try:
        check_vllm()
    except ConfigError as error:
        raise _elsewhere(error) from error


def load(setup: SamplerSetup, options: EngineOptions, *, launched: bool) -> Sampler:
    """An engine with the weights of the folder of `setup`."""
    from finemem_env.backends.vllm import VLLMConfig, VLLMSampler, load_engine

    config = VLLMConfig(
        str(setup.folder.absolute()),
        dtype="float32" if setup.precision == "float32" else "bfloat16",
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
