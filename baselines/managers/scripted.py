"""Agents without a model: floors and simple policies that a manager must beat.

None of them knows the questions. Each says in its docstring what it does when the memory is full.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from baselines.agents import Info
from finemem_env.errors import at_least
from finemem_env.operations import concise
from finemem_env.prompts import View, parse_observation
from finemem_env.session import limits_of
from finemem_env.text import approx_tokens, normalise, split_sentences
from finemem_env.text.sentence_ends import CLOSING, STOPS
from finemem_env.types import Limits, Op, Operation

# Sizes of what an agent writes where the environment does not limit it.
PIECE_TOKENS = 4096
PIECES = 64

_PARAGRAPH = re.compile(r"\n\s*\n")


def skip(lines: Sequence[str] | None = None) -> str:
    """The action that leaves the memory as it is."""
    return concise([Operation(Op.SKIP)], lines)


def reply(operations: Sequence[Operation], lines: Sequence[str] | None = None) -> str:
    """`operations` as an action; SKIP when there are none.

    Where the chunk's sentences have numbers (`lines`), what consists of them is named by these.
    """
    return concise(operations or [Operation(Op.SKIP)], lines)


def inserts(texts: Iterable[str], view: View | None = None) -> list[Operation]:
    """One INSERT per text, without repetitions and without what `view` shows in memory already."""
    held = {normalise(content) for _, content in view.items} if view is not None else set()
    fresh = {normalise(text): text for text in texts}
    return [
        Operation(Op.INSERT, content=text) for key, text in fresh.items() if key and key not in held
    ]


def stored_lines(view: View) -> list[str]:
    """The sentences of the items in view.

    They were written one a line; named by numbers, they are joined as the environment does it.
    """
    if view.lines is None:
        return [line for _, text in view.items for line in text.split("\n")]
    return [line for _, text in view.items for line in split_sentences(text)]


def group(texts: Sequence[str], limit: int) -> list[str]:
    """Join neighbours, evenly, so that at most `limit` texts are left."""
    size = max(1, -(-len(texts) // max(1, limit)))
    return ["\n".join(texts[start : start + size]) for start in range(0, len(texts), size)]


def pack(sentences: Sequence[str], limit: int, separator: str = "\n") -> list[str]:
    """Join neighbouring sentences into pieces of at most `limit` tokens each (if they fit)."""
    pieces: list[str] = []
    room = 0
    for sentence in sentences:
        cost = approx_tokens(sentence) + 1
        if pieces and cost <= room:
            pieces[-1] += separator + sentence
            room -= cost
        else:
            pieces.append(sentence)
            room = limit - cost
    return pieces


def fitting(texts: Iterable[str], room: float, joint: int = 0) -> list[str]:
    """The texts, best first, that fit into `room` tokens, with `joint` for each."""
    kept = []
    for text in texts:
        cost = approx_tokens(text) + joint
        if cost <= room:
            room -= cost
            kept.append(text)
    return kept


def whole(chunk: str, limit: int) -> list[str]:
    """The chunk as one text, or as few as a limit of `limit` tokens allows."""
    return [chunk] if approx_tokens(chunk) <= limit else pack(split_sentences(chunk), limit)


def within(operations: Sequence[Operation], limits: Limits) -> list[Operation]:
    """`operations` without texts that are too long, and no more than are allowed in one step."""
    most = limits.max_item_tokens
    short = [op for op in operations if most is None or approx_tokens(op.content or "") <= most]
    return short[: limits.max_operations]


class Reactive:
    """Base of agents whose reply is a function of what they see now.

    `item_tokens` and `max_operations` are the environment's limits on one item and one step.
    """

    item_tokens = PIECE_TOKENS
    max_operations = PIECES

    def reset(self, info: Info) -> None:
        """Nothing to forget."""

    def act(self, observation: str, info: Info) -> str:
        """Reply to the observation; SKIP when the episode is over."""
        view, limits = parse_observation(observation), limits_of(info)
        self.item_tokens = limits.max_item_tokens or PIECE_TOKENS
        self.max_operations = limits.max_operations or PIECES
        if view.chunk is None:
            return skip()
        return reply(within(self.operations(view, view.chunk), limits), view.lines)

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """What to do about `chunk` with the memory as seen in `view`."""
        raise NotImplementedError


class Skip(Reactive):
    """Stores nothing."""

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """No operation."""
        return []


class StoreChunks(Reactive):
    """Stores every chunk whole. When the memory is full, later chunks are refused."""

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """INSERT the chunk."""
        return inserts(whole(chunk, self.item_tokens), view)


class StoreSentences(Reactive):
    """Stores every sentence as an item of its own. When the memory is full, the rest is refused.

    A chunk of more sentences than operations are allowed is stored in groups of neighbours.
    """

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """INSERT the sentences."""
        return inserts(group(split_sentences(chunk), self.max_operations), view)


class Fifo(Reactive):
    """Stores every chunk whole and deletes the oldest items it sees to make room.

    A chunk larger than the whole budget is cut to its first sentences.
    """

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """DELETE the oldest, then INSERT the chunk."""
        pieces = whole(chunk, self.item_tokens)
        if view.budget is None:
            return inserts(pieces, view)
        need = sum(map(approx_tokens, pieces))
        if need > view.budget:
            pieces = pack(split_sentences(chunk), min(view.budget, self.item_tokens))[:1]
            need = approx_tokens(pieces[0])
        free = view.budget - view.memory_tokens
        deleted: list[Operation] = []
        for item_id, content in view.items:
            if free >= need:
                break
            deleted.append(Operation(Op.DELETE, item_id=item_id))
            free += approx_tokens(content)
        return deleted + inserts(pieces)


class FirstSentence(Reactive):
    """Stores the first full sentence of every paragraph; paragraphs are set apart by blank lines.

    Title lines, which end without a mark, and the line that says the chunk's date do not count.
    When the memory is full, the rest is refused.
    """

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """INSERT the first sentences."""
        paragraphs = [split_sentences(part) for part in _PARAGRAPH.split(chunk)]
        firsts = [_first(part, view.time) for part in paragraphs if part]
        return inserts(group(firsts, self.max_operations), view)


def _first(sentences: Sequence[str], time: str | None) -> str:
    for sentence in sentences:
        ending = sentence.rstrip(CLOSING)[-1:]
        if ending in STOPS and not (time and time in sentence):
            return sentence
    return sentences[0]


class Random(Reactive):
    """One to four valid operations at random over the chunk's sentences and the items it sees.

    Its choices are a function of (seed, episode id), so that a resumed run repeats them. When the
    memory is full its inserts are refused, and its deletes make room again.

    Raises:
        ConfigError: a seed that is no integer from 0.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = at_least(0, "random: seed", seed)
        self._rng = np.random.default_rng(seed)

    def reset(self, info: Info) -> None:
        """Restart the random stream of this episode."""
        entropy = [self._seed, zlib.crc32(str(info.get("episode_id", "")).encode())]
        self._rng = np.random.default_rng(np.random.SeedSequence(entropy))

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """Random operations; none (SKIP) one time in ten."""
        fresh = [str(operation.content) for operation in inserts(split_sentences(chunk), view)]
        ids = [item_id for item_id, _ in view.items]
        if not fresh or self._rng.random() < 0.1:
            return []
        self._rng.shuffle(fresh)
        self._rng.shuffle(ids)
        kinds = self._rng.choice(
            [Op.INSERT, Op.UPDATE, Op.DELETE], p=[0.6, 0.25, 0.15], size=self._rng.integers(1, 5)
        )
        return [self._one(Op(kind), fresh, ids) for kind in kinds if fresh]

    def _one(self, kind: Op, fresh: list[str], ids: list[int]) -> Operation:
        """One operation that uses up a sentence or an item (or both)."""
        if kind is Op.INSERT or not ids:
            return Operation(Op.INSERT, content=fresh.pop())
        if kind is Op.UPDATE:
            return Operation(Op.UPDATE, item_id=ids.pop(), content=fresh.pop())
        return Operation(Op.DELETE, item_id=ids.pop())
