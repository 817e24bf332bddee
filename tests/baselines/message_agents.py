"""Agents in MemoryAgentBench's form, good and bad, importable from other processes."""

from __future__ import annotations

import time
from typing import Any

from finemem_env.errors import BackendError


class Notebook:
    """Keeps every sentence; answers with the one that shares most words with the question."""

    def __init__(self, keep: int = 1000) -> None:
        self.keep = keep
        self.sentences: list[str] = []

    def send_message(self, text: str, memorizing: bool = False) -> Any:  # noqa: ANN401
        if memorizing:
            self.sentences = [*self.sentences, *text.split(". ")][-self.keep :]
            return "Noted."
        asked = set(text.casefold().strip("?").split())
        best = max(self.sentences, key=lambda one: len(asked & set(one.casefold().split())))
        return {"output": best, "input_len": 3}


class Bad:
    """Goes wrong in one way: where `how` says, on questions or while it memorises."""

    def __init__(self, how: str, memorizing: bool = False) -> None:
        self.how, self.when = how, memorizing

    def send_message(self, message: str, memorizing: bool) -> Any:  # noqa: ANN401
        if memorizing != self.when:
            return "fine"
        if self.how == "raises":
            raise KeyError("lost")
        if self.how == "exits":
            raise SystemExit(3)
        if self.how == "unreachable":
            raise BackendError("no connection")
        if self.how == "hangs":
            time.sleep(600)
        return {"nothing": None, "number": 7, "no output": {"reply": "x"}}.get(self.how)


class Talkative:
    """Takes the numbers too; writes down what it is sent, and replies at length."""

    said: list[tuple[str, bool, int | None, int | None]] = []

    def send_message(
        self,
        message: str,
        memorizing: bool = False,
        query_id: int | None = None,
        context_id: int | None = None,
    ) -> str:
        self.said.append((message, memorizing, query_id, context_id))
        return "word " * 500


class Mute:
    """Has no send_message."""
