"""`salience`: keeps the sentences a question is likely to be about. No model, any text.

It knows nothing of the generators. What makes a sentence likely to be asked about: it states
something (a short statement with names or numbers, not a question, an exclamation or hearsay that
points elsewhere), it stands on its own (it does not begin with a pronoun), and its frame is not
worn out: a frame is the sentence without its names and numbers.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from baselines.agents import Info
from baselines.managers.scripted import Reactive, inserts
from baselines.managers.statements import LONGEST, statement_key
from finemem_env.prompts import View
from finemem_env.text import approx_tokens, normalise, parse_example, split_sentences, words
from finemem_env.text.search_terms import sized_words
from finemem_env.types import Op, Operation

_POINTING = """
    he she it they this that these those his her its their there here then so but and or if when
    while we you i он она они это этот 他 她 它 这 那 彼 वह यह هو هي هذا هذه
"""
_POINTERS = frozenset(_POINTING.split())
_ENDS = ("?", "!", ":", "？", "！", "：", "؟")
_STATES = re.compile(
    r"\b(?:is|are|was|were|has|have|had|lives?|works?|owns?|plays?|holds?|born|died|founded|"
    r"called|named|known|became|won|wrote|made|built|located|contains?|consists?|means|speaks?)\b|"
    r"[是有叫]|である|です|という|이다|있다|라는",
    re.IGNORECASE,
)
_COPULAS = "был была было были является है हैं था थी थे كان كانت היה הייתה"
_STATE_WORDS = frozenset(_COPULAS.split())
# What is written as a name or number where letters have no capitals.
_TITLE = re.compile(r"《[^》]{1,40}》|「[^」]{1,40}」|“[^”]{1,40}”")
_FOREIGN = re.compile(r"[A-Za-z0-9]+")
_DOT = re.compile(r"\w[·・‧]\w")  # between the parts of a foreign name
_Word = tuple[str, float]  # with its size in words
_SHORTEST = 3  # words of a statement that another one can replace
_SUBJECT = 2  # of them, those that it begins with
_VALUE = 4  # of them, most that it may end with in another way


def subject_relation(sentence: str) -> str | None:
    """What a short statement is about (`statement_key`), in a script that has capitals."""
    if parse_example(sentence) or not _has_capitals(sentence):
        return None
    return statement_key(sentence)


def replaces(new: str, old: str) -> bool:
    """Whether two statements, in a script without capitals, agree in all but their last words.

    "马拉的家乡是奥斯塔。" and "马拉的家乡是雷韦。" do.
    """
    ours, theirs = sized_words(new), sized_words(old)
    start = _agreeing(ours, theirs)
    size, value = _size(ours), max(_size(ours[start:]), _size(theirs[start:]))
    return _SHORTEST <= size <= LONGEST and 0 < value <= min(_VALUE, size / 3)


def _agreeing(ours: Sequence[_Word], theirs: Sequence[_Word]) -> int:
    """How many words two texts begin with alike."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))


def _size(sized: Sequence[_Word]) -> float:
    return sum(size for _, size in sized)


@lru_cache(maxsize=65536)
def _has_capitals(text: str) -> bool:
    """Whether most letters of a text are of a script with capitals."""
    if text.isascii():
        return True
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(letter.lower() != letter.upper() for letter in letters) >= len(letters)


@lru_cache(maxsize=65536)
def salience(sentence: str) -> float:
    """How likely a question is about `sentence`, in [0, 1], from the sentence alone."""
    if parse_example(sentence):
        return 1.0
    length, details = _sizes(sentence)
    if length < 3 or sentence.rstrip("\"'”’)").endswith(_ENDS):
        return 0.0
    density = min(1.0, (0.5 + 2.5 * details) / length)
    tokens = words(sentence)
    states = 1.0 if _STATES.search(sentence) or not _STATE_WORDS.isdisjoint(tokens) else 0.5
    alone = 0.4 if tokens[:1] and tokens[0] in _POINTERS else 1.0
    share = min(1.0, 40 / approx_tokens(sentence))
    return density * states * alone * math.sqrt(share)


def _sizes(sentence: str) -> tuple[float, int]:
    """Words of a sentence, and how many of them are names or numbers.

    Where letters have no capitals, those are digits and Latin letters, titles in quotes, and the
    parts of names that are joined by dots.
    """
    if _has_capitals(sentence):
        tokens = sentence.split()
        named = (word for word in tokens[1:] if not word[0].islower())
        return len(tokens), sum(any(map(str.isalnum, word)) for word in named)
    marked = sum(len(kind.findall(sentence)) for kind in (_TITLE, _FOREIGN))
    return _size(sized_words(sentence)), marked + 2 * bool(_DOT.search(sentence))


