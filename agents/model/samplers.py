"""vLLM as the sampler of rollouts: in this process, or a server that takes the trainer's weights.

An engine holds a copy of the model. It gets the new weights after every update, and the log-
probabilities of a probe are compared each time: training on replies of other weights than the
trainer believes would be wrong without a sign. What is left between the two (kernels, precision) is
what the loss's truncated importance ratio corrects.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from pathlib import Path

from agents.model.batching import Row
from agents.model.logprobs import score_rows
from agents.model.policy import Policy, RolloutSampler
from agents.settings import EngineOptions, SamplerSetup, ServerOptions, check_sampler
from finemem_env.backends import Sampling
from finemem_env.backends.sampler import (
    Sample,
    Sampler,
    WeightSync,
    largest_difference,
    save_weights,
)
from finemem_env.backends.transport import Patience
from finemem_env.errors import BackendError, ConfigError

# Largest difference of a probe token's log-probability that rounding explains.
TOLERANCE = {"float32": 1e-3, "mixed": 0.25, "bfloat16": 0.25}
PROBE_TOKENS = 512  # longest probe
PROBE_REPLY = 32  # tokens drawn to compare log-probabilities of draws
PROBE = (
    (
        '<chunk index="0" of="2">\nOn 12 May Anna moved to Paris. Her badge is K-193.\n</chunk>',
        '[{"op": "INSERT", "content": "On 12 May Anna moved to Paris."}]',
    ),
    (
        '<chunk index="1" of="2">\nIt rained all day and nobody came by.\n</chunk>',
        '[{"op": "SKIP"}]',
    ),
)


def make_sampler(policy: Policy, setup: SamplerSetup) -> RolloutSampler:
    """The sampler of a run, with the policy's weights and checked against it.

    Raises:
        ConfigError: vLLM cannot run here (with what else there is), or settings do not fit.
        BackendError: no server answers, or its log-probabilities are not the trainer's.
    """
    options = check_sampler(setup.name, setup.options)
    if options is None:
        return policy.own
    if setup.processes > 1:
        raise ConfigError(
            f"sampler {setup.name!r} serves one training process, and there are "
            f"{setup.processes}. Use --sampler transformers."
        )
    if isinstance(options, ServerOptions):
        engine = _connect(setup.name, options)
    else:
        engine = _load(policy, setup, options)
    tolerance = options.tolerance or TOLERANCE[setup.precision]
    sampler = EngineSampler(policy, engine, setup.folder, tolerance)
    sampler.refresh()
    sampler.compare_draws(setup.temperature)
    return sampler


def _connect(address: str, options: ServerOptions) -> Sampler:
    from finemem_env.backends.vllm_server import ServerSampler

    patience = Patience(options.concurrency, options.timeout, options.deadline)
    try:
        return ServerSampler.connect(
            address, model=options.model, patience=patience, api_key_env=options.api_key_env
        )
    except BackendError as error:
        raise BackendError(f"{error} Or use --sampler transformers.") from error


def _load(policy: Policy, setup: SamplerSetup, options: EngineOptions) -> Sampler:
    """An engine in this process, built from a copy of the weights that it can reload."""
    # An engine process of its own would end with Ctrl-C before the running update does.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from finemem_env.backends.vllm import VLLMConfig, VLLMSampler, check_vllm, load_engine

    config = VLLMConfig(
        str(setup.folder.absolute()),
        dtype="float32" if setup.precision == "float32" else "bfloat16",
        context_tokens=options.context_tokens,
        memory=options.memory,
        devices=options.devices,
        eager=options.eager,
    )
    try:
        check_vllm()
        save_weights(policy.model, setup.folder, policy.tokenizer)
        return VLLMSampler(load_engine(config))
    except ConfigError as error:
        raise ConfigError(
            f"{error} For training: --sampler transformers, or --sampler http://… with the "
            "address of a vLLM server."
        ) from error


class EngineSampler:
    """Draws with an engine that holds a copy of the policy's weights.

    Args:
        policy: whose weights the engine gets.
        engine: vLLM, or anything else with its interface.
        folder: where the weights are handed over.
        tolerance: largest difference of a probe token's log-probability.
    """

    def __init__(self, policy: Policy, engine: Sampler, folder: Path, tolerance: float) -> None:
        known = (policy.own.context_tokens, engine.context_tokens)
        self.context_tokens = min((one for one in known if one is not None), default=None)
        self.tolerance = tolerance
        self._policy, self._engine = policy, engine
        self._sync = WeightSync(
            engine, folder.absolute(), _probe(policy, self.context_tokens), tolerance
        )

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        stop_ids: Sequence[int] = (),
        groups: Sequence[Hashable | None] | None = None,
    ) -> Sequence[Sample | None]:
        """One reply per prompt; groups need no hint, the engine caches prefixes.

        Raises:
            BackendError: there was not one reply.
        """
        if not prompts:
            return []
        found = self._engine.sample(prompts, sampling, (*self._policy.stop_ids, *stop_ids))
        if all(one is None for one in found):
            raise BackendError(
                f"the sampler gave none of {len(prompts)} replies in time. Bring it back and go "
                "on with --resume."
            )
        return found

    def refresh(self) -> dict[str, float]:
        """Hand over the weights and compare the probe.

        Raises:
            BackendError: trainer and engine disagree, or the engine is away.
        """
        return {"train/sampler_difference": self._sync.push(self._policy.model)}

    def compare_draws(self, temperature: float) -> None:
        """Refuse an engine whose log-probabilities are not those of the distribution drawn from.

        Raises:
            BackendError: they differ by more than the tolerance.
        """
        policy = self._policy
        prompts = [one[: len(one) // 2 + 1] for one in self._sync.probe]
        sampling = Sampling(temperature, max_tokens=PROBE_REPLY, seed=0)
        rows = [
            Row(tuple(prompt), one.token_ids, one.logprobs)
            for prompt, one in zip(prompts, self.sample(prompts, sampling), strict=True)
            if one is not None
        ]
        expected = score_rows(policy.scorer(temperature), rows, max_tokens=PROBE_TOKENS)
        found = largest_difference(expected, [row.sampler_logprobs for row in rows])
        if not found <= self.tolerance:
            raise BackendError(
                f"sampler refused: log-probabilities of its replies at temperature {temperature:g} "
                f"differ by {found:.3g} from the trainer's (tolerance {self.tolerance:g}). A vLLM "
                "server needs --logprobs-mode processed_logprobs."
            )


def _probe(policy: Policy, context: int | None) -> list[list[int]]:
    """Two short conversations as token ids."""
    prompts = policy.encode([("", observation) for observation, _ in PROBE])
    replies = [policy.template.target(reply) for _, reply in PROBE]
    longest = PROBE_TOKENS if context is None else min(context - PROBE_REPLY, PROBE_TOKENS)
    return [[*p, *r][:longest] for p, r in zip(prompts, replies, strict=True)]
