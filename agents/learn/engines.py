"""Engines that draw the rollouts of a run and hold copies of its weights.

Every process draws from all servers, or from an engine of its own. After an update the first
process writes the weights once, every engine reads them, and the log-probabilities of a probe are
compared on each: training on replies of other weights than the trainer believes would be wrong
without a sign. What is left between the two (kernels, precision) is what the loss's truncated
importance ratio corrects.

One of several servers that gives no replies loses the rows that it had, is named, and gets weights
and rows again once it answers. One that was started anew in the middle of an update, or that
another run gave weights, has other ones until the next hand-over: what it drew is dropped. Both may
have been started with other options as well, so that their draws are compared again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from agents.learn.distributed import World, gathered, whole
from agents.model.batching import Row
from agents.model.logprobs import score_rows
from agents.model.policy import Policy
from finemem_env.backends import Sampling
from finemem_env.backends.local import base_causal_lm
from finemem_env.backends.logprobs import sequence_logprobs
from finemem_env.backends.sampler import (
    PLAIN,
    Sample,
    SampleOptions,
    Sampler,
    TokenRows,
    WeightsDifferError,
    WeightSync,
    check_replies,
    largest_difference,
    save_weights,
)
from finemem_env.errors import BackendError

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
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as it is given: how errors name it, and a quick look whether it is there."""

    name: str
    sampler: Sampler
    answers: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class _Held:
    """An engine in use; `away` ones get no rows. `anew`: it may be another one than was checked."""

    engine: Engine
    sync: WeightSync
    away: bool = False
    anew: bool = False


