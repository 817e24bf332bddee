"""Labelled texts as test-time learning: lines "<text> label: <code>", then held-out texts to label.

Codes are 0 … L-1, dealt out anew for every episode, so that only the examples tell what they mean.
Examples come from the publisher's training file in every split; questions are texts that are not
among the episode's examples.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from finemem_env.data.adapters.passages import PassageSource
from finemem_env.data.dialogue import CLASSIFICATION
from finemem_env.data.packing import (
    CHUNK_QUESTIONS,
    FINAL_QUESTIONS,
    Passage,
)
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.text import normalise, words
from finemem_env.types import Episode, Question

__all__ = ["LabelledSource", "Pool", "Pools", "make_pool"]

Pool = Mapping[str, tuple[str, ...]]  # label → its texts


# Tokens of " label: <code>", and the share of all text that packing can count on using.
_LABEL_TOKENS = 3
_USABLE = 0.9


@dataclass(frozen=True, slots=True)
class Pools:
    """Texts by label: those that may be shown, and those that may be asked."""

    shown: Pool
    asked: Pool


class LabelledSource(PassageSource):
    """Balanced examples of some labels, packed; questions on held-out texts of the same labels.

    Knob `labels`: how many of the labels an episode has. Subclasses say where the texts are.
    """

    separator = "\n"
    openings: ClassVar[Sequence[str]] = CLASSIFICATION

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._pools = self.pools()
        self._sizes: dict[str, int] = {}
        self._labels = int(str(self.difficulty["labels"]))
        usable = sum(1 for label in self._pools.shown if label in self._pools.asked)
        if not 2 <= self._labels <= usable:
            raise ConfigError(
                f"difficulty['labels'] of {self.name!r}: expected 2 to {usable}, "
                f"got {self._labels}."
            )

    @abstractmethod
    def pools(self) -> Pools:
        """The texts of the split."""

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Deal out codes, hold out the questions, pack the other texts as examples."""
        targets = self.targets(rng)
        names = sorted(label for label in self._pools.shown if label in self._pools.asked)
        chosen = [names[i] for i in rng.permutation(len(names))[: self._labels].tolist()]
        codes = {label: str(code) for code, label in enumerate(chosen)}
        held_out = self._hold_out(rng, chosen, FINAL_QUESTIONS + CHUNK_QUESTIONS * len(targets))
        spare = min(CHUNK_QUESTIONS * len(targets), len(held_out) // 3)
        final = held_out[: min(FINAL_QUESTIONS, len(held_out) - spare)]
        hidden = {normalise(text) for text, _ in held_out}
        shown: list[str] = []  # label of every example read so far

        def examples() -> Iterator[Passage]:
            for text, label in _interleaved(rng, self._pools.shown, chosen):
                if normalise(text) not in hidden:
                    shown.append(label)
                    yield Passage(f"{text} label: {codes[label]}")

        layout = self.pack(examples(), self._fitted(targets, chosen, held_out))
        met = [{shown[piece.passage] for piece in chunk.pieces} for chunk in layout.chunks]
        return self.compose(
            index,
            [chunk.text for chunk in layout.chunks],
            [_question(f"q{i}", text, codes[label]) for i, (text, label) in enumerate(final)],
            _chunk_questions(held_out[len(final) :], met, codes),
            {"labels": {code: label for label, code in codes.items()}},
        )

    def _fitted(
        self, targets: Sequence[int], labels: Sequence[str], held_out: Sequence[tuple[str, str]]
    ) -> list[int]:
        """`targets`, smaller (never below the least chunk size) where the labels drawn have less.

        Whether there is enough text depends on which labels an episode draws; without this, rare
        indices of a packing that nearly always fits would fail.
        """
        room = float(sum(self._tokens(label) for label in labels))
        if self._pools.asked is self._pools.shown:
            room -= sum(self.count(text) + _LABEL_TOKENS for text, _ in held_out)
        least, _ = self.config.token_range(self.chunk_tokens)
        share = min(1.0, _USABLE * room / sum(targets))
        return [max(least, int(share * target)) for target in targets]

    def _tokens(self, label: str) -> int:
        """Tokens of all examples of `label`, counted once."""
        if label not in self._sizes:
            texts = self._pools.shown[label]
            self._sizes[label] = sum(self.count(text) + _LABEL_TOKENS for text in texts)
        return self._sizes[label]

    def _hold_out(
        self, rng: np.random.Generator, labels: Sequence[str], most: int
    ) -> list[tuple[str, str]]:
        """Texts to ask; where they come from the examples' own pool, at most a third of it."""
        if self._pools.asked is self._pools.shown:
            most = min(most, sum(len(self._pools.asked[label]) for label in labels) // 3)
        return list(islice(_interleaved(rng, self._pools.asked, labels), most))


def _interleaved(
    rng: np.random.Generator, pool: Pool, labels: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(text, label) pairs, every text once, the labels in turn until each runs out."""
    shuffled = {
        label: [pool[label][i] for i in rng.permutation(len(pool[label])).tolist()]
        for label in labels
    }
    while shuffled:
        order = list(shuffled)
        for place in rng.permutation(len(order)).tolist():
            label = order[place]
            yield shuffled[label].pop(), label
            if not shuffled[label]:
                del shuffled[label]


def _question(name: str, text: str, code: str) -> Question:
    return Question(name, text, (code,), metric="exact_match", type="label")


def _chunk_questions(
    spare: Sequence[tuple[str, str]], met: Sequence[set[str]], codes: Mapping[str, str]
) -> list[tuple[Question, ...]]:
    """Up to five held-out texts a chunk, of labels that the chunk has examples of."""
    left = list(spare)
    dealt = []
    for step, labels in enumerate(met):
        fitting = (i for i, (_, label) in enumerate(left) if label in labels)
        taken = list(islice(fitting, CHUNK_QUESTIONS))
        dealt.append(
            tuple(_question(f"c{step}-q{i}", left[i][0], codes[left[i][1]]) for i in taken)
        )
        left = [pair for i, pair in enumerate(left) if i not in taken]
    return dealt


def make_pool(pairs: Sequence[tuple[str, str]]) -> Pool:
    """Texts by label: white space collapsed, each once, those without a word left out."""
    texts: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for text, label in pairs:
        line = " ".join(text.split())
        if words(line) and normalise(line) not in seen:
            seen.add(normalise(line))
            texts.setdefault(label, {})[line] = line
    return {label: tuple(found) for label, found in texts.items()}
