"""Which texts hold a piece of evidence: by their words, since nothing else can be told of both.

A sentence that is copied holds it whatever its punctuation. A reworded one does when it has the
gold answer, where the evidence has it, and a good part of the words of the evidence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from finemem_env.scoring.matching import Form, contains, form
from finemem_env.text import sentence_key
from finemem_env.text.search_terms import search_terms

# Shares of the evidence's words: less will do beside the gold answer.
_WITH_GOLD, _ALONE = 0.5, 0.7
_LITERAL_WORDS = 8  # a longer gold is a summary, which nobody stores word by word


@dataclass(frozen=True, slots=True)
class Wanted:
    """One piece of evidence to look for; `chunk` -1 stands for the gold answer, wherever it is.

    `golds` must be there; none where the evidence does not say them. `told` is False where neither
    the words of the evidence nor the gold answer can be looked for: then any text that the step of
    that chunk brought counts.
    """

    chunk: int
    sentence: str | None
    golds: tuple[Form, ...]
    told: bool = True


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
    literal = tuple(gold for gold in forms if 0 < len(gold.tokens) <= _LITERAL_WORDS)
    pieces = []
    for chunk, sentence in evidence:
        text = chunk_text(chunk) if sentence is None else sentence
        said = literal if text is None else tuple(f for f in forms if contains(form(text), f))
        pieces.append(Wanted(chunk, sentence, said, told=sentence is not None or bool(said)))
    if not pieces and literal:
        pieces.append(Wanted(-1, None, literal))
    return tuple(pieces)


class Shelf:
    """Texts in which evidence is looked for; each distinct sentence is read once.

    Args:
        texts: of each, its sentences with the step that brought them.
    """

    def __init__(self, texts: Iterable[Iterable[tuple[str, int]]]) -> None:
        self._numbers: dict[str, int] = {}
        self._places: list[list[int]] = []  # by sentence: the texts that it is in
        self._by_step: dict[int, list[tuple[int, int]]] = defaultdict(list)  # (sentence, text)
        for place, sentences in enumerate(texts):
            for sentence, step in sentences:
                number = self._numbers.setdefault(sentence, len(self._numbers))
                if number == len(self._places):
                    self._places.append([])
                self._places[number].append(place)
                self._by_step[step].append((number, place))
        self._forms = [form(sentence) for sentence in self._numbers]
        self._said = [frozenset(search_terms(sentence)) for sentence in self._numbers]
        self._keys = _places_of([sentence_key(sentence)] for sentence in self._numbers)
        self._terms = _places_of(self._said)
        self._tokens = _places_of({*f.plain.split(), *f.apart.split()} for f in self._forms)

    def holding(self, piece: Wanted) -> list[int]:
        """The numbers of the texts that hold a piece of evidence, in order."""
        golden = self._golden(piece)
        if piece.sentence is None and piece.chunk >= 0:
            own = self._by_step.get(piece.chunk, ())
            return sorted({place for n, place in own if not piece.told or n in golden})
        saying = golden if piece.sentence is None else self._saying(piece.sentence, piece, golden)
        return sorted({place for number in saying for place in self._places[number]})

    def _saying(self, sentence: str, piece: Wanted, golden: set[int]) -> set[int]:
        """The sentences that say what the evidence says."""
        same = set(self._keys.get(sentence_key(sentence), ()))
        terms = frozenset(search_terms(sentence))
        if piece.golds:
            least = _WITH_GOLD * len(terms)
            return same | {n for n in golden if len(terms & self._said[n]) >= least}
        shared = Counter(number for term in terms for number in self._terms.get(term, ()))
        least = _ALONE * len(terms)
        return same | {number for number, count in shared.items() if count >= least}

    def _golden(self, piece: Wanted) -> set[int]:
        """The sentences that have a gold answer."""
        numbers = set()
        for gold in piece.golds:
            # A text that contains it has its last word, which no article is left out of.
            near = self._tokens.get(gold.tokens[-1], ()) if gold.tokens else range(len(self._forms))
            numbers |= {number for number in near if contains(self._forms[number], gold)}
        return numbers


def _places_of(texts: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    """In which of the texts each word is."""
    places: dict[str, list[int]] = {}
    for number, words in enumerate(texts):
        for word in words:
            places.setdefault(word, []).append(number)
    return places
