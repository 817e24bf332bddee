"""Lessons in the short forms that name numbered sentences, on chunks of real and generated text.

The teacher is unselective: whatever it keeps, drops and replaces is drawn at random, with no look
at questions or at words. A model learns the form of a reply from it, that numbers are those of the
chunk and of the visible items, and that what is kept must fit the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from finemem_env.errors import ConfigError
from finemem_env.prompts import View, parse_observation
from finemem_env.text import approx_tokens

CHUNKS = 6  # of an episode's lessons; whole texts are longer, and left after so many


@dataclass(frozen=True, slots=True)
class Text:
    """Where chunks come from: an environment, and what its source needs to fit short chunks."""

    env: str
    env_args: Mapping[str, Any]


TEXTS = {
    "squad": Text("FineMem-AR-v0", {"num_chunks": CHUNKS}),
    # Both gold paragraphs of a question must find room.
    "hotpotqa": Text("FineMem-AR-v0", {"num_chunks": 8, "difficulty": {"distractors": 0}}),
    "fairytaleqa": Text("FineMem-LRU-v0", {}),
    "synthetic": Text("FineMem-AR-v0", {"num_chunks": CHUNKS}),
}
# Short chunks, a memory of a third of the text, two of its items in view.
REFERENCE_ENV_ARGS: dict[str, Any] = {
    "line_numbers": True,
    "chunk_tokens": [120, 180],
    "memory_budget": 0.3,
    "memory_view": "recent:2",
}


@dataclass(frozen=True, slots=True)
class ReferenceLesson:
    """One observation, and replies of the teacher to it."""

    observation: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unselective:
    """Keeps, drops and replaces at random, within the budget.

    Attributes:
        keep: probability of keeping a sentence.
        edit: probability of touching one of the visible items where nothing asks for it.
    """

    keep: float = 0.3
    edit: float = 0.15

    def act(self, view: View, rng: np.random.Generator) -> str:
        """Operations for one view of a chunk with numbered sentences."""
        lines = view.lines or ()
        kept = [number for number in range(1, len(lines) + 1) if rng.random() < self.keep]
        items = [view.items[place] for place in rng.permutation(len(view.items))]
        room = np.inf if view.budget is None else view.budget - view.memory_tokens
        reply = []
        if items and rng.random() < self.edit:
            reply.append(_edit(items.pop(), lines, kept, room, rng))
        need = sum(approx_tokens(lines[number - 1]) for number in kept)
        while kept and items and need > room:
            item_id, content = items.pop()
            reply.append(f"DROP {item_id}")
            room += approx_tokens(content)
        while kept and need > room:
            need -= approx_tokens(lines[kept.pop(int(rng.integers(len(kept)))) - 1])
        if kept:
            reply.append("KEEP " + " ".join(map(str, kept)))
        return "\n".join(reply) or "SKIP"


def _edit(
    item: tuple[int, str],
    lines: Sequence[str],
    kept: list[int],
    room: float,
    rng: np.random.Generator,
) -> str:
    """A DROP of the item, or one of the kept sentences in its place, if that fits."""
    item_id, content = item
    if kept and rng.random() < 0.5:
        number = kept[int(rng.integers(len(kept)))]
        if approx_tokens(lines[number - 1]) <= room + approx_tokens(content):
            kept.clear()
            return f"REPLACE {item_id} WITH {number}"
    return f"DROP {item_id}"


def reference_lessons(
    texts: Sequence[str],
    env_args: Mapping[str, Any],
    teacher: Unselective,
    seed: int,
    replies: int = 1,
) -> Iterator[ReferenceLesson]:
    """Endless lessons, from each text in turn; the teacher's first reply is acted upon.

    Args:
        texts: names of `TEXTS`; their split "train" is read.
        env_args: keywords of the environments; `line_numbers` among them.
        teacher: what replies.
        seed: of episodes and replies.
        replies: of the teacher to one observation: they cost little more than one, since the prompt
            is read once.

    Raises:
        ConfigError: no texts.
        DataError: the files of a source are not there.
    """
    if not texts:
        raise ConfigError("texts: expected at least one source.")
    rng = np.random.default_rng(seed)
    settings = {"reward": "outcome", "chunk_questions": 0, "split": "train", **env_args}
    envs = [
        gym.make(TEXTS[name].env, source=name, **TEXTS[name].env_args, **settings).unwrapped
        for name in texts
    ]
    while True:
        for env in envs:
            yield from _episode(env, teacher, rng, replies)


def _episode(
    env: Any,  # noqa: ANN401
    teacher: Unselective,
    rng: np.random.Generator,
    replies: int,
) -> Iterator[ReferenceLesson]:
    """The lessons of one episode, which ends before its questions are asked."""
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    for _ in range(CHUNKS):
        view = parse_observation(observation)
        actions = tuple(teacher.act(view, rng) for _ in range(replies))
        yield ReferenceLesson(observation, actions)
        if view.chunk_index >= view.num_chunks - 1:
            return
        observation, *_ = env.step(actions[0])
