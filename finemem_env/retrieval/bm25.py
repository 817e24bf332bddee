"""BM25 over memory items, updated in place: an edit costs the terms of its own item.

What is added waits for the next query: storing alone tokenises nothing.

Two variants, k1 = 1.5 and b = 0.75 in both, n = items, df = items that hold the term:

- `lucene` (the default): idf = ln(1 + (n − df + ½)/(df + ½)), term part tf/(tf + norm);
  the scores of `bm25s` with method "lucene".
- `okapi`: idf = ln(n − df + ½) − ln(df + ½), a negative one replaced by ¼ of the vocabulary's mean
  idf, term part tf·(k1 + 1)/(tf + norm); the scores of `rank_bm25.BM25Okapi`, which Mem-α and
  Fine-Mem search with. With one or two items its scores are zero or negative, as there.

with norm = k1·(1 − b + b·length/mean length). Query terms count with their multiplicity.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from finemem_env.errors import ConfigError, nearest
from finemem_env.text import TextCache, tie_keys
from finemem_env.text.search_terms import TERMS, search_terms

_K1 = 1.5
_B = 0.75
_EPSILON = 0.25  # okapi's floor: share of the mean idf that a negative idf becomes
_DECIMALS = 10  # scores this close are ties: the rest is rounding, which must not decide
_SCALE = 1e10  # 10 ** _DECIMALS
_TIE = 4 / _SCALE  # scores that are equal when they are rounded lie closer
_FEW = 400  # postings up to which a query is scored one by one, which is faster than arrays
_BITS = 24  # a posting holds slot and count in one integer: no term is in an item 2^24 times
_MASK = (1 << _BITS) - 1


_Held = list[tuple[str, "array[int]"]]


class _Derived(NamedTuple):
    """Of the present items: norm of every slot, twice; okapi's idf floor; `_parts` by term."""

    norms: NDArray[np.float64]
    listed: list[float]
    floor: float
    parts: dict[str, dict[int, float]]


