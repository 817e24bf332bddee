"""Whether a text holds a piece of evidence: by its words, since nothing else can be told of both.

A sentence that is copied holds it whatever its punctuation. A reworded one does when it has the
gold answer, where the evidence has it, and a good part of the words of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from finemem_env.memory import Item
from finemem_env.scoring.matching import Form, contains, form
from finemem_env.text import TextCache, sentence_key, split_sentences
from finemem_env.text.search_terms import search_terms

__all__ = ["Wanted", "wanted"]

# Shares of the evidence's words: less will do beside the gold answer.
_WITH_GOLD, _ALONE = 0.5, 0.7
_LITERAL_WORDS = 8  # a longer gold is a summary, which nobody stores word by word

_TERMS: TextCache[frozenset[str]] = TextCache(lambda text: frozenset(search_terms(text)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One piece of evidence to look for; `chunk` -1 stands for the gold answer, wherever it is.

    `told` is False where neither the words of the evidence nor the gold answer can be looked for:
    then any text that the step of that chunk brought counts.
    """

    chunk: int
    sentence: str | None
    golds: tuple[Form, ...]  # what must be there; none where the evidence does not say it
    told: bool = True

    def by(self, item: Item) -> bool:
        """Whether an item of the memory holds it."""
        if self.sentence is None and self.chunk >= 0:
            own = [one.text for one in item.sentences if one.step == self.chunk]
            return bool(own) and (not self.told or any(map(self._has_gold, own)))
        return self.among(one.text for one in item.sentences)

    def in_text(self, text: str, step: int) -> bool:
        """Whether what was written at `step` holds it."""
        if self.sentence is None and self.chunk >= 0 and self.chunk != step:
            return False
        return not self.told or self.among(split_sentences(text))

    def among(self, sentences: Iterable[str]) -> bool:
        """Whether one of the sentences says it."""
        return any(map(self._said_by, sentences))

    def _said_by(self, sentence: str) -> bool:
        if self.sentence is None:
            return self._has_gold(sentence)
        if sentence_key(sentence) == sentence_key(self.sentence):
            return True
        if self.golds and not self._has_gold(sentence):
            return False
        terms = _TERMS[self.sentence]
        shared = len(terms & _TERMS[sentence])
        return bool(terms) and shared >= (_WITH_GOLD if self.golds else _ALONE) * len(terms)

    def _has_gold(self, sentence: str) -> bool:
        text = form(sentence)
        return any(contains(text, gold) for gold in self.golds)


def wanted(
    golds: Sequence[str],
    evidence: Iterable[tuple[int, str | None]],
    chunk_text: Callable[[int], str | None],
) -> tuple[Wanted, ...]:
    """What to look for; the gold answer alone where there is no evidence.

    Args:
        golds: right answers.
        evidence: (chunk, sentence or None).
        chunk_text: the text of a chunk, None where it is not known.
    """
    forms = tuple(form(gold) for gold in golds if gold.strip())
    literal = tuple(one for one in forms if 0 < len(one.tokens) <= _LITERAL_WORDS)
    found = []
    for chunk, sentence in evidence:
        text = chunk_text(chunk) if sentence is None else sentence
        said = literal if text is None else tuple(one for one in forms if contains(form(text), one))
        found.append(Wanted(chunk, sentence, said, told=sentence is not None or bool(said)))
    if not found and literal:
        found.append(Wanted(-1, None, literal))
    return tuple(found)
