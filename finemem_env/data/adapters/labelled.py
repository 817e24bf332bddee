"""Labelled texts as test-time learning: lines "<text> label: <code>", then held-out texts to label.

Codes are 0 … L-1, dealt out anew for every episode, so that only the examples tell what they mean.
Examples come from the publisher's training file in every split; questions are texts that are not
among the episode's examples. What "test" asks is in no other part, and what "val" asks not in
"train": publishers' files share texts, and those stay in the later part only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import ClassVar

import numpy as np

from finemem_env.data.dialogue import CLASSIFICATION
from finemem_env.data.packing import (
    CHUNK_QUESTIONS,
    FINAL_QUESTIONS,
    Passage,
)
from finemem_env.data.passages import PassageSource
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.text import sentence_key, words
from finemem_env.types import Episode, Question

# Tokens of " label: <code>", and the share of all text that packing can count on using.
_LABEL_TOKENS = 3
_USABLE = 0.9


@dataclass(frozen=True, eq=False)
class Pool:
    """Texts by label."""

    texts: Mapping[str, tuple[str, ...]]

    @cached_property
    def keys(self) -> frozenset[str]:
        """What tells its texts apart: their words, case and punctuation aside."""
        return frozenset(sentence_key(text) for texts in self.texts.values() for text in texts)

    def where(self, keep: Callable[[str], bool]) -> Pool:
        """The texts that `keep` is true of, and the labels that have some."""
        kept = {label: tuple(filter(keep, texts)) for label, texts in self.texts.items()}
        return Pool({label: texts for label, texts in kept.items() if texts})

    def without(self, keys: Collection[str]) -> Pool:
        """The texts whose key is not in `keys`."""
        return self.where(lambda text: sentence_key(text) not in keys)


@dataclass(frozen=True, eq=False)
class Parts:
    """The publisher's parts: examples come from `train`, questions from that of the split."""

    train: Pool
    val: Pool
    test: Pool


@lru_cache(maxsize=8)
def _apart(train: Pool, val: Pool, test: Pool) -> Parts:
    """The parts without the texts that a later one has."""
    return Parts(train.without(val.keys | test.keys), val.without(test.keys), test)


class LabelledSource(PassageSource):
    """Balanced examples of some labels, packed; questions on held-out texts of the same labels.

    Knob `labels`: how many of the labels an episode has. `shown` and `asked` are the split's texts
    by label. Subclasses say where the texts are.
    """

    separator = "\n"
    openings: ClassVar[Sequence[str]] = CLASSIFICATION

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        published = self.parts()
        parts = _apart(published.train, published.val, published.test)
        self.shown = parts.train.texts
        self.asked = {"train": parts.train, "val": parts.val, "test": parts.test}[
            config.split
        ].texts
        self._sizes: dict[str, int] = {}
        self._labels = int(str(self.difficulty["labels"]))
        usable = sum(1 for label in self.shown if label in self.asked)
        if not 2 <= self._labels <= usable:
            raise ConfigError(
                f"difficulty['labels'] of {self.name!r}: expected 2 to {usable}, "
                f"got {self._labels}."
            )

    @abstractmethod
    def parts(self) -> Parts:
        """The texts of the publisher's three parts, as they are."""

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Deal out codes, hold out the questions, pack the other texts as examples."""
        targets = self.targets(rng)
        names = sorted(label for label in self.shown if label in self.asked)
        chosen = [names[i] for i in rng.permutation(len(names))[: self._labels].tolist()]
        codes = {label: str(code) for code, label in enumerate(chosen)}
        held_out = self._hold_out(rng, chosen, FINAL_QUESTIONS + CHUNK_QUESTIONS * len(targets))
        spare = min(CHUNK_QUESTIONS * len(targets), len(held_out) // 3)
        final = held_out[: min(FINAL_QUESTIONS, len(held_out) - spare)]
        hidden = {sentence_key(text) for text, _ in held_out}
        shown: list[str] = []  # label of every example read so far

        def examples() -> Iterator[Passage]:
            for text, label in _interleaved(rng, self.shown, chosen):
                if sentence_key(text) not in hidden:
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
        if self.asked is self.shown:
            room -= sum(self.count(text) + _LABEL_TOKENS for text, _ in held_out)
        least, _ = self.config.token_range(self.chunk_tokens)
        share = min(1.0, _USABLE * room / sum(targets))
        return [max(least, int(share * target)) for target in targets]

    def _tokens(self, label: str) -> int:
        """Tokens of all examples of `label`, counted once."""
        if label not in self._sizes:
            texts = self.shown[label]
            self._sizes[label] = sum(self.count(text) + _LABEL_TOKENS for text in texts)
        return self._sizes[label]

    def _hold_out(
        self, rng: np.random.Generator, labels: Sequence[str], most: int
    ) -> list[tuple[str, str]]:
        """Texts to ask; where they come from the examples' own pool, at most a third of it."""
        if self.asked is self.shown:
            most = min(most, sum(len(self.asked[label]) for label in labels) // 3)
        return list(islice(_interleaved(rng, self.asked, labels), most))


def _interleaved(
    rng: np.random.Generator, pool: Mapping[str, tuple[str, ...]], labels: Sequence[str]
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
        if words(line) and sentence_key(line) not in seen:
            seen.add(sentence_key(line))
            texts.setdefault(label, {})[line] = line
    return Pool({label: tuple(lines) for label, lines in texts.items()})
