"""The environments in ART: T trajectory groups of G, one for each step (openpipe-art 0.5.23).

    groups = await gather_steps(model, "FineMem-AR-v0", seed=7, group_size=8)
    await model.train(groups)

ART compares the trajectories of a group, so that every reply is compared with the others at its
step. Each trajectory is one request of two messages and its reply, without history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finemem_env.extras import needs
from finemem_env.integrations.contexts import play_context
from finemem_env.integrations.rows import Credit, Message, ReplyRow

with needs("ART", "art"):
    import art
    from openai.types.chat.chat_completion import Choice


async def gather_steps(
    model: art.Model,
    env_id: str,
    seed: int,
    group_size: int,
    *,
    env_args: Mapping[str, Any] | None = None,
    sampling: Mapping[str, Any] | None = None,
    credit: Credit = "reward_to_go",
) -> list[art.TrajectoryGroup]:
    """Play one episode `group_size` times with the model's own client.

    Args:
        model: registered, so that it has a client.
        env_id: of this suite.
        seed: of the episode.
        group_size: G.
        env_args: keywords of `gym.make`.
        sampling: keywords of the chat completions, such as temperature and max_tokens.
        credit: what a reply is paid, as in `ReplyRow.signal`.

    Returns:
        One group for each step, without the replies that have no reward since the reader failed;
        steps of which fewer than two are left are not there.

    Raises:
        ConfigError: see `play_groups`.
    """
    client = model.openai_client()
    keywords = {"logprobs": True, "max_tokens": 1024, **(sampling or {})}

    async def ask(messages: list[Message]) -> tuple[str, Choice]:
        done = await client.chat.completions.create(
            model=model.get_inference_name(), messages=messages, **keywords
        )
        (choice,) = done.choices
        return choice.message.content or "", choice

    steps = await play_context(env_id, seed, group_size, ask, env_args=env_args)
    groups = [
        [
            _trajectory(row, choice, paid)
            for row, choice in step
            if (paid := row.signal(credit)) is not None
        ]
        for step in steps
    ]
    return [art.TrajectoryGroup(group) for group in groups if len(group) > 1]


def _trajectory(row: ReplyRow, choice: Choice, paid: float) -> art.Trajectory:
    return art.Trajectory(
        messages_and_choices=[*row.messages, choice],
        reward=paid,
        metrics={"score": row.score},
        metadata={"seed": row.seed, "step": row.step, "rollout": row.rollout},
    )
