"""One cell of the credit study: a policy of a few logits, trained by group-relative advantages."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from agents.learn.advantages import Estimator, compute_advantages
from benchmarks.credit_tasks import KINDS, TASKS, CreditTask, kind_of
from benchmarks.gold import gold_share
from benchmarks.policy import KindPolicy
from benchmarks.rollout import KindRollout, make_group, play, policy_gradient, reward_rows
from finemem_env.rewards import REWARDS, RewardSettings
from finemem_env.types import Answer, Reader, ReadRequest
from finemem_env.vector import MemoryVectorEnv

Floats = npt.NDArray[np.float64]

Form = Literal[
    "step",
    "return",
    "to-go",
    "return, local 2",
    "to-go, local 1",
    "to-go, local 2",
    "to-go, local 5",
]
STUDIED = (
    "outcome",
    "chunk",
    "evidence",
    "evidence-cited",
    "fine-mem",
    "fine-mem-cited",
    "fine-mem-earned",
)
CREDITS: dict[Form, tuple[str, ...]] = {
    "step": STUDIED,
    # What is streamed does not depend on the attribution: outcome is evidence, chunk is fine-mem.
    "return": ("outcome", "chunk"),
    "to-go": ("evidence-cited", "fine-mem-cited"),
    # Local re-rollouts: groups that share the memory, and go on so many steps from it.
    "return, local 2": ("outcome", "chunk"),
    "to-go, local 1": ("fine-mem-cited",),
    "to-go, local 2": ("evidence-cited", "fine-mem-cited"),
    "to-go, local 5": ("fine-mem-cited",),
}
_TRAIN, _EVALUATE, _COINS = 0, 1, 2  # separate streams of one seed
_HELD_OUT = 999  # the seed of the episodes that every cell is evaluated on


@dataclass(frozen=True, slots=True)
class Budget:
    """How long and on how much every cell is trained and evaluated."""

    updates: int = 30
    contexts: int = 1  # an update
    group: int = 8  # rollouts a context
    learning_rate: float = 0.5  # Adam's, in logits
    every: int = 2  # updates between two evaluations
    chunks: int = 40  # an evaluation reads so many, in the same episodes every time


@dataclass(frozen=True, slots=True)
class CreditCell:
    """What is compared: a task, a reward preset, a form of credit, and the chance of one seed."""

    task: str
    reward: str
    credit: Form
    seed: int


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation after `update` updates: means over the held-out episodes.

    `memory`: share of the input's tokens. `gold`: credit on gold steps under the cell's own
    attribution, -1 without a right answer. `accepted`: share of the operations.
    """

    update: int
    score: float
    memory: float
    gold: float
    accepted: float


def train(cell: CreditCell, budget: Budget) -> dict[str, Any]:
    """Train one cell and return its record, JSON-able.

    Returns:
        Cell, budget, curve, logits, seconds, and the cost of training: `samples`, actions of the
        policy, and `reads`, questions to the reader.
    """
    started = time.perf_counter()
    task = TASKS[cell.task]
    settings = reward_of(cell.reward)
    names = [*KINDS, *task.start]
    policy = KindPolicy(names, [0.0] * len(KINDS) + list(task.start.values()))
    learner = _Learner(cell, task, settings, budget)
    judge = _Judge(task, settings, budget)
    curve = [judge.evaluate(policy, 0)]
    for update in range(1, budget.updates + 1):
        learner.update(policy, update)
        if update % budget.every == 0:
            curve.append(judge.evaluate(policy, update))
    return {
        "cell": asdict(cell),
        "budget": asdict(budget),
        "curve": [asdict(point) for point in curve],
        "logits": dict(zip(names, np.round(policy.logits, 3).tolist(), strict=True)),
        "samples": learner.samples,
        "reads": learner.reader.requests,
        "seconds": round(time.perf_counter() - started, 2),
    }


def reward_of(name: str) -> RewardSettings:
    """A preset with the compression term worth .5 an episode, whatever the length."""
    return dataclasses.replace(REWARDS[name], compression_scale="episode")


