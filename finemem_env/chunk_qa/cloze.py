"""The local generator: one word or phrase of a sentence is masked and asked for.

Masked are numbers and dates, names, and noun phrases that occur nowhere else in the episode. A
sentence gives one question. No model, no word list but that of function words: names are told by
their capitals, rare words by counting.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finemem_env.chunk_qa.candidates import CandidateQuestion, ChunkJob
from finemem_env.text import approx_tokens, parse_example, split_sentences, words
from finemem_env.text.function_words import STOP
from finemem_env.text.unicode_tables import MARKED
from finemem_env.types import Episode

GAP = "____"
_FEWEST_WORDS, _MOST_TOKENS = 6, 40  # a sentence that fits an answer of the default length
_CONTEXT = 4  # content words that must be left to find the sentence by

_CAPITAL = rf"(?:[^\W\d_a-z][\w{MARKED}'’.-]*[\w{MARKED}]|[A-Z]\.)"
_NAME = re.compile(
    rf"{_CAPITAL}(?:\s(?:of the|of|de|von|van|and|&|la|le)(?=\s[^\Wa-z])\s{_CAPITAL}|\s{_CAPITAL})*"
)
_NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:[.:/-]\d+)*(?:th|st|nd|rd|%|s)?(?![\w])")
_PHRASE = re.compile(
    r"\b(?:the|a|an|his|her|their|its|our|my|your|this|that)\s((?:[a-z-]+\s){0,2}?[a-z-]{4,})"
    r"(?=\s*[.,;:!?)]|\s*$|\s([a-z]+)\b)"
)
_OPENING = frozenset("\"'“”‘([*—–-:;.!?…")
_INSIDE = re.compile(rf"(?<=[a-z,]\s){_CAPITAL}")
_POSSESSIVE = re.compile(r"['’]s?$")
_SERIAL = re.compile(r"\s*\(?\d+[.)]\s")
_HAN = re.compile(r"[\u4e00-\u9fff]{2,4}")


@dataclass(frozen=True, slots=True)
class _Mask:
    start: int
    end: int
    worth: float


@dataclass(frozen=True, slots=True)
class _Counts:
    """Words of an episode: how many chunks hold each, and those written as names."""

    chunks: Counter[str]
    names: frozenset[str]


class ClozeGenerator:
    """Masks one part of each sentence. Deterministic.

    Args:
        most: candidates per chunk.
    """

    version = "cloze/1"

    def __init__(self, most: int = 12) -> None:
        self.most = most
        self._counted: tuple[Episode, _Counts] | None = None

    def generate(self, jobs: Sequence[ChunkJob]) -> list[list[CandidateQuestion] | None]:
        """Candidates for each job, best first; never None."""
        return [self._write(job) for job in jobs]

    def _write(self, job: ChunkJob) -> list[CandidateQuestion]:
        counts = self._counts(job.episode)
        ranked = []
        for place, sentence in enumerate(dict.fromkeys(split_sentences(job.text))):
            masks = list(_masks(sentence, counts))
            if masks and len(words(sentence)) >= _FEWEST_WORDS:
                mask = max(masks, key=lambda mask: (mask.worth, -mask.start))
                ranked.append((mask.worth, -place, _candidate(sentence, mask)))
        ranked.sort(key=lambda entry: entry[:2], reverse=True)
        return [candidate for *_, candidate in ranked if _enough_context(candidate)][: self.most]

    def _counts(self, episode: Episode) -> _Counts:
        if self._counted is None or self._counted[0] is not episode:
            self._counted = (episode, _count(episode))
        return self._counted[1]


def _count(episode: Episode) -> _Counts:
    chunks: Counter[str] = Counter()
    names: set[str] = set()
    for chunk in episode.chunks:
        chunks.update(set(words(chunk.text)))
        names.update(_INSIDE.findall(chunk.text))
    return _Counts(chunks, frozenset(names))


def _masks(sentence: str, counts: _Counts) -> Iterator[_Mask]:
    """What could be masked, with what it is worth: rare names first, then numbers, then phrases."""
    if approx_tokens(sentence) > _MOST_TOKENS:
        return
    example = parse_example(sentence)
    if example is not None:
        start = sentence.rindex(example[1])
        yield _Mask(start, start + len(example[1]), 5.0)
        return
    begin = _serial_end(sentence)
    for match in _NAME.finditer(sentence, begin):
        if not _opens(sentence, match, begin, counts):
            name = _POSSESSIVE.sub("", match[0])
            yield _Mask(match.start(), match.start() + len(name), 3.0 + _rarity(name, counts))
    for match in _NUMBER.finditer(sentence, begin):
        worth = 3.0 if len(match[0]) > 1 else 2.0
        yield _Mask(match.start(), match.end(), worth + _rarity(match[0], counts))
    for match in _PHRASE.finditer(sentence, begin):
        yield from _phrase(match, counts)
    for match in _HAN.finditer(sentence, begin):
        yield _Mask(match.start(), match.end(), 1.0)


def _opens(sentence: str, match: re.Match[str], begin: int, counts: _Counts) -> bool:
    """Whether the capital may only be that of a sentence's first word, or of a function word."""
    parts = match[0].split()
    if len(parts) > 1:
        return False
    before = sentence[begin : match.start()].rstrip()
    at_start = not before or before[-1] in _OPENING
    return parts[0].casefold() in STOP or (at_start and parts[0] not in counts.names)


def _phrase(match: re.Match[str], counts: _Counts) -> Iterator[_Mask]:
    """A noun phrase whose last word stands in one chunk only; the determiner stays.

    It is one where punctuation or a function word follows, since a noun follows an adjective.
    """
    *before, last = match[1].split()
    if (match[2] and match[2] not in STOP) or last in STOP or counts.chunks[last] != 1:
        return
    start = match.start(1) if not STOP.intersection(before) else match.end(1) - len(last)
    yield _Mask(start, match.end(1), 1.5 + min(len(last), 12) / 24)


def _rarity(text: str, counts: _Counts) -> float:
    """In (0, 1]: 1 for what one chunk alone says."""
    return max((1 / max(1, counts.chunks[word]) for word in words(text)), default=0.0)


def _candidate(sentence: str, mask: _Mask) -> CandidateQuestion:
    gapped = sentence[: mask.start] + GAP + sentence[mask.end :]
    gapped = gapped[_serial_end(gapped) :]
    return CandidateQuestion(f"Fill the gap: {gapped}", sentence[mask.start : mask.end], sentence)


def _serial_end(sentence: str) -> int:
    match = _SERIAL.match(sentence)
    return match.end() if match else 0


def _enough_context(candidate: CandidateQuestion) -> bool:
    left = [word for word in words(candidate.question)[3:] if word not in STOP]
    return len(set(left)) >= _CONTEXT
