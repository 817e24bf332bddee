"""The environments in Atropos: T groups of G for each episode, one for each step (0.4.0).

Atropos compares the scores within a group, so that every reply is compared with the others at its
step. Tokens and log-probabilities are the server's own: `server_type` has to be vllm or sglang.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

from finemem_env.extras import needs
from finemem_env.integrations.contexts import play_context
from finemem_env.integrations.rows import Credit, Message, ReplyRow

with needs("Atropos", "atropos"):
    from atroposlib.envs.base import BaseEnv, BaseEnvConfig, ScoredDataGroup
    from atroposlib.envs.server_handling.managed_server import SequenceNode
    from pydantic import Field


class MemoryAtroposConfig(BaseEnvConfig):
    """`--env.*`: what Atropos asks, and which episodes."""

    max_token_length: int = Field(default=8192, description="Longest prompt and reply, in tokens")
    reply_tokens: int = Field(default=1024, description="Longest reply, in tokens")
    env_id: str = Field(default="FineMem-AR-v0", description="Environment of the suite")
    env_args: dict[str, Any] = Field(default_factory=dict, description="Keywords of gym.make")
    credit: Credit = Field(
        default="reward_to_go", description="What a reply is paid: ReplyRow.signal"
    )
    eval_args: dict[str, Any] = Field(
        default_factory=lambda: {"split": "val"}, description="Other keywords for evaluations"
    )
    eval_episodes: int = Field(default=20, description="Episodes of an evaluation")


class MemoryAtroposEnv(BaseEnv):
    """Each item is a seed; `collect_trajectories` plays it G times."""

    name = "finemem"
    env_config_cls = MemoryAtroposConfig

    async def setup(self) -> None:
        """Start at seed 0."""
        self.next_seed = 0
        self.eval_metrics: list[tuple[str, float]] = []

    async def get_next_item(self) -> int:
        """The next seed."""
        self.next_seed += 1
        return self.next_seed - 1

    async def collect_trajectories(
        self, item: int
    ) -> tuple[list[ScoredDataGroup | None], list[Any]]:
        """Play the seed's episode; None where fewer than two replies of a step have a reward."""
        config = self.config
        steps = await play_context(
            config.env_id, item, config.group_size, self._reply, env_args=config.env_args
        )
        return [_group(step, config.credit) for step in steps], []

    async def evaluate(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """The mean score of greedy episodes, logged as `eval/score`."""
        config = self.config
        keywords = {**config.env_args, **config.eval_args}
        greedy = partial(self._reply, temperature=0.0)
        scores = []
        for seed in range(config.eval_episodes):
            steps = await play_context(config.env_id, seed, 1, greedy, env_args=keywords)
            if all(row.valid for ((row, _),) in steps):  # a failed call is not a wrong answer
                scores.append(steps[-1][0][0].score)
        if scores:
            self.eval_metrics.append(("eval/score", statistics.fmean(scores)))

    async def wandb_log(self, wandb_metrics: dict[str, Any] | None = None) -> None:
        """Log what `evaluate` found beside the rest."""
        metrics = dict(self.eval_metrics)
        self.eval_metrics = []
        await super().wandb_log({**(wandb_metrics or {}), **metrics})

    async def _reply(
        self, messages: list[Message], temperature: float = 1.0
    ) -> tuple[str, SequenceNode]:
        async with self.server.managed_server(tokenizer=self.tokenizer) as managed:
            done = await managed.chat_completion(
                messages=messages,
                n=1,
                max_tokens=self.config.reply_tokens,
                temperature=temperature,
            )
            (node,) = managed.get_state()["nodes"]
        return done.choices[0].message.content or "", node


def _group(step: list[tuple[ReplyRow, SequenceNode]], credit: Credit) -> ScoredDataGroup | None:
    """The replies to one (context, step); those without a reward are left out."""
    valid = [(row, node) for row, node in step if row.signal(credit) is not None]
    if len(valid) < 2:
        return None
    return ScoredDataGroup(
        tokens=[node.tokens for _, node in valid],
        masks=[node.masked_tokens for _, node in valid],
        scores=[row.signal(credit) for row, _ in valid],
        inference_logprobs=[node.logprobs for _, node in valid],
        messages=[[*row.messages, {"role": "assistant", "content": row.reply}] for row, _ in valid],
        group_overrides={"group_size": len(valid)},
    )
