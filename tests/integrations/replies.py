"""Replies that differ from one another, what the plain environment says of them, and the page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from finemem_env.integrations.rows import Credit
from tests.documents import PAGES, blocks

ENV = "FineMem-AR-v0"
ARGS: dict[str, Any] = {"num_chunks": 3, "difficulty": {"facts_per_chunk": 2}}


class Notes:
    """Keeps the beginning of the chunk: more of it every time that the same prompt comes."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, prompt: str) -> str:
        self.seen[prompt] += 1
        chunk = prompt.partition("<chunk")[2].partition("</chunk>")[0].partition(">\n")[2]
        length = 60 * self.seen[prompt]
        return json.dumps([{"op": "INSERT", "content": chunk[:length]}])


def replayed(seed: int, replies: Sequence[str]) -> tuple[list[str], list[float]]:
    """The observations and step rewards of the plain environment under these replies."""
    env = gym.make(ENV, **ARGS)
    text, info = env.reset(seed=seed)
    texts = [text]
    for reply in replies:
        text, _, _, _, info = env.step(reply)
        texts.append(text)
    return texts[:-1], list(info["step_rewards"])


def paid(rewards: Sequence[float], credit: Credit) -> list[float]:
    """What the replies of an episode are paid."""
    steps = range(len(rewards))
    return [sum(rewards[t : t + 1] if credit == "step" else rewards[t:]) for t in steps]


def run_page(section: str, address: str = "") -> dict[str, Any]:
    """Run the Python of a section of docs/integrations.md; returns its names.

    Args:
        section: its title.
        address: takes the place of the server's on the page.
    """
    text = PAGES["docs/integrations.md"].partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (code,) = (block.text for block in blocks(text) if block.language == "py")
    names: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:8000", address), names)
    return names
