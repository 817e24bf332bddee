"""The environments as a verifiers package: tasks, and a harness that asks once for every chunk.

Run with verifiers 0.4.0 (its v1 interface). `examples/finemem_v1` is the package that `vf-eval`
finds by its name. A trace has one branch for each chunk; `trace.info["turn_rewards"]` has the
reward of each, and `trace.info["finemem"]` what `step_info` tells.
`prime_rl.step_advantages` is the credit that prime-rl can assign to such traces.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

from finemem_env.errors import BackendError
from finemem_env.extras import needs
from finemem_env.integrations.infos import step_info
from finemem_env.integrations.sessions import request_messages, session_env

with needs("verifiers", "verifiers"):
    import verifiers.v1 as vf
    from openai import AsyncOpenAI


class MemoryData(vf.TaskData):
    """One episode: the id of the environment, its keywords, the seed."""

    env_id: str
    env_args: dict[str, Any]
    seed: int


class MemoryTask(vf.Task[MemoryData]):
    """Reads an episode's text chunk by chunk and keeps a memory that answers questions."""

    @vf.reward
    async def step_rewards(self, trace: vf.Trace) -> float:
        """The episode's return: the sum over its steps."""
        return math.fsum(trace.info["turn_rewards"])

    @vf.metric
    async def final_score(self, trace: vf.Trace) -> float:
        """The mean score of the final questions."""
        return float(trace.info["finemem"]["score"])


class MemoryTasksetConfig(vf.TasksetConfig):
    """`--env.taskset.*`: which episodes."""

    env_id: str = "FineMem-AR-v0"
    """Environment of the suite."""
    env_args: dict[str, Any] = {}  # noqa: RUF012 (pydantic copies it)
    """Keywords of `gym.make`."""
    first_seed: int = 0
    """Seed of the first task; the others follow."""
    num_tasks: int = 1000
    """How many."""


class MemoryTaskset(vf.Taskset[MemoryTask, MemoryTasksetConfig]):
    """One task for each seed."""

    def load(self) -> Iterator[MemoryTask]:
        """Yield the tasks."""
        config = self.config
        session_env(config.env_id, config.env_args)  # refuses now what every rollout would refuse
        for seed in range(config.first_seed, config.first_seed + config.num_tasks):
            name = f"{config.env_id}/{seed}"
            data = MemoryData(
                name=name,
                prompt=f"Episode {name}.",  # for the record: every step has a request of its own
                env_id=config.env_id,
                env_args=config.env_args,
                seed=seed,
            )
            yield MemoryTask(data, config.task)


class MemoryHarness(vf.Harness[vf.HarnessConfig]):
    """Plays an episode in this process: for each chunk one request of two messages, no history."""

    APPENDS_SYSTEM_PROMPT = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: MemoryData,
    ) -> vf.ProgramResult:
        """Play the episode.

        Raises:
            BackendError: the reader failed at a step: an error of the rollout, not a wrong answer.
        """
        env = session_env(data.env_id, data.env_args)
        text, info = env.reset(seed=data.seed)
        done = False
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, max_retries=0) as client:
            while not done:
                messages: Any = request_messages(text, env.instructions)
                reply = await client.chat.completions.create(model=ctx.model, messages=messages)
                action = reply.choices[0].message.content or ""
                # In a thread, since a reader may be a model behind a network.
                text, _, done, _, info = await asyncio.to_thread(env.step, action)
        learnt = step_info(info)
        failed = [step for step, valid in enumerate(learnt["step_reward_valid"]) if not valid]
        if failed:
            raise BackendError(f"{data.name}: the reader failed at steps {failed}: no reward.")
        trace.info["turn_rewards"] = learnt["step_rewards"]
        trace.info["finemem"] = learnt
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")
