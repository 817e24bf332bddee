"""Agents that go wrong in one episode, importable from other processes."""

from __future__ import annotations

import os
import time
from typing import Any


class Breaks:
    """In every episode whose id ends in `when`: hang, die or raise; stores nothing otherwise."""

    def __init__(self, how: str, when: str = "") -> None:
        self.how, self.when = how, when
        self.now = False

    def reset(self, info: Any) -> None:  # noqa: ANN401
        self.now = info["episode_id"] == self.when

    def act(self, observation: str, info: Any) -> str:  # noqa: ANN401
        if self.now and self.how == "hang":
            time.sleep(600)
        if self.now and self.how == "die":
            os._exit(7)
        if self.now and self.how == "exit":
            raise SystemExit(3)
        return '[{"op": "SKIP"}]'


class Curious:
    """Raises when it is told what it must not know."""

    def reset(self, info: Any) -> None:  # noqa: ANN401
        self.act("", info)

    def act(self, observation: str, info: Any) -> str:  # noqa: ANN401
        known = {"answers", "chunk_answers", "reward_terms", "evidence_credit", "score"} | {
            "step_rewards",
            "step_reward_valid",
        }
        if known & set(info):
            raise AssertionError(f"told {sorted(known & set(info))}")
        return '[{"op": "SKIP"}]'


class Unreachable:
    """A model that cannot be reached."""

    def reset(self, info: Any) -> None:  # noqa: ANN401
        """Nothing."""

    def act(self, observation: str, info: Any) -> str:  # noqa: ANN401
        from finemem_env.errors import BackendError

        raise BackendError("no connection")
