"""Numbers that stand for a situation: hashed n-grams and a few shares, all in [0, 1].

Words that hold a digit count as one word "<number>", capitalised words after the first as "<name>",
so that what is learnt is how a sentence is built and not whom it is about.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from finemem_env.text import approx_tokens, parse_example
from finemem_env.wrappers.draft import Situation

SENTENCE_FEATURES = ("present", "length", "label", "number", "names", "same", "lead")
SLOT_FEATURES = ("present", "length", "same", "lead")
STATE_FEATURES = ("fill", "items", "read", "chunk_read", "pressure")
_LONG = 64.0  # tokens of a sentence that counts as long
_MANY = 7.0  # log of the number of items that counts as many

Features = dict[str, NDArray[np.float32]]


@lru_cache(maxsize=4096)
def hashed(sentence: str, bins: int) -> NDArray[np.float32]:
    """Which word and word-pair bins `sentence` falls into, shape (bins,), read-only."""
    bins_hit = np.zeros(bins, dtype=np.float32)
    tokens = _shapes(sentence)
    grams = [*tokens, *(f"{word} {other}" for word, other in pairwise(tokens))]
    for gram in grams:
        bins_hit[zlib.crc32(gram.encode()) % bins] = 1.0
    bins_hit.flags.writeable = False
    return bins_hit


def _shapes(sentence: str) -> list[str]:
    shapes = []
    for place, word in enumerate(sentence.split()):
        bare = word.strip(".,;:!?\"'()[]")
        if any(char.isdigit() for char in bare):
            shapes.append("<number>")
        elif place and bare[:1].isupper():
            shapes.append("<name>")
        else:
            shapes.append(word.casefold().encode("utf-8", "replace").decode())
    return shapes


@lru_cache(maxsize=4096)
def _facts(sentence: str) -> tuple[float, float, float, float]:
    """(length, labelled example, holds a number, share of names)."""
    shapes = _shapes(sentence)
    return (
        min(1.0, approx_tokens(sentence) / _LONG),
        float(parse_example(sentence) is not None),
        float("<number>" in shapes),
        shapes.count("<name>") / max(1, len(shapes)),
    )


def encode(situation: Situation, sentences: int, slots: int, bins: int) -> Features:
    """The situation as arrays: words (K, bins), sentences (K, 7), slots (S, 4), state (5,)."""
    text = np.zeros((sentences, bins), dtype=np.float32)
    rows = np.zeros((sentences, len(SENTENCE_FEATURES)), dtype=np.float32)
    same = max((slot.same for slot in situation.slots), default=0.0)
    lead = max((slot.lead for slot in situation.slots), default=0.0)
    for k, sentence in enumerate(situation.sentences):
        text[k] = hashed(sentence, bins)
        rows[k] = (1.0, *_facts(sentence), same, lead)
    reach = np.zeros((slots, len(SLOT_FEATURES)), dtype=np.float32)
    for i, slot in enumerate(situation.slots):
        length = min(1.0, approx_tokens(slot.text) / _LONG)
        reach[i] = (1.0, length, slot.same, slot.lead)
    pressure = min(1.0, max(0.0, 0.5 + situation.fill - situation.read))
    items = min(1.0, math.log1p(situation.items) / _MANY)
    state = (situation.fill, items, situation.read, situation.chunk_read, pressure)
    return {
        "words": text,
        "sentences": rows,
        "slots": reach,
        "state": np.asarray(state, dtype=np.float32),
    }
