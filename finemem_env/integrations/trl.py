"""TRL's GRPOTrainer with a prompt, a reward and a baseline for every step.

A row of the data set is "seed step". TRL repeats it G times, and `StepTask.roll_out` answers with
the replies of that step in G rollouts of that episode: TRL's groups are then (context, step).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from finemem_env.errors import ConfigError
from finemem_env.extras import needs
from finemem_env.integrations.groups import play_groups
from finemem_env.integrations.rows import Credit, Message
from finemem_env.registration import make_rollout_env

_WHAT = "finemem_env.integrations.trl"


@dataclass(frozen=True)
class StepTask:
    """What a GRPOTrainer is given to train on the steps of an environment.

    Args:
        env_id: of the environment; all its episodes must have one length (`num_chunks`).
        group_size: G, rollouts of each context.
        contexts: episodes of an update, on each process.
        updates: how many; each has new episodes.
        env_args: keywords of `gym.make`.
        instructions: put the environment's instructions before the observation.
        credit: what a row is paid, as in `ReplyRow.signal`.
        seed: of the first episode; the others count up.
    """

    env_id: str
    group_size: int = 8
    contexts: int = 1
    updates: int = 100
    env_args: Mapping[str, Any] = field(default_factory=dict)
    instructions: bool = True
    credit: Credit = "reward_to_go"
    seed: int = 0

    @cached_property
    def num_chunks(self) -> int:
        """T, the steps of the first episode, which all others must have."""
        env = make_rollout_env(self.env_id, dict(self.env_args), 1)
        env.reset(seed=self.seed)
        return env.sessions[0].num_chunks

    def dataset(self) -> Any:  # noqa: ANN401 - TRL and what it brings are not typed
        """A row for each (seed, step) of all updates, in order."""
        with needs(_WHAT, "trl"):
            from datasets import Dataset
        count = self.updates * self.contexts * int(os.environ.get("WORLD_SIZE", "1"))
        seeds = range(self.seed, self.seed + count)
        rows = [f"{seed} {step}" for seed in seeds for step in range(self.num_chunks)]
        return Dataset.from_dict({"prompt": rows})

    def config(self, output_dir: str, *, micro_batches: int = 1, **keywords: Any) -> Any:  # noqa: ANN401
        """A GRPOConfig whose batches are whole episodes: `contexts`·T·G rows a process.

        The rows are trained on in `micro_batches` parts; the other keywords are GRPOConfig's own.

        Raises:
            ConfigError: the rows cannot be divided.
        """
        rows = self.contexts * self.num_chunks * self.group_size
        if micro_batches < 1 or rows % micro_batches:
            raise ConfigError(f"micro_batches: expected a divisor of {rows}, got {micro_batches}.")
        with needs(_WHAT, "trl"):
            from trl.trainer.grpo_config import GRPOConfig
        return GRPOConfig(
            output_dir,
            per_device_train_batch_size=rows // micro_batches,
            gradient_accumulation_steps=micro_batches,
            num_generations=self.group_size,
            shuffle_dataset=False,
            **{"max_steps": self.updates, "report_to": [], **keywords},
        )

    def roll_out(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any] | None]:  # noqa: ANN401
        """The `rollout_func`: plays the episodes that `prompts` name with the trainer's model."""
        sampled: dict[int, tuple[Any, ...]] = {}

        def generate(messages: list[list[Message]]) -> list[str]:
            asked, _, _ = trainer._tokenize_prompts(messages)
            replies, logprobs = trainer._generate_single_turn(asked, None, {}, 1)
            sample = zip(asked, replies, logprobs or [None] * len(asked), strict=True)
            sampled.update(zip(map(id, messages), sample, strict=True))
            return list(trainer.processing_class.batch_decode(replies, skip_special_tokens=True))

        seeds = [int(seed) for seed in dict.fromkeys(prompt.split()[0] for prompt in prompts)]
        played: dict[str, Any] = {"env_args": self.env_args, "instructions": self.instructions}
        rows = play_groups(self.env_id, seeds, self.group_size, generate, **played)
        if [f"{row.seed} {row.step}" for row in rows] != list(prompts):
            raise ConfigError(
                f"{_WHAT}: expected whole episodes of {self.num_chunks} steps, each "
                f"{self.group_size} times and in order, got {list(prompts)}. Take config() and "
                "dataset() of this task, and a fixed num_chunks."
            )
        asked, replies, logprobs = zip(*[sampled[id(row.messages)] for row in rows], strict=True)
        return {
            "prompt_ids": list(asked),
            "completion_ids": list(replies),
            "logprobs": None if None in logprobs else list(logprobs),
            "step_reward": [row.signal(self.credit) for row in rows],
            "score": [row.score for row in rows],
        }

    @staticmethod
    def reward(step_reward: list[Any], score: list[float], **told: Any) -> list[Any]:  # noqa: ANN401
        """The reward function: what `roll_out` found; None, hence no advantage, if not valid."""
        told["log_metric"]("score", sum(score) / len(score))
        return step_reward
