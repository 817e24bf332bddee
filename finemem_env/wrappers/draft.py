"""Operations chosen one number at a time: what classic agents need instead of text.

A `Draft` takes an observation apart into sentences and memory items, offers them through a small
window, and collects the operations of one step. The wrappers and the agent that loads a checkpoint
share it, so that training and evaluation cannot differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finemem_env.media import stored_form
from finemem_env.memory import says_the_same
from finemem_env.operations import concise
from finemem_env.prompts import View, parse_observation
from finemem_env.session import limits_of
from finemem_env.text import (
    TextCache,
    approx_tokens,
    make_counter,
    normalise,
    split_sentences,
    words,
)
from finemem_env.types import Limits, Op, Operation

_NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Slot:
    """A memory item in reach: `same` is the share of words in common with the nearest sentence.

    `lead` is the share of that sentence's words that both texts begin with. `key` is the item id,
    negative for an item that this step writes.
    """

    key: int
    text: str
    same: float
    lead: float


@dataclass(frozen=True, slots=True)
class Situation:
    """What a choice is made from. Shares are in [0, 1]; `fill` is 0 without a budget."""

    sentences: tuple[str, ...]
    slots: tuple[Slot, ...]
    fill: float
    items: int
    read: float
    chunk_read: float


def num_actions(sentences: int, slots: int) -> int:
    """SKIP, INSERT sentence k, UPDATE slot i with sentence k, DELETE slot i."""
    return 1 + sentences + slots * sentences + slots


def overlap(sentence: str, text: str) -> tuple[float, float]:
    """(share of words in common, share of `sentence`'s words that both begin with)."""
    first, second = _WORDS[sentence], _WORDS[text]
    if not first[1] or not second[1]:
        return 0.0, 0.0
    lead = 0
    for word, other in zip(first[0], second[0], strict=False):
        if word != other:
            break
        lead += 1
    same = len(first[1] & second[1]) / (len(first[1]) * len(second[1])) ** 0.5
    return same, lead / len(first[0])


def make_draft(
    observation: str, info: Mapping[str, Any], sentences: int = 1, slots: int = 2
) -> Draft:
    """The draft of a step, with the limits and the tokenizer that `info` names."""
    count_tokens = make_counter(info["versions"]["tokenizer"])
    return Draft(parse_observation(observation), sentences, slots, limits_of(info), count_tokens)


def _words(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    parts = tuple(words(text))
    return parts, frozenset(parts)


_WORDS: TextCache[tuple[tuple[str, ...], frozenset[str]]] = TextCache(_words)


class Draft:
    """The operations of one step while they are chosen.

    The chunk's sentences pass through a window of `sentences`; `slots` memory items, those most
    like a sentence of the window, can be updated or deleted. Actions are numbered

        0                       SKIP: leave the window, go to the next one
        1 + k                   INSERT sentence k of the window
        1 + K + i·K + k         UPDATE slot i with sentence k
        1 + K + S·K + i         DELETE slot i

    A sentence that was written leaves the window; an empty window moves on by itself. An action
    that `mask` rules out counts as SKIP. What `mask` allows is accepted by the environment, unless
    it repeats an item that the view hides.

    Args:
        view: the observation, taken apart.
        sentences: K, the size of the window.
        slots: S, how many items are in reach.
        limits: of the environment (`finemem_env.session.limits_of(info)`).
        count_tokens: its token counter.
    """

    def __init__(
        self,
        view: View,
        sentences: int = 1,
        slots: int = 2,
        limits: Limits = _NO_LIMITS,
        count_tokens: Callable[[str], int] = approx_tokens,
    ) -> None:
        self._size, self._reach = sentences, slots
        self._view = view
        self._limits = limits
        self._count_tokens = count_tokens
        # What keeps a medium, by its text; without names their lines are text like any other.
        self._media = {stored_form(medium): medium for medium in view.media if medium.name}
        text = view.text if self._media else view.chunk
        self._queue = [*(view.lines or split_sentences(text or "")), *self._media] or [""]
        self._total = len(self._queue)
        self._window: list[str] = []
        self._items = dict(view.items)
        self._before = dict(view.items)  # as they are until their UPDATE or DELETE is executed
        self._held = Counter(map(normalise, self._items.values()))
        self._was = Counter(self._held)
        self._written: dict[int, str] = {}
        self._deleted: list[int] = []
        self._tokens = view.memory_tokens
        self._next = -1
        self._advance()

    @property
    def done(self) -> bool:
        """Whether every sentence has been seen."""
        return not self._window

    @property
    def situation(self) -> Situation:
        """What the next choice is made from."""
        view = self._view
        total = view.num_chunks if view.num_chunks > 0 else view.chunk_index + 1
        return Situation(
            sentences=tuple(self._window),
            slots=self._slots,
            fill=0.0 if view.budget is None else min(1.0, self._tokens / view.budget),
            items=len(self._items),
            read=min(1.0, max(0, view.chunk_index) / max(1, total)),
            chunk_read=1.0 - (len(self._queue) + len(self._window)) / self._total,
        )

    def mask(self) -> NDArray[np.bool_]:
        """Which actions would be accepted, shape (num_actions,); SKIP always is."""
        sentences, slots = self._size, self._reach
        allowed = np.zeros(num_actions(sentences, slots), dtype=np.bool_)
        allowed[0] = True
        most = self._limits.max_operations
        if most is not None and len(self._written) + len(self._deleted) >= most:
            return allowed
        for k, sentence in enumerate(self._window):
            cost = self._cost(sentence)
            if not self._writable(sentence, cost):
                continue
            allowed[1 + k] = self._fits(cost)
            for i, slot in enumerate(self._slots):
                fits = self._fits(cost - self._count_tokens(slot.text))
                allowed[1 + sentences * (1 + i) + k] = fits and self._changes(slot.key, sentence)
        first = 1 + sentences + slots * sentences
        allowed[first : first + len(self._slots)] = True
        return allowed

    def apply(self, action: int) -> None:
        """Take one action; one that `mask` rules out is SKIP."""
        sentences, slots = self._size, self._reach
        if action <= 0 or not self.mask()[action]:
            self._window.clear()
        elif action <= sentences:
            self._write(self._next, action - 1)
            self._next -= 1
        elif action < 1 + sentences + slots * sentences:
            i, k = divmod(action - 1 - sentences, sentences)
            self._write(self._slots[i].key, k)
        else:
            self._delete(self._slots[action - 1 - sentences - slots * sentences].key)
        self._advance()

    def action(self) -> str:
        """The step's operations as text: what makes room comes first.

        Sentences are named by their numbers where they have some.
        """
        operations = [Operation(Op.DELETE, item_id=key) for key in self._deleted]
        updates = [(key, text) for key, text in self._written.items() if key >= 0]
        for key, text in sorted(updates, key=lambda update: (self._growth(*update), -update[0])):
            operations.append(self._operation(Op.UPDATE, text, key))
        for key, text in sorted(self._written.items(), reverse=True):
            if key < 0:
                operations.append(self._operation(Op.INSERT, text))
        return concise(operations or [Operation(Op.SKIP)], self._view.lines)

    def _operation(self, op: Op, text: str, item_id: int | None = None) -> Operation:
        """An operation that writes a sentence, or keeps a medium by its name."""
        medium = self._media.get(text)
        if medium is not None:
            return Operation(op, item_id=item_id, media=(medium.name,))
        return Operation(op, content=text, item_id=item_id)

    def _cost(self, text: str) -> int:
        """Tokens of a sentence, or of a medium with its text."""
        medium = self._media.get(text)
        return self._count_tokens(text) + (0 if medium is None else medium.tokens)

    def _advance(self) -> None:
        if not self._window:
            self._window = self._queue[: self._size]
            del self._queue[: self._size]
        self._slots = self._nearest()

    def _nearest(self) -> tuple[Slot, ...]:
        """The items most like a sentence of the window; among equals the oldest."""
        ranked = []
        for order, (key, text) in enumerate(self._items.items()):
            pairs = [overlap(sentence, text) for sentence in self._window]
            same, lead = max(pairs, key=sum, default=(0.0, 0.0))
            ranked.append((-same - lead, order, Slot(key, text, same, lead)))
        ranked.sort(key=lambda entry: entry[:2])
        return tuple(slot for _, _, slot in ranked[: self._reach])

    def _writable(self, sentence: str, tokens: int) -> bool:
        """Whether it holds a word, is not too long and not in memory already."""
        most = self._limits.max_item_tokens
        short = most is None or tokens <= most
        return short and bool(words(sentence)) and not self._held[normalise(sentence)]

    def _changes(self, key: int, sentence: str) -> bool:
        """Whether an UPDATE is one, at any place among those of the step; a new item has none."""
        if key < 0:
            return True
        return not self._was[normalise(sentence)] and not says_the_same(sentence, self._before[key])

    def _fits(self, more: int) -> bool:
        budget = self._view.budget
        return budget is None or self._tokens + more <= budget

    def _growth(self, key: int, text: str) -> int:
        return self._cost(text) - self._count_tokens(self._before[key])

    def _write(self, key: int, k: int) -> None:
        sentence = self._window.pop(k)
        self._remove_text(key)
        self._items[key] = self._written[key] = sentence
        self._held[normalise(sentence)] += 1
        self._tokens += self._cost(sentence)

    def _delete(self, key: int) -> None:
        self._remove_text(key)
        del self._items[key]
        self._written.pop(key, None)
        if key >= 0:
            self._deleted.append(key)
            self._was[normalise(self._before.pop(key))] -= 1

    def _remove_text(self, key: int) -> None:
        if key in self._items:
            text = self._items[key]
            self._held[normalise(text)] -= 1
            # An item that keeps media frees their tokens too, which the view does not tell.
            self._tokens -= self._cost(text) if key < 0 else self._count_tokens(text)
