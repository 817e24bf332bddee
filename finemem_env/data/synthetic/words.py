"""Invented words and names, and the stream of chance that picks them.

Nothing here is a word one could guess, and a person's full name belongs to one episode: the last
name is a one-to-one function of the episode's number once the first name is known, and first names
come in classes that take over when the last names are used up.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")
_BLOCK = 1024
_MIX = 2_654_435_761  # Knuth's multiplicative hash: spreads neighbouring first names
_STEP = 7_368_787  # a prime, so coprime with every number of names below
_CLASSES = 32
_PATIENCE = 64  # after so many taken names in a row, the class counts as used up
# Episode numbers below this never share a person's full name, in any language.
DISTINCT_NUMBERS = 37_324_800


class Draw:
    """Choices from the raw 64-bit words of a bit generator, which no numpy release changes."""

    __slots__ = ("_bits", "_words")

    def __init__(self, rng: np.random.Generator) -> None:
        self._bits = rng.bit_generator
        self._words: list[int] = []

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        if not self._words:
            self._words = self._bits.random_raw(_BLOCK).tolist()
        return (self._words.pop() * bound) >> 64

    def choice(self, options: Sequence[_T]) -> _T:
        """One of `options`."""
        if not self._words:  # `below`, without a call
            self._words = self._bits.random_raw(_BLOCK).tolist()
        return options[(self._words.pop() * len(options)) >> 64]

    def shuffle(self, items: MutableSequence[_T]) -> None:
        """Shuffle in place."""
        words = self._words
        for last in range(len(items) - 1, 0, -1):  # `below`, without a call for each
            if not words:
                words = self._words = self._bits.random_raw(_BLOCK).tolist()
            other = (words.pop() * (last + 1)) >> 64
            items[last], items[other] = items[other], items[last]

    def sample(self, options: Sequence[_T], count: int) -> list[_T]:
        """`count` different options (all of them when there are fewer), in random order."""
        pool = list(options)
        self.shuffle(pool)
        return pool[:count]


@dataclass(frozen=True)
class Alphabet:
    """Names from numbers: `parts[i]` are the spellings of digit i of a mixed-radix number.

    The first `first_digits` digits alone spell the first names.
    """

    parts: tuple[tuple[str, ...], ...]
    first_digits: int
    separator: str
    capital: bool

    @cached_property
    def count(self) -> int:
        """How many different words there are."""
        return math.prod(map(len, self.parts))

    @cached_property
    def first_count(self) -> int:
        """How many different first names there are."""
        return math.prod(map(len, self.parts[: self.first_digits]))

    def spell_first(self, number: int) -> str:
        """The first name of `number`, below `first_count`."""
        return self.spell(number, self.first_digits)

    def spell(self, number: int, digits: int | None = None) -> str:
        """The word of `number`, of all or the first digits.

        Different numbers below `count` give different words.
        """
        word, carry = "", 0
        for part, size in self._spelling[:digits]:
            digit = number % size
            number //= size
            # Each digit is shifted by those before it, so that neighbours look nothing alike.
            word += part[(digit + carry) % size]
            carry = carry * 31 + digit
        return word

    @cached_property
    def _spelling(self) -> tuple[tuple[tuple[str, ...], int], ...]:
        """Each digit's spellings, those of the first as they begin a word, and their number."""
        first = [part.capitalize() if self.capital else part for part in self.parts[0]]
        return tuple([(part, len(part)) for part in (tuple(first), *self.parts[1:])])


_ONSETS = tuple("bdfghjklmnprstvwyz")
_OPEN = tuple(onset + vowel for onset in _ONSETS for vowel in "aeiou")
# One letter or none before the next onset: words can be read back in one way only.
_CLOSED = tuple(syllable + coda for syllable in _OPEN for coda in ("", *"bdkmnlprstx"))
_CHARACTERS = tuple(
    "阿艾安奥巴贝比波布达戴德蒂顿恩尔法菲芬弗盖戈格古哈海汉赫胡霍吉加简杰卡凯坎科克库昆拉莱兰劳雷里利林卢"
    "鲁伦罗洛马迈曼梅门蒙米莫姆穆纳奈内尼诺努欧帕佩皮普奇乔萨塞桑沙舍史斯苏索塔泰汤特提图托瓦威维温沃乌西希"
    "夏谢辛雅亚扬耶伊因尤约泽扎赞兹佐翁瓜齐韦肖冯柯涅妮娜娅"
)

ALPHABETS = {
    "en": Alphabet((_OPEN, ("", *"bdkmnlprstx"), _CLOSED), 3, " ", True),
    "zh": Alphabet((_CHARACTERS,) * 3, 2, "·", False),
}
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


class Namer:
    """Names, words and codes of one episode; it never gives the same one twice.

    `people` and `words` (codes among them) are those it gave, in order.

    Args:
        draw: the episode's chance.
        number: the episode's number; below `DISTINCT_NUMBERS`, no two share a full name.
    """

    def __init__(self, draw: Draw, number: int) -> None:
        self._draw = draw
        self._number = number
        self._used: set[str] = set()
        self.people: list[str] = []
        self.words: list[str] = []

    def person(self, language: str) -> str:
        """A new full name."""
        alphabet = ALPHABETS[language]
        lasts = alphabet.count
        group, number = divmod(self._number, lasts)
        choices = alphabet.first_count // _CLASSES
        attempt = 0
        while True:
            attempt += 1
            first = group % _CLASSES * choices + self._draw.below(choices)
            last = (number * _STEP + first * _MIX) % lasts
            if attempt > _PATIENCE:
                last = self._draw.below(lasts)
            first_name = alphabet.spell_first(first)
            name = first_name + alphabet.separator + alphabet.spell(last)
            if self._take(name):
                self.people.append(name)
                return name

    def lookalike(self, person: str, language: str) -> str:
        """A name that shares only its first part with `person`."""
        separator = ALPHABETS[language].separator
        self.people.append(person.partition(separator)[0] + separator + self.word(language))
        return self.people[-1]

    def word(self, language: str) -> str:
        """A new invented word, with a capital where the language has them."""
        alphabet = ALPHABETS[language]
        while True:
            word = alphabet.spell(self._draw.below(alphabet.count))
            if self._take(word):
                self.words.append(word)
                return word

    def code(self) -> str:
        """A new code of two letters and three digits: one word to the package's own tokenizer."""
        while True:
            letters = self._draw.choice(_CODE_LETTERS) + self._draw.choice(_CODE_LETTERS)
            code = f"{letters}{self._draw.below(1000):03d}"
            if self._take(code):
                self.words.append(code)
                return code

    def _take(self, name: str) -> bool:
        if name in self._used:
            return False
        self._used.add(name)
        return True