class Adam:
    """Gradient ascent with Adam's step size (arXiv 1412.6980)."""

    def __init__(self, size: int, learning_rate: float) -> None:
        self._rate, self._steps = learning_rate, 0
        self._mean, self._square = np.zeros(size), np.zeros(size)

    def step(self, gradient: Floats) -> Floats:
        """What to add to the parameters."""
        self._steps += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.99 * self._square + 0.01 * gradient**2
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.99**self._steps)
        change: Floats = self._rate * mean / (np.sqrt(square) + 1e-8)
        return change


class _Counting:
    """A reader, and how many requests it was sent."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.version = reader, reader.version
        self.requests = 0

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """Answer, and count."""
        self.requests += len(requests)
        return self._reader.answer(requests)


class _Learner:
    """Rollouts of fresh contexts, advantages, one Adam step."""

    def __init__(
        self, cell: CreditCell, task: CreditTask, settings: RewardSettings, budget: Budget
    ) -> None:
        self._cell, self._settings, self._budget = cell, settings, budget
        self._form, _, local = cell.credit.partition(", local ")
        self._local_steps = int(local) if local else None
        self._estimator = Estimator(credit="step" if cell.credit == "step" else "return")
        self._env = _env(task, cell.reward, budget.contexts * budget.group, task.questions, "train")
        self.reader = self._env.factory.reader = _Counting(self._env.factory.reader)
        self.samples = 0
        self._coins = np.random.default_rng([cell.seed, _COINS])
        self._adam = Adam(len(KINDS) + len(task.start), budget.learning_rate)

    def update(self, policy: KindPolicy, number: int) -> None:
        """One update of `policy` in place, on contexts that depend on (seed, number) only."""
        state = np.random.SeedSequence([self._cell.seed, _TRAIN, number])
        seeds = [int(s) for s in state.generate_state(self._budget.contexts)]
        seeds = [seed for seed in seeds for _ in range(self._budget.group)]
        rollouts = play(self._env, policy, seeds, lambda _: kind_of, self._coins, self._local_steps)
        self.samples += sum(len(rollout.score) for rollout in rollouts)
        rows = [reward_rows(rollout, self._settings) for rollout in rollouts]
        if self._form == "to-go":
            rows = [dataclasses.replace(row, streamed=row.step_rewards) for row in rows]
        advantages = compute_advantages(rows, self._estimator)
        policy.logits += self._adam.step(policy_gradient(rollouts, advantages.values))


class _Judge:
    """Evaluation on held-out episodes, the same ones with the same coin tosses every time."""

    def __init__(self, task: CreditTask, settings: RewardSettings, budget: Budget) -> None:
        self._settings = settings
        # The same attribution without chunk questions, which evaluation does not need.
        plain = {"chunk": "outcome", "fine-mem": "evidence", "fine-mem-cited": "evidence-cited"}
        reward = plain.get(settings.name, settings.name)
        episodes = max(1, budget.chunks // task.num_chunks)
        self._env = _env(task, reward, episodes, 0, "val")
        state = np.random.SeedSequence([_HELD_OUT, _EVALUATE])
        self._seeds = [int(seed) for seed in state.generate_state(episodes)]

    def evaluate(self, policy: KindPolicy, update: int) -> Point:
        """Score, memory, gold share and accepted share of `policy`."""
        coins = np.random.default_rng([_HELD_OUT, _COINS])
        rollouts = play(self._env, policy, self._seeds, lambda _: kind_of, coins)
        finals = [final for rollout in rollouts for _, final in rollout.finals]
        steps = [step for rollout in rollouts for step in rollout.outcome.steps]
        counted = sum(step.emitted - step.memory_full for step in steps)
        return Point(
            update=update,
            score=round(float(np.mean([final.score for final in finals])), 4),
            memory=round(float(np.mean([rollout.memory_share for rollout in rollouts])), 4),
            gold=round(self._gold(rollouts), 4),
            accepted=round(sum(step.accepted for step in steps) / max(1, counted), 4),
        )

    def _gold(self, rollouts: list[KindRollout]) -> float:
        attribution = self._settings.attribution if self._settings.beta else None
        placed = (
            gold_share(question, final, attribution, len(rollout.outcome.steps))
            for rollout in rollouts
            for question, final in rollout.finals
        )
        shares = [share for share in placed if share is not None]
        return float(np.mean(shares)) if shares else -1.0


def _env(task: CreditTask, reward: str, size: int, questions: int, split: str) -> MemoryVectorEnv:
    return make_group(task.env_id, size, reward=reward, split=split, **task.keywords(questions))
