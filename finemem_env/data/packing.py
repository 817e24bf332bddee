"""Cuts passages into chunks, and deals questions out to the chunks and to the end.

A passage stays whole, title line included, unless it alone is larger than the chunk it would open;
then it is cut between sentences and its title is repeated. A sentence is never cut: one that is
larger than its chunk's target makes that chunk too large. Nothing is lost, repeated or reordered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from finemem_env.text import TextCache, normalise, split_sentences
from finemem_env.types import Question

# Packing of Mem-alpha (arXiv 2509.25911): 10 chunks of U(100, 2048) tokens, at most 100 questions.
NUM_CHUNKS = 10
CHUNK_TOKENS = (100, 2048)
FINAL_QUESTIONS = 100
# Fine-Mem (arXiv 2601.08435): 5 questions about each chunk.
CHUNK_QUESTIONS = 5


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of text that belongs together, under an optional title line."""

    text: str
    title: str = ""

    @property
    def block(self) -> str:
        """Title line and text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class PassagePiece:
    """The part of passage `passage` that one chunk holds: characters [start, end) of its text."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Packed:
    """One chunk: its text, and the passages or parts of them that it was made of."""

    text: str
    pieces: tuple[PassagePiece, ...]


@dataclass(slots=True)
class _Open:
    """The chunk being filled."""

    blocks: list[str] = field(default_factory=list)
    pieces: list[PassagePiece] = field(default_factory=list)
    tokens: int = 0

    def add(self, block: str, piece: PassagePiece, tokens: int) -> None:
        self.tokens += tokens
        self.blocks.append(block)
        self.pieces.append(piece)


@lru_cache(maxsize=8)
def cached_counter(count_tokens: Callable[[str], int]) -> Callable[[str], int]:
    """`count_tokens` that counts a text once per process, however many episodes hold it."""
    return TextCache(count_tokens).__getitem__


def sentence_spans(text: str) -> tuple[tuple[int, int], ...]:
    """[start, end) of every sentence of `text`, in order."""
    return _SPANS[text]


def _spans(text: str) -> tuple[tuple[int, int], ...]:
    spans = []
    position = 0
    for sentence in split_sentences(text):
        start = text.index(sentence, position)
        position = start + len(sentence)
        spans.append((start, position))
    return tuple(spans)


_SPANS: TextCache[tuple[tuple[int, int], ...]] = TextCache(_spans)


def draw_targets(
    rng: np.random.Generator, num_chunks: int, bounds: tuple[int, int]
) -> tuple[int, ...]:
    """Target size of each chunk, uniform over [min, max] tokens."""
    return tuple(int(n) for n in rng.integers(bounds[0], bounds[1] + 1, num_chunks))


def pack(
    passages: Iterable[Passage],
    targets: Sequence[int],
    count_tokens: Callable[[str], int],
    separator: str = "\n\n",
) -> tuple[Packed, ...]:
    """Fill one chunk per target with `passages`, in order, until targets or passages run out.

    Args:
        passages: what to pack; those beyond the last target are left out.
        targets: most tokens of each chunk, exceeded only by a single sentence (with its title).
        count_tokens: counts a text.
        separator: goes between the passages of a chunk.

    Returns:
        At most len(targets) chunks, none empty.
    """
    done: list[Packed] = []
    chunk = _Open()

    def close() -> None:
        nonlocal chunk
        done.append(Packed(separator.join(chunk.blocks), tuple(chunk.pieces)))
        chunk = _Open()

    for number, passage in enumerate(passages):
        # Counted with the separator, the parts never sum to less than the whole.
        tokens = count_tokens(passage.block + separator)
        if chunk.blocks and chunk.tokens + tokens > targets[len(done)]:
            close()
        if len(done) == len(targets):
            break
        if tokens <= targets[len(done)]:
            chunk.add(passage.block, PassagePiece(number, 0, len(passage.text)), tokens)
            continue
        pieces = _sentence_pieces(number, passage, targets[len(done) :], count_tokens)
        for piece in pieces:
            if chunk.blocks:
                close()
            block = dataclasses.replace(passage, text=passage.text[piece.start : piece.end]).block
            chunk.add(block, piece, count_tokens(block + separator))
        if pieces[-1].end < sentence_spans(passage.text)[-1][1]:
            break  # the targets ran out inside this passage: nothing may follow what is missing
    if chunk.blocks:
        close()
    return tuple(done)


def _sentence_pieces(
    number: int,
    passage: Passage,
    targets: Sequence[int],
    count_tokens: Callable[[str], int],
) -> list[PassagePiece]:
    """Runs of whole sentences, one per target, until the passage or the targets run out."""
    spans = sentence_spans(passage.text)
    pieces: list[PassagePiece] = []
    first = 0
    for target in targets:
        last = first
        while last + 1 < len(spans):
            text = passage.text[spans[first][0] : spans[last + 1][1]]
            if count_tokens(dataclasses.replace(passage, text=text).block) > target:
                break
            last += 1
        pieces.append(PassagePiece(number, spans[first][0], spans[last][1]))
        first = last + 1
        if first == len(spans):
            break
    return pieces


def split_evenly(
    passages: Sequence[Passage],
    num_chunks: int,
    count_tokens: Callable[[str], int],
    separator: str = "\n\n",
) -> tuple[Packed, ...]:
    """All `passages` in at most `num_chunks` chunks of about equal size; passages stay whole."""
    sizes = np.array([count_tokens(passage.block) for passage in passages], dtype=np.float64)
    middles = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    places = np.minimum((middles * num_chunks).astype(int), num_chunks - 1)
    chunks = []
    for place in sorted(set(places.tolist())):
        members = np.flatnonzero(places == place).tolist()
        pieces = tuple(PassagePiece(i, 0, len(passages[i].text)) for i in members)
        chunks.append(Packed(separator.join(passages[i].block for i in members), pieces))
    return tuple(chunks)


def deal_questions(
    rng: np.random.Generator,
    questions: Sequence[Question],
    num_chunks: int,
    most: int = FINAL_QUESTIONS,
) -> tuple[list[tuple[Question, ...]], tuple[Question, ...]]:
    """(chunk questions of every chunk, final questions), disjoint by normalised text.

    Of the questions whose evidence lies in one chunk, up to five a chunk, and at most half, are set
    aside to be asked right after it; of all others `most` are drawn as final questions.

    Args:
        rng: decides which are set aside and drawn.
        questions: candidates with evidence; a text that was there before is left out.
        num_chunks: chunks of the episode.
        most: most final questions.
    """
    unique: dict[str, Question] = {}
    for question in questions:
        unique.setdefault(normalise(question.question), question)
    candidates = list(unique.values())
    by_chunk: list[list[int]] = [[] for _ in range(num_chunks)]
    for number, question in enumerate(candidates):
        steps = {entry.chunk for entry in question.evidence}
        if len(steps) == 1:
            by_chunk[steps.pop()].append(number)
    reserved = []
    for numbers in by_chunk:
        count = min(CHUNK_QUESTIONS, len(numbers) // 2)
        reserved.append(sorted(rng.permutation(numbers)[:count].tolist()))
    aside = {number for numbers in reserved for number in numbers}
    rest = [number for number in range(len(candidates)) if number not in aside]
    final = sorted(rng.permutation(rest)[:most].tolist())
    return (
        [tuple(candidates[number] for number in numbers) for numbers in reserved],
        tuple(candidates[number] for number in final),
    )
