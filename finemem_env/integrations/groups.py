"""Groups of rollouts as rows: what every trainer that compares replies to one prompt needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from finemem_env.errors import ConfigError
from finemem_env.integrations.rows import GroupRollout, Message, ReplyRow
from finemem_env.integrations.sessions import request_messages
from finemem_env.operations import render
from finemem_env.registration import make_rollout_env
from finemem_env.session import run_step
from finemem_env.types import Op, Operation
from finemem_env.vector import MemoryVectorEnv

Generate = Callable[[list[list[Message]]], Sequence[str | None]]
_SKIP = render([Operation(Op.SKIP)])


def play_groups(
    env_id: str,
    seeds: Sequence[int],
    group_size: int,
    generate: Generate,
    *,
    env_args: Mapping[str, Any] | None = None,
    instructions: bool = True,
) -> list[ReplyRow]:
    """Play `group_size` rollouts of each seed's episode, all in step; one batch of replies a step.

    Args:
        env_id: of this suite, or registered with its vector entry point.
        seeds: one for each context, all different.
        group_size: G, rollouts of each context.
        generate: one reply for each list of messages; None where there is none (the step is then a
            SKIP and its row not valid).
        env_args: keywords of `gym.make`.
        instructions: put the environment's instructions before the observation.

    Returns:
        A row for every reply, by seed, step and rollout: each run of `group_size` rows is a group.

    Raises:
        ConfigError: a repeated seed, a group below 1, an id that is not ours, or not one reply for
            each prompt.
    """
    if len(set(seeds)) < len(seeds) or group_size < 1:
        raise ConfigError(
            f"play_groups: expected different seeds and group_size of at least 1, got {[*seeds]} "
            f"and {group_size}. A seed is one context, played group_size times."
        )
    if not seeds:
        return []
    env = make_rollout_env(env_id, dict(env_args or {}), len(seeds) * group_size)
    starts = [(seed, number) for seed in seeds for number in range(group_size)]
    env.reset(seed=[seed for seed, _ in starts])
    rollouts = [
        GroupRollout(*start, session) for start, session in zip(starts, env.sessions, strict=True)
    ]
    live = rollouts
    while live := [rollout for rollout in live if not rollout.session.terminated]:
        _step(env, live, generate, instructions)
    env.close()
    order = {seed: place for place, seed in enumerate(seeds)}
    rows = [row for rollout in rollouts for row in rollout.rows()]
    return sorted(rows, key=lambda row: (order[row.seed], row.step, row.rollout))


def _step(
    env: MemoryVectorEnv, live: Sequence[GroupRollout], generate: Generate, instructions: bool
) -> None:
    """One step of every episode that is not over."""
    shown = env.instructions if instructions else ""
    prompts = [request_messages(rollout.session.observe(), shown) for rollout in live]
    replies = list(generate(prompts))
    if len(replies) != len(live) or not all(isinstance(reply, str | None) for reply in replies):
        raise ConfigError(
            f"generate: expected {len(live)} texts, one for each list of messages, got "
            f"{[type(reply).__name__ for reply in replies]}."
        )
    for rollout, prompt, reply in zip(live, prompts, replies, strict=True):
        rollout.prompts.append(prompt)
        rollout.replies.append(reply)
    actions = [_SKIP if reply is None else reply for reply in replies]
    factory = env.factory
    run_step([rollout.session for rollout in live], actions, factory.reader, factory.judge)
