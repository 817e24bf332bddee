"""The environments in verl: an agent loop that asks once for every chunk (verl 0.9.1, `use_v1`).

    actor_rollout_ref.rollout.agent:
      default_agent_loop: finemem
      agent_loop_manager_class: finemem_env.integrations.verl.StepManager

verl gives all outputs of a rollout the reward of the last and groups them by prompt. The workers of
`StepManager` keep the reward of each and give every (prompt, step) a uid, so that verl's GRPO
compares each reply with the others at its step. `dataset_rows` makes the rows of the dataset.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from finemem_env.extras import needs
from finemem_env.integrations.rows import Credit
from finemem_env.integrations.sessions import request_messages, session_env

with needs("verl", "verl"):
    import ray
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput, register
    from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ
    from verl.utils.profiler import simple_timer

_Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class.__ray_actor_class__


def dataset_rows(
    env_id: str,
    seeds: Sequence[int],
    env_args: Mapping[str, Any] | None = None,
    *,
    credit: Credit = "reward_to_go",
) -> list[dict[str, Any]]:
    """Rows for verl's dataset (write them as parquet), one for each seed; see `ReplyRow.signal`."""
    keywords = json.dumps(dict(env_args or {}))
    return [
        {
            "agent_name": "finemem",
            "data_source": env_id,
            "prompt": [{"role": "user", "content": f"{env_id}/{seed}"}],  # for the record
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {
                "index": seed,
                "env_id": env_id,
                "seed": seed,
                "env_args": keywords,
                "credit": credit,
            },
        }
        for seed in seeds
    ]


@register("finemem")
class MemoryAgentLoop(AgentLoopBase):
    """Plays one rollout: an output for each step whose reward is known (no reader failed)."""

    async def run(
        self,
        sampling_params: dict[str, Any],
        **row: Any,  # noqa: ANN401
    ) -> list[AgentLoopOutput]:
        """Play the row's episode."""
        task = row["extra_info"]
        env = session_env(task["env_id"], json.loads(task["env_args"]))
        text, info = env.reset(seed=int(task["seed"]))
        outputs: list[AgentLoopOutput] = []
        usable: list[AgentLoopOutput] = []
        done = False
        while not done:
            messages = request_messages(text, env.instructions)
            outputs.append(await self._output(messages, sampling_params))
            reply = self.tokenizer.decode(outputs[-1].response_ids, skip_special_tokens=True)
            # In a thread, since a reader may be a model behind a network.
            text, _, done, _, info = await asyncio.to_thread(env.step, reply)
        rewards, valid = info["step_rewards"], info["step_reward_valid"]
        for step, output in enumerate(outputs):
            end = step + 1 if task["credit"] == "step" else len(outputs)
            output.reward_score = math.fsum(rewards[step:end])
            output.extra_fields.update(step=step, score=float(info["score"]))
            output.extra_fields.update(turn_scores=[], tool_rewards=[])  # keys verl expects
            if all(valid[step:end]):
                usable.append(output)
        return usable

    async def _output(
        self, messages: list[dict[str, str]], sampling_params: dict[str, Any]
    ) -> AgentLoopOutput:
        metrics: dict[str, Any] = {}
        prompt = await self.ct_build_initial_tokens(messages)
        with simple_timer("generate_sequences", metrics):
            made = await self.server_manager.generate(
                request_id=uuid4().hex, prompt_ids=prompt, sampling_params=sampling_params
            )
        merged, mask, logprobs = await self.ct_merge_assistant_token(
            prompt,
            made.token_ids,
            [],
            [] if made.log_probs else None,
            assistant_logprobs=made.log_probs or None,
        )
        start, longest = len(merged.token_ids) - len(mask), self.rollout_config.response_length
        return AgentLoopOutput(
            prompt_ids=merged.token_ids[:start],
            response_ids=merged.token_ids[start:][:longest],
            response_mask=mask[:longest],
            response_logprobs=logprobs[:longest] if logprobs else None,
            num_turns=2,
            metrics=metrics,
            extra_fields=dict(made.extra_fields),
        )


class StepWorker(_Worker):
    """Writes every output under a uid of its own (prompt, step), with its own reward."""

    async def _agent_loop_postprocess(
        self,
        output: list[AgentLoopOutput],
        validate: bool,
        **row: Any,  # noqa: ANN401
    ) -> None:
        if validate:  # one row for each episode, whose reward is its score
            for step in output[-1:]:
                step.reward_score = step.extra_fields["score"]
            await super()._agent_loop_postprocess(output[-1:], validate, **row)
            return
        for step in output:
            # Keys become {prompt}_{step}_{session}_0: the first part is what the buffer looks for.
            uid = f"{row['uid']}_{step.extra_fields['step']}"
            await super()._agent_loop_postprocess([step], validate, **{**row, "uid": uid})


class StepManager(AgentLoopManagerTQ):
    """verl's manager, with `StepWorker`."""

    def __init__(self, *args: Any, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **keywords)
        self.agent_loop_workers_class = ray.remote(StepWorker)