@dataclass(slots=True)
class _Kept:
    """A sentence that is in memory or may go there; `item_id` None for a new one."""

    text: str
    rank: float
    item_id: int | None = None


class Salience(Reactive):
    """Ranks sentences by how likely they are asked about; see the module's docstring.

    A newer sentence with the same subject and relation replaces the stored one by UPDATE; exact
    repetitions are dropped. When the memory is full the least salient sentences are deleted, of
    equals those whose frame is most common, so that what is rare stays.
    """

    def __init__(self) -> None:
        self._frames: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()

    def reset(self, info: Info) -> None:
        """Forget the frames of the last text."""
        self._frames.clear()
        self._labels.clear()

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """UPDATE what changed, DELETE what gives way, INSERT what is new."""
        sentences = split_sentences(chunk)
        self._frames.update(map(_frame, sentences))
        held = {normalise(text) for _, text in view.items}
        updates, fresh = _superseded(view, sentences)
        candidates = [
            _Kept(text, self._rank(text, view))
            for text in fresh
            if normalise(text) not in held and salience(text) > 0
        ]
        changed = {update.item_id for update in updates}
        stored = [
            _Kept(text, self._rank(text, view), item_id)
            for item_id, text in view.items
            if item_id not in changed
        ]
        spent = sum(approx_tokens(update.content or "") for update in updates)
        return self._settle(view, updates, stored, candidates, spent)

    def _settle(
        self,
        view: View,
        updates: list[Operation],
        stored: Sequence[_Kept],
        candidates: Sequence[_Kept],
        spent: int,
    ) -> list[Operation]:
        """The best of memory and chunk that fit, as operations."""
        room = math.inf if view.budget is None else view.budget - spent
        kept: set[int] = set()
        new: list[str] = []
        for sentence in sorted([*stored, *candidates], key=lambda entry: -entry.rank):
            cost = approx_tokens(sentence.text)
            if cost > room:
                continue
            room -= cost
            if sentence.item_id is None:
                new.append(sentence.text)
            else:
                kept.add(sentence.item_id)
        gone = [
            Operation(Op.DELETE, item_id=sentence.item_id)
            for sentence in stored
            if sentence.item_id not in kept and view.budget is not None
        ]
        return [*gone, *updates, *inserts(new)][: self.max_operations]

    def _rank(self, text: str, view: View) -> float:
        """Salience, less for a frame that is common and for a label that is held often."""
        example = parse_example(text)
        if example is not None:
            return 1.0 - 0.1 * (hash_share(text))
        common = self._frames[_frame(text)] / max(1, self._frames.total())
        return salience(text) * (1.0 - 0.5 * common)


def hash_share(text: str) -> float:
    """A number in [0, 1) that only the text decides."""
    return zlib.crc32(normalise(text).encode("utf-8", "replace")) / 2**32


@lru_cache(maxsize=65536)
def _frame(sentence: str) -> str:
    return " ".join(
        "_" if not word[0].islower() else word for word in sentence.rstrip(".").split() if word
    )


def _superseded(view: View, sentences: Iterable[str]) -> tuple[list[Operation], list[str]]:
    """UPDATEs of stored sentences that a newer one replaces, and the sentences that are left."""
    stored = {key: item for item in view.items if (key := subject_relation(item[1]))}
    kin = _by_opening(view.items)
    newest: dict[str, str] = {}
    for sentence in sentences:
        newest[subject_relation(sentence) or sentence] = sentence
    updates, fresh = [], []
    for key, sentence in newest.items():
        item_id, text = stored.get(key) or _replaced(kin, sentence) or (-1, "")
        if item_id < 0:
            fresh.append(sentence)
        elif normalise(text) != normalise(sentence):
            updates.append(Operation(Op.UPDATE, content=sentence, item_id=item_id))
    return updates, fresh


def _by_opening(items: Iterable[tuple[int, str]]) -> dict[str, list[tuple[int, str]]]:
    """Items in scripts without capitals by their first words, so that few are compared."""
    kin: dict[str, list[tuple[int, str]]] = {}
    for item in items:
        if not _has_capitals(item[1]):
            kin.setdefault(_opening(item[1]), []).append(item)
    return kin


def _replaced(kin: dict[str, list[tuple[int, str]]], sentence: str) -> tuple[int, str] | None:
    """The item that a sentence without capitals replaces."""
    if _has_capitals(sentence):
        return None
    near = kin.get(_opening(sentence), ())
    return next((item for item in near if replaces(sentence, item[1])), None)


@lru_cache(maxsize=65536)
def _opening(sentence: str) -> str:
    opening, size = [], 0.0
    for word, share in sized_words(sentence):
        if size >= _SUBJECT:
            break
        opening.append(word)
        size += share
    return " ".join(opening)