class BM25:
    """Incremental BM25: a term's postings are one packed array, and a query joins a few of them.

    Every item gets a slot, in insertion order. A removed item only marks its slot dead; when the
    dead outnumber the living, the index is rebuilt from the kept term counts, so that an edit costs
    a constant times its own terms on average.
    """

    def __init__(
        self, variant: str = "lucene", tokenize: Callable[[str], list[str]] = search_terms
    ) -> None:
        """An empty index.

        Args:
            variant: "lucene" or "okapi".
            tokenize: text → terms, case folding included.

        Raises:
            ConfigError: an unknown variant.
        """
        if variant not in ("lucene", "okapi"):
            raise ConfigError(nearest("bm25 variant", variant, ("lucene", "okapi")))
        # Of the search terms, too: tokenizers of published benchmarks stay as they are.
        self.version = f"bm25-{variant}/{2 if tokenize is search_terms else 1}"
        self._made: tuple[object, ...] = (variant, tokenize)
        self._okapi = variant == "okapi"
        self._terms = (
            TERMS
            if tokenize is search_terms
            else TextCache[tuple[str, ...]](lambda text: tuple(tokenize(text)))
        )
        self._items: dict[int, tuple[int, str]] = {}  # id -> (slot, content)
        self._shared = False  # whether a copy holds the same postings
        self._clear()

    def _clear(self) -> None:
        self._postings: defaultdict[str, array[int]] = defaultdict(partial(array, "q"))
        self._waiting: list[str] = []  # contents of the last slots, not in the postings yet
        self._dead: dict[str, int] = {}  # term -> its postings of removed items
        self._slot_ids = array("q")  # per slot; −1 when dead
        self._lengths = array("d")  # terms per slot
        self._total = 0  # terms of living items
        # For okapi only: df when its floor was last asked for, the number of terms with each, and
        # the terms of what came and went since. So many items in a row cost one look at each term.
        self._dfs: dict[str, int] = {}
        self._with_df: Counter[int] = Counter()
        self._moved: list[tuple[str, ...]] = []
        self._derived: _Derived | None = None

    def __len__(self) -> int:
        return len(self._items)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as contents only: postings and caches are rebuilt."""
        contents = [(item_id, content) for item_id, (_, content) in self._items.items()]
        return rebuild, (type(self), self._made, contents)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copy that costs nothing until it or this one is updated."""
        self._settle()
        other = object.__new__(type(self))
        self._shared = True
        other.__dict__.update(self.__dict__)
        return other

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Take items out and put items in; the pairs are (item id, content).

        Raises:
            KeyError: a removed id that is not there.
        """
        if self._shared:
            self._part()
        if removed:
            self._settle()
        for item_id, _ in removed:
            self._remove(item_id)
        for item_id, content in added:
            self._add(item_id, content)
        if len(self._slot_ids) > 2 * len(self._items) + 16:
            self._compact()
        self._derived = None

    def scores(self, query: str) -> dict[int, float]:
        """BM25 of every item, 0.0 where no term is shared; in insertion order."""
        if not self._items:
            return {}
        held = self._held(self._terms[query])
        if not held:
            return dict.fromkeys(self._items, 0.0)
        values = self._score(held)[0].tolist()
        return {item_id: values[slot] for item_id, (slot, _) in self._items.items()}

    def search(self, query: str, k: int) -> list[int]:
        """Ids of at most `k` items that share a term with `query`, best first."""
        if not self._items or k <= 0:
            return []
        held = self._held(self._terms[query])
        if sum([len(postings) for _, postings in held]) <= _FEW:
            return self._search_few(query, held, k)
        scores, shared = self._score(held)
        slots = np.flatnonzero(shared)
        ranked = scores[slots].round(_DECIMALS)
        if len(slots) > 4 * k + 32:
            kept = ranked >= np.partition(ranked, len(ranked) - k)[len(ranked) - k]
            slots, ranked = slots[kept], ranked[kept]
        return self._best(query, zip(slots.tolist(), ranked.tolist(), strict=True), k)

    def _search_few(self, query: str, held: _Held, k: int) -> list[int]:
        """What the arrays would give, to the last bit: the same operations in the same order."""
        derived = self._derived or self._derive()
        scores: dict[int, float] = {}
        for term, postings in held:
            parts = derived.parts.get(term)
            if parts is None:
                parts = derived.parts[term] = self._parts(term, postings, derived)
            if not scores:
                scores = parts.copy()
                continue
            for slot, part in parts.items():
                scores[slot] = scores.get(slot, 0.0) + part
        found: Iterable[tuple[int, float]] = scores.items()
        if len(scores) > k:
            least = sorted(scores.values())[-k] - _TIE
            found = [entry for entry in found if entry[1] >= least]
        # Rounded as NumPy does it.
        return self._best(
            query, [(slot, round(value * _SCALE) / _SCALE) for slot, value in found], k
        )

    def _parts(self, term: str, postings: array[int], derived: _Derived) -> dict[int, float]:
        """The part of its score by slot, for the living items that hold a term."""
        dead = self._dead.get(term, 0)
        weight = self._idf(len(postings) - dead, derived.floor)
        scale = _K1 + 1 if self._okapi else 1
        norms, ids = derived.listed, self._slot_ids
        parts = {}
        for packed in postings:
            slot = packed >> _BITS
            if dead and ids[slot] < 0:
                continue
            count = packed & _MASK
            parts[slot] = weight * (count * scale / (count + norms[slot]))
        return parts

    def _best(self, query: str, found: Iterable[tuple[int, float]], k: int) -> list[int]:
        """Ids of the `k` best of (slot, score), best first; equal scores by `tie_key`, then age."""
        equals: dict[float, list[int]] = {}
        for slot, score in found:
            equals.setdefault(score, []).append(self._slot_ids[slot])
        best: list[int] = []
        for score in sorted(equals, reverse=True):
            ids = equals[score]
            if len(ids) > 1:
                key = tie_keys(query)
                ids = [one for _, one in sorted([(key(self._items[one][1]), one) for one in ids])]
            best += ids
            if len(best) >= k:
                break
        return best[:k]

    def _held(self, terms: tuple[str, ...]) -> _Held:
        """The terms that items hold, with their postings, dead ones included."""
        self._settle()
        find = self._postings.get  # which makes none
        return [(term, held) for term in terms if (held := find(term)) is not None]

    def _score(self, held: _Held) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Per slot, score and whether a living item there shares a term; some term is held."""
        derived = self._derived or self._derive()
        norms = derived.norms
        weights = np.repeat(
            [self._idf(self._df(term), derived.floor) for term, _ in held],
            [len(postings) for _, postings in held],
        )
        packed = np.frombuffer(b"".join([postings for _, postings in held]), np.int64)
        slots, counts = packed >> _BITS, packed & _MASK
        numerator = counts * (_K1 + 1) if self._okapi else counts
        parts = weights * (numerator / (counts + norms[slots]))
        scores = cast(NDArray[np.float64], np.bincount(slots, parts, len(norms)))
        touched = np.zeros(len(norms), np.bool_)
        touched[slots] = True
        if self._dead:
            touched &= np.array(self._slot_ids) >= 0
        return scores, touched

    def _derive(self) -> _Derived:
        """Norm per slot, and okapi's idf floor, for the present items."""
        mean = self._total / len(self._items) or 1.0  # no item has a term: any norm does
        norms = _K1 * (1 - _B + _B * np.array(self._lengths) / mean)
        floor = self._idf_floor() if self._okapi else 0.0
        self._derived = _Derived(norms, norms.tolist(), floor, {})
        return self._derived

    def _df(self, term: str) -> int:
        """Number of items that hold a term; the term must be held."""
        return len(self._postings[term]) - self._dead.get(term, 0)

    def _idf(self, df: int, floor: float) -> float:
        n = len(self._items)
        if not self._okapi:
            return math.log(1 + (n - df + 0.5) / (df + 0.5))
        idf = math.log(n - df + 0.5) - math.log(df + 0.5)
        return floor if idf < 0 else idf

    def _idf_floor(self) -> float:
        self._count_dfs()
        n, size = len(self._items), self._with_df.total()
        total = math.fsum(
            terms * (math.log(n - df + 0.5) - math.log(df + 0.5))
            for df, terms in self._with_df.items()
            if terms
        )
        return _EPSILON * total / size if size else 0.0

    def _count_dfs(self) -> None:
        dfs, with_df, dead, find = self._dfs, self._with_df, self._dead, self._postings.get
        # In place in either case: copies share these counts with what they were counted from.
        if sum(map(len, self._moved)) > len(self._postings):  # faster than one term after another
            dfs.clear()
            dfs |= {term: len(held) - dead.get(term, 0) for term, held in self._postings.items()}
            with_df.clear()
            with_df.update(dfs.values())
            self._moved.clear()
            return
        for term in set().union(*self._moved):
            held, old = find(term), dfs.get(term, 0)
            new = len(held) - dead.get(term, 0) if held else 0
            if new == old:
                continue
            with_df[old] -= 1
            with_df[new] += 1
            if new:
                dfs[term] = new
            else:
                dfs.pop(term, None)
        with_df.pop(0, None)
        self._moved.clear()

    def _add(self, item_id: int, content: str) -> None:
        self._items[item_id] = len(self._slot_ids), content
        self._slot_ids.append(item_id)
        self._waiting.append(content)

    def _settle(self) -> None:
        """Put the terms of the items that wait into the postings."""
        first = len(self._slot_ids) - len(self._waiting)
        for slot, content in enumerate(self._waiting, first):
            self._post(slot << _BITS, self._terms[content])
        self._waiting.clear()

    def _post(self, place: int, terms: tuple[str, ...]) -> None:
        self._lengths.append(len(terms))
        self._total += len(terms)
        postings = self._postings
        for term in terms:
            held = postings[term]
            if held and held[-1] >= place:  # once more in this item
                held[-1] += 1
            else:
                held.append(place + 1)
        if self._okapi:
            self._moved.append(terms)

    def _remove(self, item_id: int) -> None:
        slot, content = self._items.pop(item_id)
        terms = self._terms[content]
        self._slot_ids[slot] = -1
        self._total -= len(terms)
        if self._okapi:
            self._moved.append(terms)
        for term in set(terms):
            dead = self._dead.get(term, 0) + 1
            if dead < len(self._postings[term]):
                self._dead[term] = dead
            else:
                del self._postings[term]
                self._dead.pop(term, None)

    def _part(self) -> None:
        """Stop sharing: what `update` changes in place becomes this index's own."""
        postings = {term: held[:] for term, held in self._postings.items()}
        self._postings = defaultdict(self._postings.default_factory, postings)
        self._items, self._dead = dict(self._items), dict(self._dead)
        self._slot_ids, self._lengths = self._slot_ids[:], self._lengths[:]
        self._dfs, self._with_df = dict(self._dfs), Counter(self._with_df)
        self._moved, self._waiting = list(self._moved), list(self._waiting)
        self._shared = False

    def _compact(self) -> None:
        items = self._items
        self._items = {}
        self._clear()
        for item_id, (_, content) in items.items():
            self._add(item_id, content)


def rebuild(
    kind: Callable[..., Any], made: Sequence[object], contents: Sequence[tuple[int, str]]
) -> object:
    """The retriever `kind(*made)` of these contents, for pickles and copies."""
    index = kind(*made)
    index.update((), contents)
    return index
