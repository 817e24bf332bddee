"""The cells of an ablation: methods x tasks x seeds, each one training run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from agents.learn.advantages import Credit
from agents.runs.config import CPU_ENV_ARGS, TrainConfig
from agents.settings import Compare
from finemem_env.errors import ConfigError, nearest
from finemem_env.rewards import REWARDS

# Every reward with the form of credit that suits it (docs/credit.md).
METHODS = (
    "outcome/return",
    "chunk/return",
    "evidence-cited/reward_to_go",
    "fine-mem/reward_to_go",
    "fine-mem-earned/reward_to_go",
)
_DECIDED = ("reward", "credit", "compare", "seed", "env_args")  # what a cell is of


def _few(num_chunks: int, **difficulty: object) -> dict[str, Any]:
    """Credit matters where episodes are long, few questions pay, and the budget binds."""
    asked = {**CPU_ENV_ARGS["difficulty"], "questions": 3, **difficulty}
    return {
        **CPU_ENV_ARGS,
        "num_chunks": num_chunks,
        "memory_budget": 0.3,
        "difficulty": asked,
    }


TASKS: dict[str, dict[str, Any]] = {
    "short": dict(CPU_ENV_ARGS),
    "few": _few(10),
    "long": _few(20),
    "misaligned": _few(20, misaligned_chunk_questions=True),
}
TASKS_HELP = (
    "short: 6 chunks of the cpu preset; few: 10 chunks, 3 final questions in training, a tight "
    "budget; long: the same with 20 chunks; misaligned: as long, and chunk questions ask what no "
    "final question does (default: few)"
)
# Evaluations ask about everything, and often: the curves tell how many updates a method needs.
_ASK_ALL = {"difficulty": {**CPU_ENV_ARGS["difficulty"], "questions": 0}}
SETTINGS: dict[str, Any] = {
    "updates": 50,
    "contexts": 4,
    "lr_schedule": "constant",
    "eval_every": 5,
    "eval_episodes": 24,
    "save_every": 10,
    "eval_env_args": _ASK_ALL,
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run of the ablation."""

    reward: str
    credit: str
    task: str
    seed: int
    compare: str = "step"

    @classmethod
    def of(cls, method: str, task: str, seed: int) -> Cell:
        """The cell of "reward/credit/compare"; what is not named is step, as in the paper.

        Raises:
            ConfigError: an unknown reward, form of credit or comparison, with the nearest.
        """
        reward, _, rest = method.partition("/")
        credit, _, compare = rest.partition("/")
        for kind, name, known in (
            ("reward", reward, list(REWARDS)),
            ("credit", credit or "step", list(get_args(Credit))),
            ("compare", compare or "step", list(get_args(Compare))),
        ):
            if name not in known:
                raise ConfigError(nearest(kind, name, known))
        return cls(reward, credit or "step", task, seed, compare or "step")

    @property
    def name(self) -> str:
        """Its folder."""
        parts = [self.task, self.reward, self.credit, str(self.seed)]
        return "-".join([*parts, *([self.compare] if self.compare != "step" else [])])

    def config(self, base: Mapping[str, Any]) -> TrainConfig:
        """The settings of its run."""
        own = {"reward": self.reward, "credit": self.credit, "compare": self.compare}
        more = {"seed": self.seed, "env_args": TASKS[self.task], "final_episodes": 0}
        return TrainConfig(**{**base, **own, **more})


def plan_cells(
    methods: Sequence[str], tasks: Sequence[str], seeds: Sequence[int], given: Mapping[str, Any]
) -> list[Cell]:
    """All cells, in the order in which they are trained.

    Args:
        methods: as of `Cell.of`.
        tasks: names of `TASKS`.
        seeds: of training.
        given: settings that the caller gives beside.

    Raises:
        ConfigError: a cell that is named twice, or a setting that the cells decide.
    """
    for name in _DECIDED:
        if name in given:
            raise ConfigError(f"--set: {name} is decided by the cells; leave it out.")
    if given.get("final_episodes", 0) != 0:
        raise ConfigError("--set: final_episodes: cells are scored on --episodes; leave it out.")
    cells = [Cell.of(method, task, seed) for seed in seeds for task in tasks for method in methods]
    for cell, times in Counter(cells).items():
        if times > 1:
            raise ConfigError(f"cell {cell.name} is named {times} times: once is enough.")
    return cells