class Engines:
    """Draws with engines that hold copies of the policy's weights; a `Sampler`.

    Args:
        policy: whose weights the engines get.
        engines: all of them, or the one of this process.
        folder: where the weights are handed over.
        tolerance: largest difference of a probe token's log-probability.
        world: the processes of the run.
        shared: every process draws from these same engines, and the first hands the weights over.
    """

    def __init__(
        self,
        policy: Policy,
        engines: Sequence[Engine],
        folder: Path,
        tolerance: float,
        world: World | None = None,
        *,
        shared: bool = False,
    ) -> None:
        known = (policy.own.context_tokens, *(engine.sampler.context_tokens for engine in engines))
        self.context_tokens = min((size for size in known if size is not None), default=None)
        self.tolerance = tolerance
        self.probe = _probe(policy, self.context_tokens)
        self._policy, self._folder = policy, folder.absolute()
        inner: Any = base_causal_lm(policy.model)
        self._vocabulary = int(inner.get_input_embeddings().weight.shape[0])
        self._world, self._shared = world or World(), shared
        self._temperature: float | None = None  # at which draws were compared
        self._held = [
            _Held(engine, WeightSync(engine.sampler, self._folder, self.probe, tolerance))
            for engine in engines
        ]

    @property
    def _tends(self) -> bool:
        """Whether this process hands the weights to its engines."""
        return self._world.main or not self._shared

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> Sequence[Sample | None]:
        """One reply per prompt; rows of a group go to one engine, which caches their prefix.

        Raises:
            BackendError: the only engine gave not one reply, or none of several is left.
        """
        if not prompts:
            return []
        stop_ids, seeds = (*self._policy.stop_ids, *options.stop_ids), options.seeds

        def draw(part: tuple[int, list[int]]) -> list[Sample | None]:
            number, rows = part
            own = None if seeds is None else [seeds[row] for row in rows]
            dealt = [prompts[row] for row in rows]
            return self._draw(number, dealt, sampling, SampleOptions(stop_ids, seeds=own))

        parts = self._deal(options.groups or range(len(prompts)))
        samples: list[Sample | None] = [None] * len(prompts)
        for (_, rows), replies in zip(parts, _together(draw, parts), strict=True):
            for row, reply in zip(rows, replies, strict=True):
                samples[row] = reply
        left = len(self._held) > 1 and any(not held.away for held in self._held)
        if not left and all(sample is None for sample in samples):
            raise BackendError(
                f"the sampler gave none of {len(prompts)} replies in time. Bring it back and go "
                "on with --resume."
            )
        return samples

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities by the first engine that is there."""
        return self._live()[0].engine.sampler.logprobs(sequences)

    def update(self, folder: Path) -> None:
        """Let every engine take the weights of a folder, without comparing anything."""
        for held in self._live():
            held.engine.sampler.update(folder)

    def refresh(self, scorer: nn.Module | None = None) -> dict[str, float]:
        """Hand over the weights and compare the probe on every engine; every process calls this.

        Args:
            scorer: what training calls, wrapped by DDP or FSDP; None in a run of one process.

        Returns:
            What to log.

        Raises:
            BackendError: trainer and engine disagree, or no engine is there.
        """
        world, model = self._world, self._policy.model
        with world.agreed():
            save_weights(model, self._folder, gather=whole, write=world.main)
        with gathered(model if scorer is None else scorer):
            trainer = sequence_logprobs(model, self.probe) if self._tends else []
        difference = 0.0
        with world.agreed():
            if self._tends:
                differences = _together(lambda held: self._give(held, trainer), self._held)
                difference = max(differences, default=0.0)
                self._live()
        if self._shared:
            self._follow([world.gather([held.away for held in self._held])[0]])
            self._check_anew(model if scorer is None else scorer)
        largest = world.largest(torch.tensor(difference, dtype=torch.float64))
        return {"train/sampler_difference": float(largest)}

    def settle(self) -> frozenset[int]:
        """After the rollouts of an update: engines whose replies to it must not be trained on.

        Every process calls this, and all get the same. They are those that lost their weights in
        the meantime, which the probe shows.
        """
        if not self._shared:
            return frozenset()
        forgetful: frozenset[int] = frozenset()
        if self._world.main:
            forgetful = self._forgetful()
        states = self._world.gather((forgetful, [held.away for held in self._held]))
        self._follow([away for _, away in states])
        for number in states[0][0]:
            self._held[number].anew = True
        return frozenset(states[0][0])

    def leave_forgetful(self) -> frozenset[int]:
        """As `settle`, of what this process alone drew; these engines get no rows until a refresh.

        The others must not be asked, and hear of it when all settle.
        """
        forgetful = self._forgetful() if self._shared else frozenset()
        for number in forgetful:
            self._held[number].away = True
        return forgetful

    def compare_draws(self, temperature: float, scorer: nn.Module | None = None) -> None:
        """Refuse engines whose log-probabilities are not those of the distribution drawn from.

        Args:
            temperature: of training.
            scorer: as for `refresh`.

        Raises:
            BackendError: they differ by more than the tolerance.
        """
        module = self._policy.model if scorer is None else scorer
        self._temperature = temperature
        with gathered(module), self._world.agreed():
            for held in self._live() if self._tends else ():
                self._compare_draws(held.engine, temperature)

    def _check_anew(self, module: nn.Module) -> None:
        """Compare the draws of servers that came back or were started anew; every process calls."""
        again = [held for held in self._held if held.anew and not held.away]
        if not again or self._temperature is None:
            return
        with gathered(module), self._world.agreed():
            for held in again if self._tends else ():
                try:
                    self._compare_draws(held.engine, self._temperature)
                except BackendError as error:
                    if len(self._held) == 1:
                        raise
                    self._lose(held, str(error))
            self._live()
        for held in again:
            held.anew = False
        self._follow([self._world.gather([held.away for held in self._held])[0]])

    def _compare_draws(self, engine: Engine, temperature: float) -> None:
        policy = self._policy
        prompts = [sequence[: len(sequence) // 2 + 1] for sequence in self.probe]
        sampling = Sampling(temperature, max_tokens=PROBE_REPLY, seed=0)
        drawn = self._ask(engine, prompts, sampling, SampleOptions(policy.stop_ids))
        rows = [
            Row(tuple(prompt), sample.token_ids, sample.logprobs)
            for prompt, sample in zip(prompts, drawn, strict=True)
            if sample is not None
        ]
        if not rows:
            raise BackendError(f"{engine.name} refused: it answers the probe but draws no replies.")
        expected = score_rows(policy.scorer(temperature), rows, micro_tokens=PROBE_TOKENS)
        difference = largest_difference(expected, [row.sampler_logprobs for row in rows])
        if not difference <= self.tolerance:
            raise BackendError(
                f"{engine.name} refused: log-probabilities of its replies at temperature "
                f"{temperature:g} differ by {difference:.3g} from the trainer's (tolerance "
                f"{self.tolerance:g}). A vLLM server needs --logprobs-mode processed_logprobs."
            )

    def _deal(self, groups: Sequence[Hashable | None]) -> list[tuple[int, list[int]]]:
        """(engine, its rows): the groups in turn, each process beginning with another engine."""
        self._live()
        numbers = [number for number, held in enumerate(self._held) if not held.away]
        places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        parts: dict[int, list[int]] = {}
        for row, group in enumerate(groups):
            number = numbers[(self._world.rank + places[group]) % len(numbers)]
            parts.setdefault(number, []).append(row)
        return list(parts.items())

    def _draw(
        self, number: int, prompts: TokenRows, sampling: Sampling, options: SampleOptions
    ) -> list[Sample | None]:
        held = self._held[number]
        try:
            replies = self._ask(held.engine, prompts, sampling, options)
        except BackendError as error:
            if len(self._held) == 1:
                raise
            self._lose(held, f"{len(prompts)} rows are lost: {error}")
            return [None] * len(prompts)
        if len(self._held) > 1 and all(reply is None for reply in replies):
            self._lose(held, f"{len(prompts)} rows are lost: it gave no reply in time")
        return [
            reply and Sample(reply.token_ids, reply.logprobs, reply.finished, number)
            for reply in replies
        ]

    def _ask(
        self, engine: Engine, prompts: TokenRows, sampling: Sampling, options: SampleOptions
    ) -> list[Sample | None]:
        """The engine's replies, each of which must be one to what was asked."""
        replies = list(engine.sampler.sample(prompts, sampling, options))
        check_replies(engine.name, replies, sampling, self._vocabulary, self.tolerance)
        return replies

    def _give(self, held: _Held, trainer: list[list[float]]) -> float:
        """Weights for one engine; the difference of the probe, 0 for one that stays away."""
        alone = len(self._held) == 1
        if not (alone or held.engine.answers()):
            if not held.away:
                self._lose(held, "it does not answer")
            return 0.0
        try:
            held.sync.sampler.update(self._folder)
            difference = held.sync.compare(trainer)
        except WeightsDifferError as error:
            raise BackendError(f"{held.engine.name}: {error}") from error
        except BackendError as error:
            if alone:
                raise
            self._lose(held, str(error))
            return 0.0
        if held.away:
            _say(f"{held.engine.name} is back and has the present weights.")
            held.away = False
        return difference

    def _forgetful(self) -> frozenset[int]:
        """Numbers of the engines whose weights are not those that they were given last."""
        forgot = _together(self._forgot, self._held)
        return frozenset(number for number, lost in enumerate(forgot) if lost)

    def _forgot(self, held: _Held) -> bool:
        """Whether the engine's weights are not those that it was given last."""
        if held.away or held.sync.said is None:
            return False
        try:
            said = held.engine.sampler.logprobs(self.probe)
        except BackendError as error:
            if len(self._held) > 1:
                self._lose(held, str(error))
            return False
        lost = not largest_difference(held.sync.said, said) <= self.tolerance
        if lost:
            _say(
                f"{held.engine.name} was started anew, or another run gave it weights: what it "
                "drew since the last update is dropped."
            )
        return lost

    def _live(self) -> list[_Held]:
        live = [held for held in self._held if not held.away]
        if not live:
            names = ", ".join(held.engine.name for held in self._held)
            raise BackendError(
                f"none of these answers: {names}. Bring one back and go on with --resume."
            )
        return live

    def _lose(self, held: _Held, why: str) -> None:
        held.away = True
        _say(f"{held.engine.name} is left out until it answers after an update; {why}")

    def _follow(self, states: Iterable[Sequence[bool]]) -> None:
        """What any process found away is away for all."""
        for held, away in zip(self._held, zip(*states, strict=True), strict=True):
            held.away = any(away)
            held.anew |= held.away


def _together(call: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    """Calls at the same time; one alone stays in this thread, where an engine may have to be."""
    if len(items) == 1:
        return [call(items[0])]
    with ThreadPoolExecutor(max(1, len(items))) as pool:
        return list(pool.map(call, items))


def _say(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _probe(policy: Policy, context: int | None) -> list[list[int]]:
    """Two short conversations as token ids."""
    prompts = policy.encode([("", observation) for observation, _ in PROBE])
    replies = [policy.template.target(reply) for _, reply in PROBE]
    longest = PROBE_TOKENS if context is None else min(context - PROBE_REPLY, PROBE_TOKENS)
    return [[*p, *r][:longest] for p, r in zip(prompts, replies, strict=True)]
