"""`selective`: keeps the kinds of facts that are asked, updates what is superseded, keeps tallies.

On generated text it recognises those kinds by their surface (`data.synthetic.kinds`); a later
sentence on the same subject and relation replaces the stored one, and events are added up in place
by UPDATE. On any other text it knows no kinds and falls back on two rules of thumb:

- labelled example lines, the label seen least often first;
- sentences that hold names or numbers, the densest first; one that says the same as a stored
  sentence up to its last name replaces it.

It never deletes. Under a budget both rules of thumb spend the free tokens evenly over the chunks to
come, and recognised facts are stored until the memory is full.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from baselines.agents import Info
from baselines.managers.scripted import Reactive, fitting, group, inserts
from baselines.managers.statements import statement_key
from finemem_env.data.synthetic.kinds import fact_key, is_asked_kind, merge
from finemem_env.prompts import View
from finemem_env.text import approx_tokens, parse_example, sentence_key, split_sentences
from finemem_env.types import Op, Operation

_NAME_OR_NUMBER = re.compile(r"\b(?:[A-Z]\w+|\w*\d\w*)")
_CHUNKS = 10  # assumed where the number of chunks is not told


@lru_cache(maxsize=65536)
def _key(sentence: str) -> object:
    """The generated kind's key where there is one, else the statement's."""
    return fact_key(sentence) or statement_key(sentence)


class _Draft:
    """The operations of one step while they are collected, at most one per subject and relation."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._held = {key: item for item in view.items if (key := _key(item[1]))}
        self._texts: dict[object, str] = {}
        self._loose: list[str] = []

    def add(self, sentence: str) -> int:
        """Put `sentence` in: replace, add up or store. Returns the tokens it takes more."""
        key = _key(sentence)
        if key is None:
            self._loose.append(sentence)
            return approx_tokens(sentence)
        stored = self._texts.get(key) or self._held.get(key, (0, ""))[1]
        text = merge(stored or None, sentence) if is_asked_kind(sentence) else sentence
        self._texts[key] = text
        return approx_tokens(text) - approx_tokens(stored)

    def operations(self, most: int) -> list[Operation]:
        """UPDATE what was in memory, INSERT the rest, in groups beyond `most` operations."""
        updates, fresh = [], []
        for key, text in self._texts.items():
            item_id, stored = self._held.get(key, (0, ""))
            if not stored:
                fresh.append(text)
            elif sentence_key(stored) != sentence_key(text):
                updates.append(Operation(Op.UPDATE, item_id=item_id, content=text))
        room = most - len(updates)
        return updates + inserts(group([*fresh, *self._loose], room), self._view)


class Selective(Reactive):
    """Stores what questions are likely to be about; see the module's docstring."""

    def __init__(self) -> None:
        self._recognised = False

    def reset(self, info: Info) -> None:
        """Forget whether this text was recognised."""
        self._recognised = False

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """UPDATE superseded facts and tallies, INSERT new ones."""
        sentences = split_sentences(chunk)
        examples = [line for line in sentences if is_asked_kind(line) and parse_example(line)]
        facts = [line for line in sentences if is_asked_kind(line) and not parse_example(line)]
        self._recognised = self._recognised or bool(facts)
        room = float("inf") if view.budget is None else view.budget - view.memory_tokens
        draft = _Draft(view)
        for sentence in facts:
            room -= draft.add(sentence)
        left = max(1, view.num_chunks - view.chunk_index) if view.num_chunks > 0 else _CHUNKS
        chosen: Sequence[str] = ()
        if examples:
            chosen = _least_seen(examples, view)
        elif not self._recognised:
            chosen = _densest(sentences)
        for sentence in fitting(chosen, room / left):
            draft.add(sentence)
        return draft.operations(self.max_operations)


def _least_seen(lines: Sequence[str], view: View) -> list[str]:
    """Labelled lines in an order that keeps the labels' counts in memory level."""
    counts = Counter(label for _, text in view.items for label in _labels(text))
    ranked = []
    for line in lines:
        (label,) = _labels(line)
        ranked.append((counts[label], line))
        counts[label] += 1
    return [line for _, line in sorted(ranked, key=lambda pair: pair[0])]


def _labels(text: str) -> list[str]:
    return [example[1] for line in text.splitlines() if (example := parse_example(line))]


def _densest(sentences: Sequence[str]) -> list[str]:
    """Sentences with a name or number beyond their first word, by how many they hold a token."""
    ranked = []
    for sentence in sentences:
        count = len(_NAME_OR_NUMBER.findall(sentence.partition(" ")[2]))
        if count:
            ranked.append((-count / approx_tokens(sentence), sentence))
    return [sentence for _, sentence in sorted(ranked, key=lambda pair: pair[0])]
