"""One reply as a row, and the rollout that rows are cut from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from finemem_env.session import Session

Message = dict[str, str]
Credit = Literal["step", "reward_to_go"]


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """One reply: a prompt of its own, and the reward of its step alone.

    Attributes:
        seed: of the episode; the rollouts of a seed are one context.
        step: t, from 0.
        rollout: which of the group's, from 0.
        messages: the prompt, the very list that `generate` got: instructions as system message,
            chunk and memory as user message.
        reply: what `generate` gave; "" where it gave None.
        reward: r_t, the attributed reward of the step, of `info["step_rewards"]`.
        valid: False where the reader failed or there was no reply: leave the row out.
        reward_to_go: sum of r_t and all later ones.
        valid_to_go: whether this row and all later ones are valid.
        score: of the episode, the mean score of its final questions.
        episode_id: of the episode.
    """

    seed: int
    step: int
    rollout: int
    messages: list[Message]
    reply: str
    reward: float
    valid: bool
    reward_to_go: float
    valid_to_go: bool
    score: float
    episode_id: str

    @property
    def group(self) -> tuple[int, int]:
        """(context, step): rows of a group are compared with one another."""
        return self.seed, self.step

    def signal(self, credit: Credit = "reward_to_go") -> float | None:
        """What rows of a group are compared by, None where the row is to be left out.

        Args:
            credit: the reward of the "step", or of it and all later ones ("reward_to_go").
        """
        if credit == "step":
            return self.reward if self.valid else None
        return self.reward_to_go if self.valid_to_go else None


@dataclass(slots=True)
class GroupRollout:
    """One episode while it is played."""

    seed: int
    number: int
    session: Session
    prompts: list[list[Message]] = field(default_factory=list)
    replies: list[str | None] = field(default_factory=list)

    def rows(self) -> list[ReplyRow]:
        """A row for every step, when the episode is over."""
        last = self.session.record.results[-1]
        rewards = list(map(float, last.step_rewards))
        pairs = zip(last.step_valid, self.replies, strict=True)
        valid = [bool(usable) and reply is not None for usable, reply in pairs]
        return [
            ReplyRow(
                seed=self.seed,
                step=t,
                rollout=self.number,
                messages=self.prompts[t],
                reply=self.replies[t] or "",
                reward=rewards[t],
                valid=valid[t],
                reward_to_go=math.fsum(rewards[t:]),
                valid_to_go=all(valid[t:]),
                score=float(last.terms["global"]),
                episode_id=self.session.episode.episode_id,
            )
            for t in range(len(rewards))
        ]
