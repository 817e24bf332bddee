"""Test-time learning: labels are arbitrary codes, and what earns one is learnt from examples.

    tasin korbel about dumat label: zekdal
    Unverified: korbel rimsat tasin again label: bovnet
    → korbel fupdas tasin only   zekdal

Each label has four words of its own; a text holds two of them beside words that all labels share.
Examples of a label stand close together, so that forgetting the oldest forgets labels. Unverified
lines carry a wrong label.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.data.synthetic.base import SyntheticSource
from finemem_env.data.synthetic.draft import Emitter, EpisodeDraft, Probe, fixed
from finemem_env.data.synthetic.grammar import Language
from finemem_env.data.synthetic.knobs import COMMON
from finemem_env.errors import ConfigError

_OWN = 4  # words that tell a label
_SHARED = 16  # words that all labels of a language use
_PATIENCE = 50  # texts tried before one gets a word more


@dataclass(slots=True)
class _Example:
    """One labelled line in chunk `chunk`, made of the words number `own` of its label."""

    chunk: int
    own: tuple[int, int]
    line: str


@dataclass(slots=True)
class _Label:
    """A label, the words that tell it and those it shares with all labels."""

    language: Language
    name: str
    own: list[str]
    shared: list[str]
    examples: list[_Example] = field(default_factory=list)


class TestTimeLearningSource(SyntheticSource):
    """Labelled examples and held-out texts.

    One knob beside the common ones:

    - `labels` (0): number of labels, each with at least one example; 0 is one a chunk.

    Raises:
        ConfigError: one label only, or more labels than examples.
    """

    __test__ = False  # not a test class, whatever its name tells pytest
    knobs: ClassVar[Mapping[str, object]] = COMMON | {"labels": 0}
    facts_per_question: ClassVar[float] = 0.1
    separate_lines: ClassVar[bool] = True

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        labels = self.integer("labels")
        if labels == 1 or labels > self.capacity:
            raise ConfigError(
                f"difficulty['labels'] of {self.name!r}: expected 0 or a number from 2 to "
                f"{self.capacity}, the number of examples (num_chunks and facts_per_chunk raise "
                f"it), got {labels}."
            )

    def compose(self, draft: EpisodeDraft) -> list[Probe]:
        """Examples label by label, neighbours mixed; held-out texts spread over the labels."""
        places = [t for t, quota in enumerate(draft.quotas) for _ in range(quota.facts)]
        texts = _Texts(draft, self.integer("labels") or max(2, self.length))
        emitters = texts.examples(places)
        draft.write(emitters, texts.unverified)
        for t, pool in enumerate(draft.pools):
            present = [label for label in texts.labels if any(e.chunk == t for e in label.examples)]
            for i in range(self.integer("chunk_questions")):
                pool.append(texts.held_out(present[i % len(present)], t))
        order = [label for label in texts.labels if label.examples]
        draft.draw.shuffle(order)
        return [texts.held_out(order[i % len(order)]) for i in range(self.questions)]


class _Texts:
    """Writes the texts of one episode, never the same one twice."""

    def __init__(self, draft: EpisodeDraft, count: int) -> None:
        self.draft = draft
        self._written: set[str] = set()
        shared = {
            language.code: [self._word(language) for _ in range(_SHARED)]
            for language in draft.languages
        }
        self.labels: list[_Label] = []
        for _ in range(count):
            language = draft.language()
            own = [self._word(language) for _ in range(_OWN)]
            self.labels.append(_Label(language, self._word(language), own, shared[language.code]))

    def examples(self, places: list[int]) -> list[list[Emitter]]:
        """One example for each place, label by label, mixed over neighbouring chunks."""
        draw = self.draft.draw
        order = [i * len(self.labels) // len(places) for i in range(len(places))]
        window = 2 * places.count(places[0])
        for start in range(0, len(order), window):
            part = order[start : start + window]
            draw.shuffle(part)
            order[start : start + window] = part
        emitters: list[list[Emitter]] = [[] for _ in self.draft.quotas]
        for t, i in zip(places, order, strict=True):
            label = self.labels[i]
            first = len(label.examples) % _OWN
            own = (first, (first + 1) % _OWN)
            line = f"{self._text(label, own)} label: {label.name}"
            label.examples.append(_Example(t, own, line))
            emitters[t].append(fixed(line))
        return emitters

    def unverified(self, t: int) -> str:
        """A line with the words of one label and the name of another."""
        draw = self.draft.draw
        label, other = draw.sample(self.labels, 2)
        first, second = draw.sample(range(_OWN), 2)
        line = f"{self._text(label, (first, second))} label: {other.name}"
        return label.language.unverified.format(s=line)

    def held_out(self, label: _Label, t: int | None = None) -> Probe:
        """A new text of `label` with the own words of an example of chunk `t` (None: of any chunk).

        The evidence is every example so far that has the same two.
        """
        draw = self.draft.draw
        known = draw.choice([e for e in label.examples if t is None or e.chunk == t])
        evidence = tuple(
            (example.chunk, example.line)
            for example in label.examples
            if (t is None or example.chunk <= t) and example.own == known.own
        )
        text = self._text(label, known.own)
        return Probe(
            text, (label.name,), evidence, task="label", metric="exact_match", kind="label"
        )

    def _text(self, label: _Label, own: tuple[int, int]) -> str:
        draw = self.draft.draw
        for attempt in itertools.count():
            parts = [label.own[i] for i in own]
            parts += draw.sample(label.shared, 1 + attempt // _PATIENCE)
            parts.append(draw.choice(label.language.glue))
            draw.shuffle(parts)
            text = " ".join(parts)
            if text not in self._written:
                break
        self._written.add(text)
        return text

    def _word(self, language: Language) -> str:
        return self.draft.namer.word(language.code).lower()
