"""One context played by a group whose replies come from an asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from finemem_env.integrations.groups import play_groups
from finemem_env.integrations.rows import Message, ReplyRow

Kept = TypeVar("Kept")
Ask = Callable[[list[Message]], Awaitable[tuple[str | None, Kept]]]


async def play_context(
    env_id: str,
    seed: int,
    group_size: int,
    ask: Ask[Kept],
    *,
    env_args: Mapping[str, Any] | None = None,
) -> list[list[tuple[ReplyRow, Kept]]]:
    """`play_groups` for one seed, beside the event loop: the requests of a step run at once.

    Args:
        env_id: of this suite.
        seed: of the episode.
        group_size: G, rollouts of it.
        ask: the reply to a list of messages, or None where there is none, and what a trainer wants
            to keep of it, such as tokens and their log-probabilities.
        env_args: keywords of `gym.make`.

    Returns:
        T groups of G: the row of each reply and what was kept of it.

    Raises:
        ConfigError: see `play_groups`.
    """
    loop = asyncio.get_running_loop()
    kept: list[Kept] = []

    async def at_once(prompts: list[list[Message]]) -> list[tuple[str | None, Kept]]:
        return list(await asyncio.gather(*map(ask, prompts)))

    def generate(prompts: list[list[Message]]) -> list[str | None]:
        made = asyncio.run_coroutine_threadsafe(at_once(prompts), loop).result()
        kept.extend(own for _, own in made)
        return [text for text, _ in made]

    rows = await asyncio.to_thread(
        play_groups, env_id, [seed], group_size, generate, env_args=env_args
    )
    # One seed has one length: rows and replies are both ordered by step, then by rollout.
    pairs = list(zip(rows, kept, strict=True))
    return [pairs[start : start + group_size] for start in range(0, len(pairs), group_size)]
